//! What is said of things that fail and work again: each by itself as long as they are few, and a storm of them as a number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base_stdx::GoDuration;
use tokio::time::Instant;

/// So many are told one by one
const ONE_BY_ONE: u32 = 10;
/// in so long; the others are counted, and told as one when it is over.
const WINDOW: Duration = Duration::from_secs(60);

/// Lines of one kind.
pub(crate) struct Told {
    state: Mutex<State>,
    /// Some are to be told as a number.
    holds: AtomicBool,
}

struct State {
    began: Option<Instant>,
    told: u32,
    held: u64,
}

// === impl Told ===

impl Told {
    pub(crate) fn new() -> Told {
        Told { state: Mutex::new(State { began: None, told: 0, held: 0 }), holds: AtomicBool::new(false) }
    }

    /// One more: whether it is told by itself.
    pub(crate) fn one(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.held == 0 && state.began.is_none_or(|began| began.elapsed() >= WINDOW) {
            (state.began, state.told) = (Some(Instant::now()), 0);
        }
        let is_told = state.told < ONE_BY_ONE;
        match is_told {
            true => state.told += 1,
            false => state.held += 1,
        }
        self.holds.store(!is_told, Ordering::Relaxed);
        is_told
    }

    /// How many were not told, when it is time to say so. Costs next to nothing when there are none.
    pub(crate) fn rest(&self) -> Option<u64> {
        if !self.holds.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.held == 0 || state.began.is_some_and(|began| began.elapsed() < WINDOW) {
            return None;
        }
        self.holds.store(false, Ordering::Relaxed);
        state.began = None;
        Some(std::mem::take(&mut state.held))
    }
}

/// For people, who do not read nanoseconds.
pub(crate) fn shown(length: Duration) -> String {
    let nanoseconds = length.as_nanos() % 100_000_000;
    GoDuration::from(length - Duration::from_nanos(nanoseconds as u64)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_told_as_a_number_and_single_ones_each() {
        let told = Told::new();
        for round in 0..3 {
            let by_itself = (0..1000).filter(|_| told.one()).count();
            assert_eq!(by_itself, 10, "{round}");
            assert_eq!(told.rest(), None, "more may come");
            tokio::time::advance(WINDOW).await;
            assert_eq!(told.rest(), Some(990));
            assert_eq!(told.rest(), None);
        }
        for _ in 0..100 {
            tokio::time::advance(WINDOW / 5).await;
            assert!(told.one());
            assert_eq!(told.rest(), None);
        }
    }
}
