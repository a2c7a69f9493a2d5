//! Moments at which many wake together, and not one by one.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// The first moment, then or later, of those that are a whole number of steps (of microseconds) behind one that all of the process
/// have in common.
pub fn together(at: Instant, step: Duration) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let (since, step) = (at.saturating_duration_since(start).as_micros(), step.as_micros().max(1));
    start + Duration::from_micros(u64::try_from(since.div_ceil(step) * step).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wakes_in_the_same_step_wakes_at_the_same_moment() {
        let step = Duration::from_millis(50);
        let first = together(Instant::now(), step);
        for later in [1, 20_000, 50_000].map(Duration::from_micros) {
            assert_eq!(together(first + later, step), first + step);
        }
        assert_eq!(together(first, step), first, "a moment of them is its own");
    }
}
