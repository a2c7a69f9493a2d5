//! What the disk did not take.

use std::collections::{BTreeMap, HashMap};

/// More than this is not kept: it is in memory a second time.
const MOST_BYTES: usize = 32 << 20;

/// Parts of entries that are to be written when the disk takes them, in their order.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    parts: BTreeMap<i64, (u64, Vec<u8>)>,
    /// Which of them are of an entry.
    of: HashMap<u64, Vec<i64>>,
    bytes: usize,
}

// === impl Unwritten ===

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Behind the others. False if it is too much.
    pub(super) fn keep(&mut self, entry: u64, part: &[u8]) -> bool {
        if self.bytes + part.len() > MOST_BYTES {
            return false;
        }
        let at = self.parts.last_key_value().map_or(0, |(last, _)| last + 1);
        self.insert(at, entry, part.to_vec());
        true
    }

    /// One that was taken out comes before the others again.
    pub(super) fn put_back(&mut self, entry: u64, part: &[u8]) {
        let at = self.parts.first_key_value().map_or(0, |(first, _)| first - 1);
        self.insert(at, entry, part.to_vec());
    }

    /// Takes out the first one.
    pub(super) fn take(&mut self) -> Option<(u64, Vec<u8>)> {
        let (at, (entry, part)) = self.parts.pop_first()?;
        self.bytes -= part.len();
        if let Some(of) = self.of.get_mut(&entry) {
            of.retain(|other| *other != at);
            if of.is_empty() {
                self.of.remove(&entry);
            }
        }
        Some((entry, part))
    }

    /// The entry is settled: nothing of it need be written.
    pub(super) fn forget(&mut self, entry: u64) {
        for at in self.of.remove(&entry).unwrap_or_default() {
            if let Some((_, part)) = self.parts.remove(&at) {
                self.bytes -= part.len();
            }
        }
    }

    fn insert(&mut self, at: i64, entry: u64, part: Vec<u8>) {
        self.bytes += part.len();
        self.parts.insert(at, (entry, part));
        self.of.entry(entry).or_default().push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_their_order_and_settled_ones_do_not() {
        let mut unwritten = Unwritten::default();
        for (entry, part) in [(7, b"a"), (8, b"b"), (7, b"c"), (9, b"d")] {
            assert!(unwritten.keep(entry, part));
        }
        let first = unwritten.take().unwrap();
        assert_eq!(first, (7, b"a".to_vec()));
        unwritten.put_back(first.0, &first.1);
        unwritten.forget(8);
        let rest: Vec<_> = std::iter::from_fn(|| unwritten.take()).collect();
        assert_eq!(rest, [(7, b"a".to_vec()), (7, b"c".to_vec()), (9, b"d".to_vec())]);
        assert!(unwritten.is_empty() && unwritten.bytes == 0 && unwritten.of.is_empty());
    }

    #[test]
    fn what_is_kept_has_a_bound_that_settled_entries_give_back() {
        let mut unwritten = Unwritten::default();
        assert!(unwritten.keep(1, &vec![0; MOST_BYTES - 1]));
        assert!(!unwritten.keep(2, b"ab"));
        assert!(unwritten.keep(2, b"a"));
        unwritten.forget(1);
        assert!(unwritten.keep(3, b"ab"));
        assert_eq!(unwritten.take(), Some((2, b"a".to_vec())));
    }
}
