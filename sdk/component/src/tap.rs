//! A look at what passes a component: the rates of the web API's graph, and its live debugging.
//!
//! A component that takes its tap ([`Context::tap`](crate::Context::tap)) can be looked at. While nobody looks, a batch
//! costs one relaxed load. Whoever looks is told of counts and, if it wants them, texts; it never makes the component
//! wait, and what it has no room for it leaves out.
//!
//! ```ignore
//! if let Some(look) = self.tap.look() {
//!     look.count("loki_log", batch.len() as u64);
//!     batch.lines().for_each(|line| look.show(|| text_of(line)));
//! }
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Where a component shows what passes it. Clones are the same.
#[derive(Clone)]
pub struct Tap(Arc<Inner>);

struct Inner {
    /// Global id.
    component: Arc<str>,
    /// The component shows something here.
    taken: AtomicBool,
    watched: AtomicBool,
    watchers: RwLock<Arc<[Arc<dyn Watcher>]>>,
}

/// Who looks. Both calls come from the component's own work: they must be quick and must not wait.
pub trait Watcher: Send + Sync {
    /// So much has passed.
    fn passed(&self, passed: &Passed<'_>);

    /// One record. `text` makes it; whoever has no room or no use for it does not call it.
    fn shown(&self, text: &dyn Fn() -> String);

    /// Whether [`Watcher::shown`] is of any use, so that a batch need not be gone through.
    fn wants_text(&self) -> bool;
}

/// What [`Watcher::passed`] is told.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Global id of the component.
    pub component: &'a Arc<str>,
    /// In Alloy's words: `target`, `prometheus_metric`, `loki_log`, `otel_metric`, `otel_log`, `otel_trace`.
    pub signal: &'static str,
    /// How many lines, samples, spans, records or targets.
    pub count: u64,
    /// Global ids of those who get it, where a component sends different things to different ones.
    pub to: Option<&'a [Arc<str>]>,
}

/// Those who look at this moment.
pub struct Look<'a> {
    component: &'a Arc<str>,
    watchers: Arc<[Arc<dyn Watcher>]>,
}

/// Somebody looks until this is dropped.
pub struct Watching {
    tap: Tap,
    watcher: Arc<dyn Watcher>,
}

// === impl Tap ===

impl Tap {
    /// Of a component, by its global id. For the runtime and for tests: a component has one in its context.
    pub fn new(component: &str) -> Tap {
        Tap(Arc::new(Inner {
            component: component.into(),
            taken: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            watchers: RwLock::new(Arc::default()),
        }))
    }

    /// Those who look, if anybody does.
    #[inline]
    pub fn look(&self) -> Option<Look<'_>> {
        if !self.0.watched.load(Ordering::Relaxed) {
            return None;
        }
        let watchers = self.0.watchers.read().unwrap_or_else(PoisonError::into_inner).clone();
        Some(Look { component: &self.0.component, watchers })
    }

    /// Global id of the component.
    pub fn component(&self) -> &Arc<str> {
        &self.0.component
    }

    /// Whether both are the same component in the same life.
    pub fn is(&self, other: &Tap) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Tells `watcher` of what passes from now on.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) -> Watching {
        self.change(|watchers| watchers.push(watcher.clone()));
        Watching { tap: self.clone(), watcher }
    }

    pub(crate) fn take(&self) -> Tap {
        self.0.taken.store(true, Ordering::Relaxed);
        self.clone()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<dyn Watcher>>)) {
        let mut current = self.0.watchers.write().unwrap_or_else(PoisonError::into_inner);
        let mut watchers = current.to_vec();
        change(&mut watchers);
        self.0.watched.store(!watchers.is_empty(), Ordering::Relaxed);
        *current = watchers.into();
    }
}

// === impl Look ===

impl Look<'_> {
    /// So much passes.
    pub fn count(&self, signal: &'static str, count: u64) {
        self.tell(&Passed { component: self.component, signal, count, to: None });
    }

    /// So much goes to these.
    pub fn count_to(&self, signal: &'static str, count: u64, to: &[Arc<str>]) {
        self.tell(&Passed { component: self.component, signal, count, to: Some(to) });
    }

    /// Whether it is of use to go through a batch and [`Look::show`] what is in it.
    pub fn wants_text(&self) -> bool {
        self.watchers.iter().any(|watcher| watcher.wants_text())
    }

    /// Shows one record; its text is made only if somebody takes it.
    pub fn show(&self, text: impl Fn() -> String) {
        self.watchers.iter().for_each(|watcher| watcher.shown(&text));
    }

    fn tell(&self, passed: &Passed<'_>) {
        self.watchers.iter().for_each(|watcher| watcher.passed(passed));
    }
}

// === impl Watching ===

impl Watching {
    /// At whom.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tap.change(|watchers| watchers.retain(|other| !Arc::ptr_eq(other, &self.watcher)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Watcher for Notes {
        fn passed(&self, passed: &Passed<'_>) {
            let note = format!("{} {} {}", passed.component, passed.count, passed.signal);
            self.0.lock().unwrap().push(note);
        }

        fn shown(&self, text: &dyn Fn() -> String) {
            self.0.lock().unwrap().push(text());
        }

        fn wants_text(&self) -> bool {
            true
        }
    }

    #[test]
    fn who_looks_is_told_until_it_looks_away() {
        let tap = Tap::new("loki.echo.e");
        assert!(tap.look().is_none(), "nobody looks, so nothing is made");
        let notes = Arc::new(Notes::default());
        let watching = tap.watch(notes.clone());
        let look = tap.look().expect("somebody looks");
        look.count("loki_log", 2);
        look.show(|| "line".to_owned());
        drop(watching);
        assert!(tap.look().is_none());
        assert_eq!(*notes.0.lock().unwrap(), ["loki.echo.e 2 loki_log", "line"]);
    }
}
