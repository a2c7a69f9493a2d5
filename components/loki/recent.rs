//! A map that forgets what has not been asked for in a while.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Keeps between one and two times as many entries as its capacity says: when the young half is full it becomes the old
/// half, and what was in the old half and has not been asked for is forgotten.
pub struct Recent<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    capacity: usize,
}

// === impl Recent ===

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// Empty.
    pub fn new(capacity: usize) -> Recent<K, V> {
        Recent { young: HashMap::default(), old: HashMap::default(), capacity: capacity.max(1) }
    }

    /// The entry, if it is still remembered.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Remembers; true when the halves changed places.
    pub fn insert(&mut self, key: K, value: V) -> bool {
        let turns = self.young.len() >= self.capacity && !self.young.contains_key(&key);
        if turns {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays() {
        let mut recent = Recent::new(2);
        for key in 0..20 {
            recent.insert(key, key);
            assert_eq!(recent.get(&0), Some(&mut 0));
        }
        assert_eq!(recent.get(&5), None);
        assert!(recent.young.len() <= 2 && recent.old.len() <= 2);
    }
}
