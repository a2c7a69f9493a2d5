//! Tasks that have an owner: each is named, a panic in one is reported, and a [`Scope`]'s tasks end together.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<T> {
    /// It returned.
    Returned(T),
    /// It panicked, with this message.
    Panicked(String),
    /// Its scope was closed and the grace period passed, or its runtime is shutting down.
    Cut,
}

/// A spawned task. Dropping the handle leaves the task running: its scope ends it.
#[derive(Debug)]
pub struct Task<T> {
    handle: tokio::task::JoinHandle<Ended<T>>,
}

/// Tasks that end together.
///
/// Stopping is in two steps: [`Scope::stop`] asks (each task sees it through [`Scope::stopped`] and ends in its own way),
/// and [`Scope::close`] waits for a bounded time, then cuts off at its next await what is still there. Dropping the last
/// clone of a scope cuts its tasks at once.
#[derive(Debug, Clone)]
pub struct Scope {
    inner: Arc<ScopeInner>,
}

#[derive(Debug)]
struct ScopeInner {
    tracker: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Spawns a task that belongs to nobody; prefer [`Scope::spawn`]. A panic is logged with `name` and ends only this task.
#[allow(clippy::disallowed_methods)] // this is the door that the ban points to
pub fn spawn<F>(name: impl Into<Arc<str>>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let name = name.into();
    Task { handle: tokio::spawn(caught(name, future)) }
}

/// Runs blocking work (disk, CPU) on the blocking pool. A panic is logged with `name`.
pub async fn blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Ended<T> {
    let joined = tokio::task::spawn_blocking(move || std::panic::catch_unwind(AssertUnwindSafe(work))).await;
    match joined {
        Ok(Ok(value)) => Ended::Returned(value),
        Ok(Err(panic)) => Ended::Panicked(report(name, panic)),
        Err(_) => Ended::Cut,
    }
}

async fn caught<F: Future>(name: Arc<str>, future: F) -> Ended<F::Output> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(value) => Ended::Returned(value),
        Err(panic) => Ended::Panicked(report(&name, panic)),
    }
}

fn report(name: &str, panic: Box<dyn Any + Send>) -> String {
    let message = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => "panicked with something that is not text".to_owned(),
        },
    };
    tracing::error!(task = name, panic = %message, "task panicked; this is a fault in Ferroalloy, please report it");
    message
}

// === impl Ended ===

impl<T> Ended<T> {
    /// The returned value, if the task got that far.
    pub fn returned(self) -> Option<T> {
        match self {
            Ended::Returned(value) => Some(value),
            Ended::Panicked(_) | Ended::Cut => None,
        }
    }
}

// === impl Task ===

impl<T> Task<T> {
    /// Cuts the task off at its next await.
    pub fn cut(&self) {
        self.handle.abort();
    }

    /// Whether it has ended, in whichever way.
    pub fn is_ended(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<T>> {
        Pin::new(&mut self.handle).poll(cx).map(|joined| joined.unwrap_or(Ended::Cut))
    }
}

// === impl Scope ===

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// An empty scope.
    pub fn new() -> Self {
        Self::with_stop(CancellationToken::new())
    }

    /// A scope that is asked to stop when this one is, and can be closed before it. Closing this one does not wait for
    /// the child's tasks: who made the child closes it.
    pub fn child(&self) -> Self {
        Self::with_stop(self.inner.stop.child_token())
    }

    fn with_stop(stop: CancellationToken) -> Self {
        let inner = ScopeInner { tracker: TaskTracker::new(), stop, cut: CancellationToken::new() };
        Scope { inner: Arc::new(inner) }
    }

    /// Spawns a task that ends with this scope. A panic is logged with `name` and ends only this task.
    pub fn spawn<F>(&self, name: impl Into<Arc<str>>, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cut = self.inner.cut.clone();
        let guarded = async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => Ended::Cut,
                value = future => Ended::Returned(value),
            }
        };
        let name = name.into();
        let flat = async move {
            match caught(name, guarded).await {
                Ended::Returned(ended) => ended,
                Ended::Panicked(message) => Ended::Panicked(message),
                Ended::Cut => Ended::Cut,
            }
        };
        Task { handle: self.inner.tracker.spawn(flat) }
    }

    /// Asks the tasks to end.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Resolves when the tasks are asked to end. Does not keep the scope alive, so a task may hold it.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.inner.stop.clone().cancelled_owned()
    }

    /// Whether the tasks were asked to end.
    pub fn is_stopped(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.inner.tracker.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.inner.tracker.is_empty()
    }

    /// Asks the tasks to end, waits at most `grace`, cuts off the rest, and says how many had to be cut.
    pub async fn close(&self, grace: Duration) -> usize {
        self.stop();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_ok() {
            return 0;
        }
        let cut = self.inner.tracker.len();
        self.inner.cut.cancel();
        self.inner.tracker.wait().await;
        cut
    }
}

impl Drop for ScopeInner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_task_and_is_told() {
        let scope = Scope::new();
        let bad = scope.spawn("bad", async { panic!("no such {}", "luck") });
        let good = scope.spawn("good", async { 7 });
        let ended: Ended<()> = bad.await;
        assert_eq!(ended, Ended::Panicked("no such luck".into()));
        assert_eq!(good.await, Ended::Returned(7));
        assert_eq!(blocking("bad", || -> u8 { panic!("no") }).await, Ended::Panicked("no".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_the_willing_and_cuts_the_rest() {
        let scope = Scope::new();
        let stopped = scope.stopped();
        let willing = scope.spawn("willing", async move {
            stopped.await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            "drained"
        });
        let deaf = scope.spawn("deaf", std::future::pending::<()>());
        assert_eq!(scope.close(Duration::from_secs(5)).await, 1);
        assert_eq!(willing.await, Ended::Returned("drained"));
        assert_eq!(deaf.await, Ended::Cut);
    }

    #[tokio::test]
    async fn dropping_a_scope_ends_its_tasks() {
        let scope = Scope::new();
        let task = scope.spawn("forever", std::future::pending::<()>());
        drop(scope);
        assert_eq!(task.await, Ended::Cut);
    }

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_not_the_other_way() {
        let parent = Scope::new();
        let child = parent.child();
        child.stop();
        assert!(!parent.is_stopped());
        let other = parent.child();
        parent.stop();
        other.stopped().await;
    }
}
