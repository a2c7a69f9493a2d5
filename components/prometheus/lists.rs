//! Lists of series, known again by their address.
//!
//! A page that is scraped again hands the very same list on (see `sdk_signals::Samples`), so what was found out about the
//! whole list need not be found out about each of its series again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use sdk_series::Series;

/// Lists are looked through for such that nobody uses any more when their number has doubled, from this number on.
const FEW: usize = 16;

/// What is known of lists that somebody uses.
pub(crate) struct Lists<T> {
    /// With the list, so that no other one comes to lie at its address.
    known: HashMap<usize, (Weak<[Series]>, T)>,
    sweep_at: usize,
}

// === impl Lists ===

impl<T> Lists<T> {
    pub(crate) fn new() -> Lists<T> {
        Lists { known: HashMap::new(), sweep_at: FEW }
    }

    /// What is known of a list.
    pub(crate) fn of(&mut self, list: &Arc<[Series]>, new: impl FnOnce() -> T) -> &mut T {
        &mut self.known.entry(Arc::as_ptr(list).addr()).or_insert_with(|| (Arc::downgrade(list), new())).1
    }

    /// Forgets lists that nobody uses any more, if there may be many by now. Whether it did.
    pub(crate) fn sweep(&mut self) -> bool {
        let due = self.known.len() >= self.sweep_at;
        if due {
            self.known.retain(|_, (list, _)| list.strong_count() > 0);
            self.sweep_at = (self.known.len() * 2).max(FEW);
        }
        due
    }

    /// What is known of all lists.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.known.values().map(|(_, known)| known)
    }

    pub(crate) fn clear(&mut self) {
        *self = Lists::new();
    }
}

#[cfg(test)]
mod tests {
    use sdk_labels::Labels;

    use super::*;

    #[test]
    fn lists_are_known_while_they_are_used() {
        let list = |name: &str| Arc::<[Series]>::from([Series::of(&Labels::from_pairs([("__name__", name)]))]);
        let used = list("used");
        let mut lists = Lists::new();
        let mut told = 0;
        for _ in 0..100 {
            lists.sweep();
            // What lies where one lay that is gone is not taken for it.
            assert_eq!(*lists.of(&list("other"), || 0), 0);
            *lists.of(&list("other"), || 0) += 1;
            *lists.of(&used, || 0) += 1;
            told += 1;
            assert_eq!(*lists.of(&used, || 0), told);
        }
        assert!(lists.known.len() <= FEW + 2, "{}", lists.known.len());
    }
}
