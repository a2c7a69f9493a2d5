//! What compresses and expands, kept for the next body: some of it is larger than a body, and must be made ready each time.

use std::sync::{Mutex, PoisonError};

/// No more are kept than this; as many more may be at work as there are threads.
const MOST_IDLE: usize = 2;

pub(crate) struct Idle<T>(Mutex<Vec<T>>);

impl<T> Idle<T> {
    pub(crate) const fn new() -> Idle<T> {
        Idle(Mutex::new(Vec::new()))
    }

    /// The one that was used last of those that will do.
    pub(crate) fn take(&self, will_do: impl Fn(&T) -> bool) -> Option<T> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().rposition(will_do)?;
        Some(idle.remove(at))
    }

    /// For the next body, in the place of the one that nobody has wanted for longest.
    pub(crate) fn keep(&self, used: T) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = (idle.len() >= MOST_IDLE).then(|| idle.remove(0));
        idle.push(used);
        drop(idle);
        drop(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_used_next_and_few_are_kept() {
        let idle = Idle::new();
        for number in 1..=3 {
            idle.keep(number);
        }
        assert_eq!(idle.take(|number| *number < 3), Some(2));
        assert_eq!(idle.take(|number| *number == 1), None, "in the place of the first came the last");
        assert_eq!(idle.take(|_| true), Some(3));
        assert_eq!(idle.take(|_| true), None);
    }
}
