//! The server of a component that takes pushes: from its port to its end.
//!
//! [`Push`] binds (and tries again while it cannot), answers 404 and 405 itself, bounds bodies and time, counts what
//! Alloy's servers count, and follows changed arguments without losing a request. What a request means is the
//! [`Handler`]'s.

mod body;
mod metrics;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use sdk_component::{BoxFuture, Context, Problem, Stop};
use tokio::sync::{Semaphore, watch};
use tracing::{Instrument, Span};

pub use body::BodyError;
use metrics::ServerMetrics;

use super::accept::serve_counted;
use super::{Limits, Listener, PushServer, ServerTls};

/// Connections, when the configuration sets no limit.
const MAX_CONNECTIONS: usize = 10_000;
/// Time to read a request, when the configuration sets none: nobody may hold a connection for ever.
const LONGEST_READ: Duration = Duration::from_secs(300);
/// Time between two tries to get a port.
const BIND_RETRY: Duration = Duration::from_secs(5);
/// Bytes of all bodies of one server that may be in memory at the same time, as they came over the wire.
const BODY_BUDGET: usize = 256 << 20;

/// Gives requests their meaning.
pub trait Handler: Send + Sync + 'static {
    /// What there is to ask for.
    fn routes(&self) -> &'static [Route];

    /// Answers one request to one of the routes.
    fn answer(&self, call: Call) -> BoxFuture<'_, Response<Bytes>>;
}

/// A path and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Usually POST.
    pub method: Method,
    /// The whole path.
    pub path: &'static str,
}

/// One request.
pub struct Call {
    /// Which of the routes.
    pub route: &'static Route,
    /// Its head.
    pub head: Parts,
    /// Who asks.
    pub peer: SocketAddr,
    body: Incoming,
    arriving: body::Arriving,
}

/// The server. Cheap to clone; it listens while [`Push::run`] runs.
#[derive(Clone)]
pub struct Push {
    settings: watch::Sender<Arc<Settings>>,
    address: Arc<Mutex<Option<SocketAddr>>>,
    metrics: ServerMetrics,
    budget: Arc<Semaphore>,
}

/// Checked arguments.
pub struct Settings {
    arguments: PushServer,
    tls: Option<Arc<ServerTls>>,
}

// === impl Settings ===

impl Settings {
    /// Reads certificates; nothing is bound.
    pub fn new(arguments: &PushServer) -> Result<Settings, Problem> {
        let tls = match &arguments.http.tls {
            None => None,
            Some(tls) => tls.config().map_err(|invalid| Problem::at("http", invalid.message))?,
        };
        let tls = tls.map(|config| ServerTls::new(config).map(Arc::new)).transpose();
        let tls = tls.map_err(|error| Problem { field: Some("http".to_owned()), ..Problem::environment(error.0) })?;
        Ok(Settings { arguments: arguments.clone(), tls })
    }

    fn limits(&self) -> Limits {
        let http = &self.arguments.http;
        let positive = |number: i64| usize::try_from(number).ok().filter(|number| *number > 0);
        let window = |number: i64, default: u32| match u32::try_from(number) {
            Ok(0) | Err(_) => default,
            Ok(bytes) => bytes,
        };
        let defaults = Limits::default();
        Limits {
            max_connections: positive(http.conn_limit).unwrap_or(MAX_CONNECTIONS),
            header_timeout: self.read_timeout(),
            idle_timeout: given(http.server_idle_timeout),
            max_concurrent_streams: window(http.http2.max_concurrent_streams, defaults.max_concurrent_streams),
            stream_window_bytes: window(http.http2.max_upload_buffer_per_stream, defaults.stream_window_bytes),
            connection_window_bytes: window(
                http.http2.max_upload_buffer_per_connection,
                defaults.connection_window_bytes,
            ),
            ..defaults
        }
    }

    fn read_timeout(&self) -> Duration {
        given(self.arguments.http.server_read_timeout).unwrap_or(LONGEST_READ)
    }
}

/// A duration that is not zero.
fn given(duration: GoDuration) -> Option<Duration> {
    duration.to_std().filter(|duration| !duration.is_zero())
}

// === impl Push ===

impl Push {
    /// `namespace` begins the names of the server's metrics: `loki_source_api`.
    pub fn new(context: &Context, namespace: &str, settings: Settings) -> Push {
        Push {
            metrics: ServerMetrics::new(context.metrics(), namespace, &settings.arguments),
            settings: watch::Sender::new(Arc::new(settings)),
            address: Arc::default(),
            budget: Arc::new(Semaphore::new(BODY_BUDGET)),
        }
    }

