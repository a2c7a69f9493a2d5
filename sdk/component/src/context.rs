//! What a component may touch. There are no globals.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use language_eval::Object;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::component::BoxFuture;
use crate::health::HealthState;
use crate::problem::Problem;
use crate::stability::Stability;
use crate::tap::Tap;

/// One component's door to the world; cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    parts: ContextParts,
    tasks: TaskTracker,
    span: tracing::Span,
    exports: Mutex<Object>,
    tap: Tap,
}

/// What the runtime (or a test) makes a [`Context`] of.
pub struct ContextParts {
    /// Global id: module id, `/`, local id; the local id alone at the root.
    pub id: String,
    /// `/` + module id.
    pub module_path: String,
    /// Local id: `loki.write.default`.
    pub local_id: String,
    /// `<storage.path>/<global id>`; made on demand.
    pub data_path: PathBuf,
    /// The least settled that may be used.
    pub minimum_stability: Stability,
    /// Own metrics, already labelled `component_path` and `component_id`.
    pub metrics: base_metrics::Scope,
    /// Told of new exports, whenever they really differ.
    pub on_exports: Box<dyn Fn(Object) + Send + Sync>,
    /// Told of the component's own view of its health.
    pub on_health: Box<dyn Fn(HealthState, String) + Send + Sync>,
    /// Requests to our own HTTP server that never leave the process.
    pub memory_http: Arc<dyn MemoryHttp>,
    /// `--server.http.listen-addr` as given.
    pub listen_address: String,
}

/// The in-memory listener (`--server.http.memory-addr`).
pub trait MemoryHttp: Send + Sync {
    /// The address that targets name to reach it: `alloy.internal:12345`.
    fn address(&self) -> &str;

    /// One request to our own server.
    fn call(&self, request: http::Request<Bytes>) -> BoxFuture<'_, http::Response<Bytes>>;
}

/// Says when to stop, and how long the drain may take.
#[derive(Clone, Debug)]
pub struct Stop {
    token: CancellationToken,
    announced: CancellationToken,
    grace: Duration,
}

// === impl Context ===

impl Context {
    /// For the runtime and for tests.
    pub fn new(parts: ContextParts) -> Context {
        let span = tracing::info_span!("component", component_path = parts.module_path, component_id = parts.local_id);
        let tap = Tap::new(&parts.id);
        Context(Arc::new(Shared {
            parts,
            tasks: TaskTracker::new(),
            span,
            exports: Mutex::new(Object::default()),
            tap,
        }))
    }

    /// Global id.
    pub fn id(&self) -> &str {
        &self.0.parts.id
    }

    /// Id within its module: `loki.write.default`.
    pub fn local_id(&self) -> &str {
        &self.0.parts.local_id
    }

    /// Where own state lives. The directory may not exist yet.
    pub fn data_path(&self) -> &Path {
        &self.0.parts.data_path
    }

    /// Own metrics; they vanish with the component.
    pub fn metrics(&self) -> &base_metrics::Scope {
        &self.0.parts.metrics
    }

    /// Publishes exports; dependants are re-evaluated if they differ from the last ones.
    pub fn publish(&self, exports: &impl language_eval::Exports) {
        self.publish_object(exports.to_object());
    }

    /// [`Context::publish`], already encoded.
    pub fn publish_object(&self, exports: Object) {
        let mut current = self.0.exports.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *current == exports {
            return;
        }
        *current = exports.clone();
        drop(current);
        (self.0.parts.on_exports)(exports);
    }

    /// What was published last.
    pub fn exports(&self) -> Object {
        self.0.exports.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// All is well again, or still.
    pub fn healthy(&self, message: impl Into<String>) {
        (self.0.parts.on_health)(HealthState::Healthy, message.into());
    }

    /// Something keeps it from its work; it goes on trying.
    pub fn unhealthy(&self, message: impl Into<String>) {
        (self.0.parts.on_health)(HealthState::Unhealthy, message.into());
    }

    /// Starts a task that is cancelled with the component and logs in its name.
    pub fn spawn<T: Send + 'static>(
        &self,
        stop: &Stop,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        use tracing::Instrument;
        let stop = stop.token.clone();
        // In a box, as each layer around a future that it takes by value makes room for it twice.
        let task: BoxFuture<'static, T> = Box::pin(task);
        self.0.tasks.spawn(stop.run_until_cancelled_owned(task).instrument(self.0.span.clone()))
    }

    /// The component's name in every event logged inside it.
    pub fn span(&self) -> &tracing::Span {
        &self.0.span
    }

    /// What is less settled than the process allows is refused in Alloy's words (spec §3.4); `argument` is the field.
    pub fn require(&self, needed: Stability, argument: &'static str) -> Result<(), Problem> {
        if needed >= self.0.parts.minimum_stability {
            return Ok(());
        }
        Err(Problem::at(
            argument,
            format!(
                "{argument} is an {needed} feature, and must be enabled by setting the stability.level flag to {needed}"
            ),
        ))
    }

    /// The least settled that may be used.
    pub fn minimum_stability(&self) -> Stability {
        self.0.parts.minimum_stability
    }

    /// The in-memory listener.
    pub fn memory_http(&self) -> &Arc<dyn MemoryHttp> {
        &self.0.parts.memory_http
    }

    /// `--server.http.listen-addr`.
    pub fn listen_address(&self) -> &str {
        &self.0.parts.listen_address
    }

    /// Where the component shows what passes it. Whoever takes it can be looked at: the web API says so.
    pub fn tap(&self) -> Tap {
        self.0.tap.take()
    }

    /// For the runtime: the tap, if the component has taken it.
    pub fn taken_tap(&self) -> Option<Tap> {
        self.0.tap.is_taken().then(|| self.0.tap.clone())
    }

    /// For the runtime: all tasks of the component, to wait for at its end.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }
}

// === impl Stop ===

impl Stop {
    /// Stops when `token` is cancelled; draining may take `grace`.
    pub fn new(token: CancellationToken, grace: Duration) -> Stop {
        Stop { announced: token.clone(), token, grace }
    }

    /// The same, known beforehand: `announced` is cancelled when the whole graph is about to stop.
    pub fn announced_by(self, announced: CancellationToken) -> Stop {
        Stop { announced, ..self }
    }

    /// Resolves when everything is going to stop: first those that hand data to this component, who wait until it is safe.
    /// What keeps data in memory alone writes it down from now on.
    pub async fn announced(&self) {
        tokio::select! {
            () = self.announced.cancelled() => {}
            () = self.token.cancelled() => {}
        }
    }

    /// Resolves when it is time to stop.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Whether it is.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// How long the drain may take.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// A stop of one part: happens with this one, or earlier by the returned token.
    pub fn child(&self) -> (Stop, CancellationToken) {
        let token = self.token.child_token();
        (Stop { token: token.clone(), announced: self.announced.clone(), grace: self.grace }, token)
    }
}
