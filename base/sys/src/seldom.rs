//! What would be said each moment is said once a minute.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Says when it is time for a line that has a cause each moment, for hours: at once, and then once a minute, with how many
/// causes there were since.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    /// Of which nothing was said.
    held_back: u64,
}

// === impl Seldom ===

impl Seldom {
    /// How long after it was said it is said again.
    pub const AGAIN: Duration = Duration::from_secs(60);

    /// One more: whether it is said now.
    pub fn one(&self) -> bool {
        self.more(1).is_some()
    }

    /// So many more: of how many it is to be said now, if it is. With 0, of those alone that were held back.
    pub fn more(&self, causes: u64) -> Option<u64> {
        let mut state = self.lock();
        state.held_back = state.held_back.saturating_add(causes);
        if state.held_back == 0 || !state.is_time() {
            return None;
        }
        Some(state.say())
    }

    /// Whether nothing was said lately.
    pub fn is_time(&self) -> bool {
        self.lock().is_time()
    }

    /// It is said now, whether it is time or not.
    pub fn say(&self) {
        self.lock().say();
    }

    /// It is over, so that the next time it is said at once. Whether it was said.
    pub fn end(&self) -> bool {
        std::mem::take(&mut *self.lock()).said.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn is_time(&self) -> bool {
        self.said.is_none_or(|said| said.elapsed() >= Seldom::AGAIN)
    }

    fn say(&mut self) -> u64 {
        self.said = Some(Instant::now());
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_are_told_once_a_minute_at_most() {
        let seldom = Seldom::default();
        assert_eq!(seldom.more(0), None);
        assert_eq!(seldom.more(5), Some(5), "the first at once");
        assert_eq!((seldom.more(3), seldom.more(0), seldom.more(4)), (None, None, None));
        tokio::time::advance(Seldom::AGAIN - Duration::from_millis(1)).await;
        assert!(!seldom.is_time() && !seldom.one());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(seldom.more(0), Some(8), "also when there are no more");
        tokio::time::advance(Seldom::AGAIN).await;
        assert_eq!(seldom.more(0), None);
        assert!(seldom.one());
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_anew_is_said_at_once() {
        let seldom = Seldom::default();
        assert!(!seldom.end(), "there was nothing");
        assert!(seldom.one() && !seldom.one());
        assert!(seldom.end() && !seldom.end());
        assert_eq!(seldom.more(2), Some(2), "what was held back is of the last time");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_out_of_turn_makes_the_next_wait() {
        let seldom = Seldom::default();
        assert!(seldom.one());
        tokio::time::advance(Seldom::AGAIN / 2).await;
        seldom.say();
        tokio::time::advance(Seldom::AGAIN / 2).await;
        assert!(!seldom.one());
        tokio::time::advance(Seldom::AGAIN / 2).await;
        assert!(seldom.one());
    }
}
