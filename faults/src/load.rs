//! Work that is done at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Does something at a rate until it is dropped or stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How often a load does its work.
const TICK: Duration = Duration::from_millis(10);

// === impl Load ===

impl Load {
    /// Calls `work` with how many items are due, `rate` of them a second, from a thread of its own and until it answers
    /// false.
    pub fn start(rate: u64, mut work: impl FnMut(u64) -> bool + Send + 'static) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut done = 0;
            while !stopped.load(Relaxed) {
                let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
                // A machine that was busy elsewhere does not make it catch up all at once.
                let items = (due - done).min(rate / 10 + 1);
                done = due;
                if items > 0 && !work(items) {
                    return;
                }
                std::thread::sleep(TICK);
            }
        });
        Load { stop, thread: Some(thread) }
    }

    /// Ends after the item that is being worked on.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It never panics; and if it did, what it did is still counted.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}
