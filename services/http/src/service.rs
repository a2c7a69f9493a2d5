//! The server as a service of the process.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use base_sys::task::Scope;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use sdk_component::host::Host;
use sdk_component::{BoxFuture, MemoryHttp, Problem, Service, Stop, Stopped, Update};

use crate::arguments::Arguments;
use crate::auth::Gate;
use crate::routes::{Mount, Router, readiness, text};
use crate::server;
use crate::tls::ServerTls;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--server.http.listen-addr`; port 0 takes a free one.
    pub listen_address: String,
    /// `--server.http.memory-addr`: the name by which targets reach this server without leaving the process.
    pub memory_address: String,
    /// Not `--server.http.disable-support-bundle`.
    pub support_bundle: bool,
}

/// The HTTP server.
pub struct Http {
    listener: Mutex<Option<std::net::TcpListener>>,
    local_address: SocketAddr,
    memory_address: String,
    mounts: Vec<Mount>,
    support_bundle: bool,
    state: Arc<State>,
}

/// The port cannot be had.
#[derive(Debug)]
pub struct BindError {
    /// As given on the command line.
    pub address: String,
    /// Why.
    pub error: std::io::Error,
}

/// What connections look at.
pub(crate) struct State {
    router: OnceLock<Router>,
    /// None until the first load.
    settings: RwLock<Option<Settings>>,
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
            support_bundle: true,
        }
    }
}

// === impl Http ===

impl Http {
    /// Takes the port. Connections wait until the service runs.
    pub fn bind(options: Options, mounts: Vec<Mount>) -> Result<Http, BindError> {
        let failed = |error| BindError { address: options.listen_address.clone(), error };
        let listener = listen(&options.listen_address).map_err(failed)?;
        let local_address = listener.local_addr().map_err(failed)?;
        Ok(Http {
            listener: Mutex::new(Some(listener)),
            local_address,
            memory_address: options.memory_address,
            mounts,
            support_bundle: options.support_bundle,
            state: Arc::new(State { router: OnceLock::new(), settings: RwLock::new(None) }),
        })
    }

    /// Where it listens; the port is the real one.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }
}

/// As Go does, a missing host is every address: `:12345`.
fn listen(address: &str) -> std::io::Result<std::net::TcpListener> {
    let address = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    let mut last = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Service for Http {
    const NAME: &'static str = "http";

    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let gate = Arc::new(Gate::new(arguments.auth.as_ref()));
        let tls = arguments.tls.map(|tls| ServerTls::new(tls).map(Arc::new)).transpose()?;
        let state = self.state.clone();
        Ok(Update::then(move || {
            *state.settings.write().unwrap_or_else(PoisonError::into_inner) = Some(Settings { tls, gate });
        }))
    }

    async fn run(self: Arc<Self>, host: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.ok_or_else(|| Stopped("the HTTP server runs already".to_owned()))?;
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(|error| Stopped(format!("cannot use {}: {error}", self.local_address)))?;
        // Not set twice: whoever has the listener is the first.
        let _ = self.state.router.set(Router::new(host, &self.mounts, self.support_bundle));
        tracing::info!(addr = %self.local_address, "now listening for http traffic");
        let tasks = Scope::new();
        tokio::select! {
            () = server::accept(&listener, self.state.clone(), tasks.clone()) => {}
            () = stop.stopped() => {}
        }
        drop(listener);
        tasks.close(stop.grace()).await;
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

// === impl State ===

impl State {
    /// The TLS settings, if connections are to speak TLS.
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.tls.clone()
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

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to listen on {}: {}", self.address, self.error)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests;