    /// From now on these. Equal ones change nothing; others move the server, and what is under way is answered.
    pub fn set(&self, settings: Settings) {
        self.metrics.limits(&settings.arguments);
        self.settings.send_if_modified(|current| {
            let changed = current.arguments != settings.arguments;
            if changed {
                *current = Arc::new(settings);
            }
            changed
        });
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until stopped. A port that cannot be had is tried again and shown in the component's health.
    pub async fn run(&self, context: &Context, handler: Arc<dyn Handler>, stop: &Stop) {
        let mut settings = self.settings.subscribe();
        let mut servers: Vec<tokio::task::JoinHandle<Option<()>>> = Vec::new();
        while !stop.is_stopped() {
            servers.retain(|server| !server.is_finished());
            let now = settings.borrow_and_update().clone();
            let listener = tokio::select! {
                listener = self.bind(context, &now) => listener,
                () = stop.stopped() => break,
                changed = settings.changed() => if changed.is_ok() { continue } else { break },
            };
            let (end, token) = stop.child();
            // The task ends by `end`, after its last answers: it is not cut off with the component's.
            let (outer, _keep) = Stop::new(tokio_util::sync::CancellationToken::new(), stop.grace()).child();
            let span = context.span().clone();
            servers.push(context.spawn(&outer, self.serve(listener, now, handler.clone(), span, end)));
            tokio::select! {
                () = stop.stopped() => {}
                _ = settings.changed() => {}
            }
            *self.address.lock().unwrap_or_else(PoisonError::into_inner) = None;
            token.cancel();
        }
        for server in servers {
            let _ = server.await;
        }
    }

    /// Tries until the port is ours. The first failure is said, with the cure; health shows it until then.
    async fn bind(&self, context: &Context, settings: &Settings) -> Listener {
        let endpoint = settings.arguments.http.endpoint();
        let mut said = false;
        loop {
            match Listener::bind(&endpoint).await {
                Ok(listener) => {
                    *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener.address());
                    tracing::info!(endpoint = %listener.address(), tls = settings.tls.is_some(), "listening");
                    context.healthy(format!("listening on {}", listener.address()));
                    return listener;
                }
                Err(error) => {
                    // A server that moves may hold its old port for a moment.
                    if !std::mem::replace(&mut said, true) {
                        tracing::error!(endpoint, %error, "cannot listen; trying again");
                    }
                    context.unhealthy(error.to_string());
                    tokio::time::sleep(BIND_RETRY).await;
                }
            }
        }
    }

    fn serve(
        &self,
        listener: Listener,
        settings: Arc<Settings>,
        handler: Arc<dyn Handler>,
        span: Span,
        end: Stop,
    ) -> impl Future<Output = ()> + Send + use<> {
        let asked = Arc::new(Asked {
            handler,
            span,
            metrics: self.metrics.clone(),
            budget: self.budget.clone(),
            read_timeout: settings.read_timeout(),
            write_timeout: given(settings.arguments.http.server_write_timeout),
        });
        let grace = settings.arguments.graceful_shutdown_timeout.to_std().unwrap_or_default().min(end.grace());
        let connections = self.metrics.connections.clone();
        async move {
            let service = move |request, peer| asked.clone().answer(request, peer);
            let tls = settings.tls.clone();
            serve_counted(
                listener,
                move || tls.clone(),
                settings.limits(),
                Some(connections),
                service,
                end.stopped(),
                grace,
            )
            .await;
        }
    }
}

// === answering ===

struct Asked {
    handler: Arc<dyn Handler>,
    /// The component's: a connection has a task of its own, whose events would name nobody.
    span: Span,
    metrics: ServerMetrics,
    budget: Arc<Semaphore>,
    read_timeout: Duration,
    write_timeout: Option<Duration>,
}

impl Asked {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let found = find(self.handler.routes(), &head.method, head.uri.path());
        let measured = self.metrics.request(&head, found.as_ref().ok().copied());
        let arriving =
            body::Arriving { limit: self.read_timeout, budget: self.budget.clone(), counted: measured.received() };
        let response = match found {
            Err(refusal) => *refusal,
            Ok(route) => {
                let call = Call { route, head, peer, body, arriving };
                let answering = self.handler.answer(call).instrument(self.span.clone());
                match self.write_timeout {
                    None => answering.await,
                    // Reading has its own limit, which counts before.
                    Some(limit) => match tokio::time::timeout(self.read_timeout + limit, answering).await {
                        Ok(response) => response,
                        Err(_) => busy("the pipeline did not take the request in time"),
                    },
                }
            }
        };
        measured.answered(&response);
        response.map(Full::new)
    }
}

/// The route, or the answer of a server that does not have it.
fn find(routes: &'static [Route], method: &Method, path: &str) -> Result<&'static Route, Box<Response<Bytes>>> {
    let mut of_path = routes.iter().filter(|route| route.path == path).peekable();
    let Some(first) = of_path.peek().copied() else {
        return Err(Box::new(text(StatusCode::NOT_FOUND, "404 page not found")));
    };
    of_path.find(|route| route.method == *method).ok_or_else(|| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        if let Ok(allowed) = HeaderValue::from_str(first.method.as_str()) {
            response.headers_mut().insert(ALLOW, allowed);
        }
        Box::new(response)
    })
}

/// A sentence as an answer, with the line end that Go's servers put behind one.
pub fn text(status: StatusCode, sentence: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{sentence}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// 503: the same request may be taken later.
pub fn busy(sentence: &str) -> Response<Bytes> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
