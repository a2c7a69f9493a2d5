//! What is waiting to be looked at: one mark per node, however often it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Marks of nodes, set from any task and taken by the controller.
#[derive(Default)]
pub(crate) struct Marks {
    pending: Mutex<BTreeMap<Place, Mark>>,
    wake: Notify,
}

/// A node, by the id of its module and its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub module: Arc<str>,
    pub node: Arc<str>,
}

/// Why to look, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The node itself must be evaluated: an import's content has changed, a component must be built again. Without it,
    /// only its exports may have changed.
    pub evaluate: bool,
    /// What depends on it must be evaluated, whatever its exports: what an import holds has changed. A wave in the
    /// import's own module says so.
    pub changed: bool,
    pub since: Instant,
}

impl Marks {
    /// The exports of a node may have changed.
    pub fn exports(&self, place: Place) {
        self.set(place, false);
    }

    /// The node must be evaluated again.
    pub fn evaluate(&self, place: Place) {
        self.set(place, true);
    }

    fn set(&self, place: Place, evaluate: bool) {
        let mut pending = self.lock();
        let mark = pending.entry(place).or_insert(Mark { evaluate, changed: false, since: Instant::now() });
        mark.evaluate |= evaluate;
        drop(pending);
        self.wake.notify_one();
    }

    /// All marks, which are gone then.
    pub fn take(&self) -> BTreeMap<Place, Mark> {
        std::mem::take(&mut self.lock())
    }

    /// How many nodes wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Resolves when there may be marks.
    pub async fn marked(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Mark>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
