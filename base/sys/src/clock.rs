//! The wall clock, which a test can hold still.
//!
//! For durations and deadlines use `tokio::time::Instant`, which `tokio::time::pause` controls; the wall clock here is
//! for the timestamps that data carries and for comparing with times from files and peers.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many threads hold the clock still: zero in production, so the usual path is one relaxed load and one syscall.
static HELD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HELD_AT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> i64 {
    if HELD.load(Ordering::Relaxed) > 0
        && let Some(held) = HELD_AT.get()
    {
        return held;
    }
    real_ns()
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    now_ns() / 1_000_000
}

/// The time as the standard library's type.
pub fn now() -> SystemTime {
    from_ns(now_ns())
}

/// The moment `ns` nanoseconds after (or, when negative, before) the Unix epoch.
pub fn from_ns(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    if ns < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// Nanoseconds since the Unix epoch of any moment; saturates some 292 years away from it.
pub fn to_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[allow(clippy::disallowed_methods)] // this is the one place that reads it
fn real_ns() -> i64 {
    to_ns(SystemTime::now())
}

/// Holds this thread's wall clock still until dropped. For tests: a `#[tokio::test]` runs on one thread, so its tasks
/// see the held time too.
#[derive(Debug)]
pub struct Held {
    before: Option<i64>,
    // The clock is the thread's: moving the guard to another would release a clock that it does not hold.
    _not_send: std::marker::PhantomData<*const ()>,
}

/// Holds this thread's clock at `ns` nanoseconds since the Unix epoch.
pub fn hold(ns: i64) -> Held {
    HELD.fetch_add(1, Ordering::Relaxed);
    Held { before: HELD_AT.replace(Some(ns)), _not_send: std::marker::PhantomData }
}

// === impl Held ===

impl Held {
    /// Moves the held time forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        HELD_AT.set(HELD_AT.get().map(|held| held.saturating_add(by)));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_AT.set(self.before);
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_clock_stands_still_until_it_is_released() {
        let held = hold(1_500_000_000);
        assert_eq!(now_ns(), 1_500_000_000);
        assert_eq!(now_ms(), 1_500);
        held.advance(Duration::from_secs(1));
        assert_eq!(now_ns(), 2_500_000_000);
        drop(held);
        assert!(now_ns() > 1_600_000_000_000_000_000, "the real clock is back");
    }

    #[test]
    fn times_before_the_epoch_keep_their_sign() {
        for ns in [-1, 0, 1, i64::MAX, i64::MIN + 1] {
            assert_eq!(to_ns(from_ns(ns)), ns);
        }
    }
}
