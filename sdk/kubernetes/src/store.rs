//! Objects as they are now.

use std::collections::{BTreeSet, HashMap};

use crate::objects::{Metadata, Object};
use crate::watch::Change;

/// An object's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Empty for what is in no namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// All objects of one kind, as several watches tell of them.
#[derive(Debug)]
pub struct Store<T> {
    objects: HashMap<Key, (usize, T)>,
}

// === impl Key ===

impl Key {
    /// Of these.
    pub fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Of an object.
    pub fn of(metadata: &Metadata) -> Key {
        Key::new(&metadata.namespace, &metadata.name)
    }
}

impl<T> Default for Store<T> {
    fn default() -> Store<T> {
        Store { objects: HashMap::new() }
    }
}

// === impl Store ===

impl<T: Object + PartialEq> Store<T> {
    /// One of them.
    pub fn get(&self, key: &Key) -> Option<&T> {
        self.objects.get(key).map(|(_, object)| object)
    }

    /// What there is.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    /// All of them, by namespace and name.
    pub fn sorted(&self) -> Vec<(&Key, &T)> {
        let mut all: Vec<(&Key, &T)> = self.objects.iter().map(|(key, (_, object))| (key, object)).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Takes a change over that this watch has told; gives back what is different now. `count` is told `add`, `update` or `delete` for every event.
    pub fn apply(&mut self, watch: usize, change: Change<T>, mut count: impl FnMut(&str)) -> Vec<Key> {
        let mut changed = Vec::new();
        match change {
            Change::All(objects) => {
                let present: BTreeSet<Key> = objects.iter().map(|object| Key::of(object.metadata())).collect();
                let gone = self.objects.iter().filter(|(key, (of, _))| *of == watch && !present.contains(key));
                let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
                for key in gone {
                    count("delete");
                    self.objects.remove(&key);
                    changed.push(key);
                }
                for object in objects {
                    changed.extend(self.set(watch, object, &mut count));
                }
            }
            Change::Set(object) => changed.extend(self.set(watch, object, &mut count)),
            Change::Gone(object) => {
                let key = Key::of(object.metadata());
                count("delete");
                changed.extend(self.objects.remove(&key).map(|_| key));
            }
            Change::Failing(_) | Change::Working => {}
        }
        changed
    }

    fn set(&mut self, watch: usize, object: T, count: &mut impl FnMut(&str)) -> Option<Key> {
        let key = Key::of(object.metadata());
        match self.objects.get_mut(&key) {
            Some((_, known)) if *known == object => {
                count("update");
                None
            }
            Some(known) => {
                count("update");
                *known = (watch, object);
                Some(key)
            }
            None => {
                count("add");
                self.objects.insert(key.clone(), (watch, object));
                Some(key)
            }
        }
    }
}
