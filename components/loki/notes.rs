//! Writes down what a component shows to those who look at it, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use sdk_component::{Passed, Tap, Watcher, Watching};

/// Looks until it is dropped.
pub struct Notes {
    notes: Arc<Written>,
    _watching: Watching,
}

#[derive(Default)]
struct Written(Mutex<Vec<String>>);

impl Notes {
    /// Looks at a component.
    pub fn of(tap: &Tap) -> Notes {
        let notes: Arc<Written> = Arc::default();
        Notes { _watching: tap.watch(notes.clone()), notes }
    }

    /// What was shown since the last time: counts with their signal, and texts.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Written {
    fn add(&self, note: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }
}

impl Watcher for Written {
    fn passed(&self, passed: &Passed<'_>) {
        self.add(format!("{} {}", passed.count, passed.signal));
    }

    fn shown(&self, text: &dyn Fn() -> String) {
        self.add(text());
    }

    fn wants_text(&self) -> bool {
        true
    }
}
