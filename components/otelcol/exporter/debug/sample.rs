//! Which messages are shown when there are many.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sdk_signals::OtlpSignal;
use tokio::time::Instant;

const TICK: Duration = Duration::from_secs(1);

/// Shows the first few of each second, and of the others every so manyth. A signal is a kind of message.
pub(super) struct Sampler {
    initial: u64,
    thereafter: u64,
    ticks: Mutex<[Option<(Instant, u64)>; 3]>,
}

// === impl Sampler ===

impl Sampler {
    pub(super) fn new(initial: i64, thereafter: i64) -> Sampler {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Sampler { initial: count(initial), thereafter: count(thereafter), ticks: Mutex::default() }
    }

    pub(super) fn shows(&self, signal: OtlpSignal) -> bool {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tick = &mut ticks[signal as usize];
        let seen = match tick {
            Some((start, seen)) if now < *start + TICK => {
                *seen += 1;
                *seen
            }
            _ => tick.insert((now, 1)).1,
        };
        seen <= self.initial || self.thereafter > 0 && (seen - self.initial).is_multiple_of(self.thereafter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_each_second_are_shown_and_some_of_the_rest() {
        let sampler = Sampler::new(2, 3);
        let shown = |count: usize| (0..count).map(|_| sampler.shows(OtlpSignal::Logs)).collect::<Vec<_>>();
        assert_eq!(shown(8), [true, true, false, false, true, false, false, true]);
        assert!(sampler.shows(OtlpSignal::Traces), "each kind has its own count");
        tokio::time::advance(TICK).await;
        assert_eq!(shown(3), [true, true, false]);
    }
}
