//! What is said of samples that have waited for so long that they are not sent any more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long after it was said it is said again: an endpoint that is away for long loses a request every moment.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Counts those of one endpoint that were not told yet.
#[derive(Default)]
pub(crate) struct Expired(Mutex<State>);

#[derive(Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

// === impl Expired ===

impl Expired {
    /// So many more: how many are to be told now, if any.
    pub(crate) fn more(&self, samples: u64) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold += samples;
        if state.untold == 0 || state.told.is_some_and(|told| told.elapsed() < SAY_AGAIN) {
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_are_told_once_a_minute_at_most() {
        let expired = Expired::default();
        assert_eq!(expired.more(0), None);
        assert_eq!(expired.more(5), Some(5), "the first at once");
        assert_eq!((expired.more(3), expired.more(0), expired.more(4)), (None, None, None));
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(expired.more(0), Some(7), "also when it is over");
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(expired.more(0), None);
    }
}
