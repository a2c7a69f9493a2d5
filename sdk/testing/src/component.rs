//! A component alone: built from configuration text, run, updated, asked, stopped.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::Registry;
use bytes::Bytes;
use language_eval::block::BodySource;
use language_eval::{Block, Scope, Value};
use language_syntax::{Source, parse};
use sdk_component::context::MemoryHttp;
use sdk_component::health::HealthState;
use sdk_component::{Component, Context, ContextParts, Stability, Stop};
use tokio_util::sync::CancellationToken;

/// How long a component may take to stop.
const GRACE: Duration = Duration::from_secs(5);

/// One component and all that a test asks of it.
pub struct Alone<C> {
    /// What the component was given.
    pub context: Context,
    /// The component.
    pub component: Arc<C>,
    registry: Registry,
    health: Arc<Mutex<Option<(HealthState, String)>>>,
    running: Option<(CancellationToken, tokio::task::JoinHandle<Result<(), sdk_component::Stopped>>)>,
    _data: Option<tempfile::TempDir>,
}

/// Decodes the inside of a block; the error is every diagnostic as text.
pub fn decode<A: Block>(config: &str, scope: &Scope) -> Result<A, String> {
    let source = Source::new("test.alloy", config);
    let (file, diagnostics) = parse(source.clone());
    if !diagnostics.is_empty() {
        return Err(diagnostics.to_string());
    }
    let body = BodySource { body: &file.body, source: &source, header: Default::default(), label: Some("test"), scope };
    body.decode().map_err(|diagnostics| diagnostics.to_string())
}

/// A scope in which each name has the value.
pub fn scope<'a>(names: impl IntoIterator<Item = (&'a str, Value)>) -> Scope {
    let mut scope = Scope::new();
    for (name, value) in names {
        scope.set(name, value).expect("the names of a test do not hide each other");
    }
    scope
}

impl<C: Component> Alone<C> {
    /// Builds from the inside of the component's block. Its label is `test`.
    pub fn build(config: &str, scope: &Scope) -> Result<Alone<C>, String> {
        let data = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut alone = Alone::build_in(config, scope, data.path())?;
        alone._data = Some(data);
        Ok(alone)
    }

    /// [`Alone::build`] over a directory that was there before and stays: what a restart finds is
    /// `<data>/<component>.test`.
    pub fn build_in(config: &str, scope: &Scope, data: &Path) -> Result<Alone<C>, String> {
        let local_id = format!("{}.test", C::NAME);
        let registry = Registry::new();
        let health: Arc<Mutex<Option<(HealthState, String)>>> = Arc::default();
        let said = health.clone();
        let context = Context::new(ContextParts {
            data_path: data.join(&local_id),
            id: local_id.clone(),
            module_path: "/".to_owned(),
            metrics: registry.scope(&[("component_path", "/"), ("component_id", &local_id)]),
            local_id,
            minimum_stability: Stability::Experimental,
            on_exports: Box::new(|_| {}),
            on_health: Box::new(move |state, message| {
                *said.lock().unwrap_or_else(PoisonError::into_inner) = Some((state, message));
            }),
            memory_http: Arc::new(NoServer),
            listen_address: "127.0.0.1:12345".to_owned(),
        });
        let component = C::build(&context, decode(config, scope)?).map_err(|problem| problem.to_string())?;
        Ok(Alone { context, component: Arc::new(component), registry, health, running: None, _data: None })
    }

    /// Builds and runs.
    pub fn start(config: &str, scope: &Scope) -> Result<Alone<C>, String> {
        let mut alone = Alone::build(config, scope)?;
        alone.run();
        Ok(alone)
    }

    /// Runs what was built.
    pub fn run(&mut self) {
        let token = CancellationToken::new();
        let stop = Stop::new(token.clone(), GRACE);
        self.running = Some((token, tokio::spawn(self.component.clone().run(stop))));
    }

    /// New arguments, committed at once.
    pub fn update(&self, config: &str, scope: &Scope) -> Result<(), String> {
        let update = self.component.update(decode(config, scope)?).map_err(|problem| problem.to_string())?;
        if let Some(exports) = update.exports {
            self.context.publish_object(exports);
        }
        (update.commit)();
        Ok(())
    }

    /// A field of what the component exports.
    pub fn export(&self, name: &str) -> Option<Value> {
        self.context.exports().get(name).cloned()
    }

    /// What it last said of its health.
    pub fn health(&self) -> Option<(HealthState, String)> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of its metrics.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.registry.value(name, labels)
    }

    /// All of its metrics, as a page.
    pub fn metrics(&self) -> String {
        self.registry.text()
    }

    /// Stops it, and waits until it has.
    pub async fn stop(&mut self) -> Result<(), String> {
        let Some((token, running)) = self.running.take() else { return Ok(()) };
        token.cancel();
        let stopped = tokio::time::timeout(GRACE * 2, running).await;
        let stopped = stopped.map_err(|_| "it does not stop".to_owned())?;
        stopped.map_err(|error| error.to_string())?.map_err(|stopped| stopped.to_string())
    }
}

/// There is no server of our own beside a component alone.
struct NoServer;

impl MemoryHttp for NoServer {
    fn address(&self) -> &str {
        "alloy.internal:12345"
    }

    fn call(&self, _: http::Request<Bytes>) -> sdk_component::component::BoxFuture<'_, http::Response<Bytes>> {
        let mut response = http::Response::new(Bytes::from_static(b"no server runs beside this test"));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        Box::pin(async { response })
    }
}
