//! The server as a service of the process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use sdk_component::host::Host;
use sdk_component::{Blame, BoxFuture, MemoryHttp, Problem, Service, Stop, Stopped, Update};
use sdk_net::server::{Limits, Listener, ServerTls, serve_switching};
use tokio::sync::watch;

use crate::answer::answer;
use crate::arguments::{Arguments, Tls};
use crate::auth::Gate;
use crate::routes::{Mount, Router, readiness, text};
use crate::support::Support;

/// What the command line says.
#[derive(Clone)]
pub struct Options {
    /// `--server.http.listen-addr`; port 0 takes a free one.
    pub listen_address: String,
    /// `--server.http.memory-addr`: the name by which targets reach this server without leaving the process.
    pub memory_address: String,
    /// None with `--server.http.disable-support-bundle`.
    pub support: Option<Support>,
}

/// The HTTP server.
pub struct Http {
    listener: Mutex<Option<Listener>>,
    local_address: SocketAddr,
    memory_address: String,
    mounts: Vec<Mount>,
    support: Option<Support>,
    state: Arc<State>,
}

/// The port cannot be had.
#[derive(Debug)]
pub struct BindError(sdk_net::server::BindError);

/// More clients wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 512;

/// What connections look at.
pub(crate) struct State {
    router: OnceLock<Router>,
    /// None until the first load.
    settings: RwLock<Option<Settings>>,
    /// True when answers that go on must end.
    stopping: watch::Sender<bool>,
}

#[derive(Clone)]
struct Settings {
    tls: Option<Arc<ServerTls>>,
    gate: Arc<Gate>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen_address: "127.0.0.1:12345".to_owned(),
            memory_address: "alloy.internal:12345".to_owned(),
            support: Some(Support::default()),
        }
    }
}

// === impl Http ===

impl Http {
    /// Takes the port. Connections wait until the service runs.
    pub async fn bind(options: Options, mounts: Vec<Mount>) -> Result<Http, BindError> {
        let listener = Listener::bind(&options.listen_address).await.map_err(BindError)?;
        Ok(Http {
            local_address: listener.address(),
            listener: Mutex::new(Some(listener)),
            memory_address: options.memory_address,
            mounts,
            support: options.support,
            state: Arc::new(State {
                router: OnceLock::new(),
                settings: RwLock::new(None),
                stopping: watch::Sender::default(),
            }),
        })
    }

    /// Whether [`Service::update`] will accept these arguments; for `validate`, which has no server.
    pub fn check(arguments: Arguments) -> Result<(), Problem> {
        arguments.tls.map(usable).transpose().map(drop)
    }

    /// Where it listens; the port is the real one.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }
}

impl Service for Http {
    const NAME: &'static str = "http";

    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let gate = Arc::new(Gate::new(arguments.auth.as_ref()));
        let tls = arguments.tls.map(usable).transpose()?.map(Arc::new);
        let state = self.state.clone();
        Ok(Update::then(move || {
            *state.settings.write().unwrap_or_else(PoisonError::into_inner) = Some(Settings { tls, gate });
        }))
    }

    async fn run(self: Arc<Self>, host: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.ok_or_else(|| Stopped("the HTTP server runs already".to_owned()))?;
        // Not set twice: whoever has the listener is the first.
        let _ = self.state.router.set(Router::new(host, &self.mounts, self.support.clone()));
        tracing::info!(service = "http", addr = %self.local_address, "now listening for http traffic");
        let limits = Limits { max_connections: MAX_CONNECTIONS, ..Limits::default() };
        let (state, answering) = (self.state.clone(), self.state.clone());
        let service = move |request, _| answer(request, answering.clone());
        let stopped = async {
            stop.stopped().await;
            self.state.stopping.send_replace(true);
        };
        serve_switching(listener, move || state.tls(), limits, service, stopped, stop.grace()).await;
        Ok(())
    }
}

impl MemoryHttp for Http {
    fn address(&self) -> &str {
        &self.memory_address
    }

    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.state.answer(request))
    }
}

/// Certificates and keys that are what they should be.
fn usable(tls: Tls) -> Result<ServerTls, Problem> {
    let reads_files = [&tls.cert_file, &tls.key_file, &tls.client_ca_file].iter().any(|file| !file.is_empty());
    // The machine that checks a configuration need not be the one that has the files.
    let blame = if reads_files { Blame::Environment } else { Blame::Configuration };
    ServerTls::new(tls.into()).map_err(|error| Problem { blame, ..Problem::at("tls", error.0) })
}

// === impl State ===

impl State {
    /// The TLS settings, if connections are to speak TLS.
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.tls.clone()
    }

    /// Resolves when the server stops.
    pub async fn stopping(&self) {
        // The sender is held by `self`, so it cannot be gone.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// The answer to a request from outside that may not pass.
    pub fn refuse(&self, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(settings) = settings else {
            // Nobody knows yet what the configuration protects.
            return if matches!(path, "/-/ready" | "/-/healthy") { None } else { Some(readiness(false)) };
        };
        if settings.gate.admits(path, headers) {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Restricted\""));
        Some(response)
    }

    /// The answer of the routes.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        match self.router.get() {
            Some(router) => router.answer(request).await,
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the server is starting\n"),
        }
    }
}

// === impl BindError ===

impl BindError {
    /// As it was given on the command line.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Why, and what to do about it.
    pub fn reason(&self) -> String {
        format!("{}{}", self.0.error, self.0.cure)
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to listen on {}: {}", self.address(), self.reason())
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.error)
    }
}

#[cfg(test)]
mod tests;
