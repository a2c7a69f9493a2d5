//! `statfs(2)`, which hangs when a network file system is gone. It is called on a thread of its own; a thread that does
//! not come back in time is left behind with its mount, and the next mount gets a new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// What one file system told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub size: f64,
    pub free: f64,
    pub available: f64,
    pub files: f64,
    pub files_free: f64,
}

/// Asks file systems how full they are.
pub(crate) struct Statfs {
    timeout: Duration,
    worker: Option<Worker>,
    /// Mounts whose thread has not come back yet, and where it will tell when it does.
    stuck: BTreeMap<PathBuf, Worker>,
    ask: fn(&Path) -> Option<Measured>,
}

struct Worker {
    /// Dropping it ends the thread.
    questions: SyncSender<PathBuf>,
    answers: Receiver<Option<Measured>>,
}

impl Statfs {
    pub fn new(timeout: Duration) -> Statfs {
        Statfs { timeout, worker: None, stuck: BTreeMap::new(), ask: statfs }
    }

    /// One answer for each path, none where the file system gave an error or nothing in time.
    pub fn measure(&mut self, paths: Vec<PathBuf>) -> Vec<Option<Measured>> {
        // Whoever answered at last may be asked again.
        self.stuck.retain(|_, worker| worker.answers.try_recv().is_err());
        paths.into_iter().map(|path| self.measure_one(path)).collect()
    }

    fn measure_one(&mut self, path: PathBuf) -> Option<Measured> {
        if self.stuck.contains_key(&path) {
            return None;
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.ask)?,
        };
        worker.questions.send(path.clone()).ok()?;
        match worker.answers.recv_timeout(self.timeout) {
            Ok(answer) => {
                self.worker = Some(worker);
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(mount = %path.display(), timeout = ?self.timeout, "file system does not answer; it is left out until it does");
                self.stuck.insert(path, worker);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl Worker {
    fn start(ask: fn(&Path) -> Option<Measured>) -> Option<Worker> {
        let (questions, inbox) = sync_channel::<PathBuf>(1);
        let (outbox, answers) = sync_channel(1);
        let thread = std::thread::Builder::new().name("statfs".to_owned()).stack_size(64 << 10);
        let started = thread.spawn(move || {
            while let Ok(path) = inbox.recv() {
                if outbox.send(ask(&path)).is_err() {
                    return;
                }
            }
        });
        started.is_ok().then_some(Worker { questions, answers })
    }
}

fn statfs(path: &Path) -> Option<Measured> {
    let told = nix::sys::statfs::statfs(path).ok()?;
    let block = told.block_size() as f64;
    Some(Measured {
        size: told.blocks() as f64 * block,
        free: told.blocks_free() as f64 * block,
        available: told.blocks_available() as f64 * block,
        files: told.files() as f64,
        files_free: told.files_free() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_hangs_costs_one_timeout_and_the_others_nothing() {
        const ANSWER: Measured = Measured { size: 1.0, free: 2.0, available: 3.0, files: 4.0, files_free: 5.0 };
        fn ask(path: &Path) -> Option<Measured> {
            match path.to_str() {
                Some("/hangs") => loop {
                    std::thread::park();
                },
                Some("/broken") => None,
                _ => Some(ANSWER),
            }
        }
        let mut statfs = Statfs { ask, ..Statfs::new(Duration::from_millis(50)) };
        let paths = || ["/", "/broken", "/hangs", "/var"].map(PathBuf::from).to_vec();
        let expected = [Some(ANSWER), None, None, Some(ANSWER)];
        assert_eq!(statfs.measure(paths()), expected);
        statfs.timeout = Duration::from_secs(600); // would be noticed if the stuck mount were asked again
        assert_eq!(statfs.measure(paths()), expected);
        assert_eq!(statfs.stuck.len(), 1);
    }

    #[test]
    fn the_root_has_a_size() {
        let told = Statfs::new(Duration::from_secs(600)).measure(vec![PathBuf::from("/"), PathBuf::from("/no/such")]);
        assert!(told[0].is_some_and(|root| root.size > 0.0 && root.free <= root.size));
        assert_eq!(told[1], None);
    }
}
