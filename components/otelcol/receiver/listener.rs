//! A server from its port to its end: bound until it is, served until it changes, closed without cutting requests off.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use base_sys::task;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sdk_component::{BoxFuture, Context, Stop};
use sdk_net::server::{Accepted, Door, Listener, briefly, cure};
use sdk_otel::tls::Reloading;
use sdk_protocols_grpc::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::grpc_server::{Connected, Grpc};

/// Connections of one server; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 10_000;
/// A TLS handshake that takes longer is not one.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection without a request for so long makes room when no file descriptor is left.
const UNUSED: Duration = Duration::from_secs(1);
/// Time between two tries to get a port.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// A server as its arguments describe it.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    pub(crate) tls: Option<Reloading<rustls::ServerConfig>>,
    pub(crate) protocol: Protocol,
}

/// What has a port for as long as it runs.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Serves until `stop`.
    fn serve(self: &Arc<Self>, context: &Context, health: &Health, stop: &Stop) -> impl Future<Output = ()> + Send;
}

/// A socket that is bound.
pub(crate) trait Port: Sized {
    const IS_UDP: bool;

    fn open(address: String) -> impl Future<Output = io::Result<Self>> + Send;

    fn address(&self) -> io::Result<SocketAddr>;
}

/// What is spoken on a server's port.
pub(crate) enum Protocol {
    Grpc {
        config: sdk_protocols_grpc::server::Config,
        service: Arc<Grpc>,
    },
    Http {
        builder: hyper_util::server::conn::auto::Builder<TokioExecutor>,
        /// A connection without requests is closed after this long.
        idle: Option<Duration>,
        service: Arc<dyn ErasedService>,
    },
}

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// A service whose type is forgotten.
pub(crate) trait ErasedService: Send + Sync {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> BoxFuture<'static, Response<Body>>;
}

impl<S: Service> ErasedService for S {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { Service::answer(&*self, request, peer).await })
    }
}

/// A duration of the configuration as a limit; 0 is none.
pub(crate) fn limit(duration: GoDuration) -> Option<Duration> {
    duration.to_std().filter(|duration| !duration.is_zero())
}

/// Runs one of the servers of the current set until the component stops; a changed one is closed and started anew.
pub(crate) async fn run<T, S: Serve>(
    context: &Context,
    mut servers: watch::Receiver<Arc<T>>,
    pick: impl Fn(&T) -> Option<Arc<S>>,
    health: Health,
    stop: &Stop,
) {
    loop {
        let current = pick(&servers.borrow_and_update());
        let same = |other: &Option<Arc<S>>| match (&current, other) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let changed = async {
            loop {
                if servers.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                if !same(&pick(&servers.borrow_and_update())) {
                    return;
                }
            }
        };
        let (end, token) = stop.child();
        let serving = async {
            match &current {
                None => {
                    health.nothing_to_do();
                    end.stopped().await;
                }
                Some(server) => server.serve(context, &health, &end).await,
            }
        };
        let mut serving = pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = changed => {
                token.cancel();
                serving.await;
            }
        }
        if stop.is_stopped() {
            return;
        }
    }
}

impl Serve for Server {
    async fn serve(self: &Arc<Self>, context: &Context, health: &Health, stop: &Stop) {
        let listener = tokio::select! {
            listener = bind::<TcpListener>(self.name, &self.endpoint, health) => listener,
            () = stop.stopped() => return,
        };
        let listener = match Listener::of(listener) {
            Ok(listener) => listener,
            Err(error) => {
                health.cannot_listen(&self.endpoint, &error, "check the endpoint");
                let _ = tokio::time::timeout(BIND_RETRY, stop.stopped()).await;
                return;
            }
        };
        let connections = task::Scope::new();
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut door = Door::new(listener);
        loop {
            let accepted = tokio::select! {
                accepted = door.next(&free) => accepted,
                () = stop.stopped() => break,
            };
            let Some(Accepted { stream, peer, slot, last }) = accepted else { continue };
            let (server, crowded) = (self.clone(), door.crowded());
            let closing = briefly(connections.stopped(), last.is_some());
            let connection = async move {
                let _held = (slot, last);
                if let Err(error) = connection(&server, stream, peer, closing, &crowded).await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
            };
            connections.spawn("connection", connection.instrument(context.span().clone()));
        }
        // The port is free before the last requests have ended: a changed server may need it.
        drop(door);
        connections.close(stop.grace()).await;
    }
}

/// Tries until the port is ours. The first failure is said, with the cure; health shows it until then.
pub(crate) async fn bind<P: Port>(protocol: &str, endpoint: &str, health: &Health) -> P {
    let mut said = false;
    loop {
        match listen::<P>(endpoint).await {
            Ok(port) => {
                let address = port.address().map_or_else(|_| endpoint.to_owned(), |address| address.to_string());
                tracing::info!(protocol, endpoint = address, "listening");
                health.listening(&address);
                return port;
            }
            Err(error) => {
                let cure = cure(endpoint, P::IS_UDP, &error);
                let cure = cure.strip_prefix("; ").unwrap_or("check the endpoint");
                if !std::mem::replace(&mut said, true) {
                    tracing::error!(protocol, endpoint, %error, cure, "cannot listen; trying again");
                }
                health.cannot_listen(endpoint, &error, cure);
                tokio::time::sleep(BIND_RETRY).await;
            }
        }
    }
}

async fn listen<P: Port>(endpoint: &str) -> io::Result<P> {
    match endpoint.strip_prefix(':').map(str::parse::<u16>) {
        // An empty host is every address, of both families where there are both.
        Some(Ok(port)) => match P::open(format!("[::]:{port}")).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => P::open(format!("0.0.0.0:{port}")).await,
            bound => bound,
        },
        _ => P::open(endpoint.to_owned()).await,
    }
}

impl Port for TcpListener {
    const IS_UDP: bool = false;

    async fn open(address: String) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Port for UdpSocket {
    const IS_UDP: bool = true;

    async fn open(address: String) -> io::Result<UdpSocket> {
        UdpSocket::bind(address).await
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

// === one connection ===

/// Requests under way on a connection, and when the last one ended.
struct Activity {
    under_way: AtomicUsize,
    last: Mutex<Instant>,
    ended: Notify,
}

async fn connection(
    server: &Server,
    tcp: TcpStream,
    peer: SocketAddr,
    closing: impl Future<Output = ()> + Send,
    crowded: &Notify,
) -> Result<(), String> {
    let Some(tls) = &server.tls else { return speak(server, tcp, peer, closing, crowded).await };
    let acceptor = tokio_rustls::TlsAcceptor::from(tls.get());
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await;
    let stream =
        stream.map_err(|_| "TLS handshake took too long")?.map_err(|error| format!("TLS handshake: {error}"))?;
    speak(server, stream, peer, closing, crowded).await
}

async fn speak<S>(
    server: &Server,
    stream: S,
    peer: SocketAddr,
    closing: impl Future<Output = ()> + Send,
    crowded: &Notify,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match &server.protocol {
        Protocol::Grpc { config, service } => {
            let service = Arc::new(Connected::new(service.clone(), peer.ip()));
            sdk_protocols_grpc::server::serve(stream, service, config.clone(), closing).await
        }
        Protocol::Http { builder, idle, service } => {
            let activity = Arc::new(Activity::new());
            let answer = {
                let (service, activity) = (service.clone(), activity.clone());
                service_fn(move |request| {
                    let (answering, working) =
                        (service.clone().answer(request, peer.ip()), Working::new(activity.clone()));
                    async move {
                        let response = answering.await;
                        drop(working);
                        Ok::<_, std::convert::Infallible>(response)
                    }
                })
            };
            let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), answer));
            tokio::select! {
                ended = &mut serving => return ended.map_err(|error| error.to_string()),
                () = closing => {}
                () = activity.idle_for(*idle) => {}
                () = activity.unused(crowded) => {}
            }
            serving.as_mut().graceful_shutdown();
            serving.await.map_err(|error| error.to_string())
        }
    }
}

// === impl Activity ===

impl Activity {
    fn new() -> Activity {
        Activity { under_way: AtomicUsize::new(0), last: Mutex::new(Instant::now()), ended: Notify::new() }
    }

    /// Resolves when there has been no request for this long.
    async fn idle_for(&self, longest: Option<Duration>) {
        let Some(longest) = longest else { return std::future::pending().await };
        loop {
            let ended = self.ended.notified();
            if self.under_way.load(Ordering::Acquire) > 0 {
                ended.await;
                continue;
            }
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let deadline = last + longest;
            if Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

impl Activity {
    /// Resolves when others are in want of the descriptor and nothing was asked here for a while.
    async fn unused(&self, crowded: &Notify) {
        loop {
            crowded.notified().await;
            tokio::time::sleep(UNUSED).await;
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if self.under_way.load(Ordering::Acquire) == 0 && last.elapsed() >= UNUSED {
                return;
            }
        }
    }
}

/// A request under way.
struct Working(Arc<Activity>);

impl Working {
    fn new(activity: Arc<Activity>) -> Working {
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        Working(activity)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_waiters();
    }
}

// === health ===

/// What the servers of one component say of themselves, as one health.
#[derive(Clone)]
pub(crate) struct Healths(Arc<(Context, Mutex<Vec<(&'static str, Report)>>)>);

/// One server's part.
pub(crate) struct Health {
    all: Healths,
    name: &'static str,
}

enum Report {
    Pending,
    Idle,
    Listening(String),
    Failing(String),
}

// === impl Healths ===

impl Healths {
    pub(crate) fn new(context: &Context) -> Healths {
        Healths(Arc::new((context.clone(), Mutex::new(Vec::new()))))
    }

    pub(crate) fn of(&self, name: &'static str) -> Health {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).push((name, Report::Pending));
        Health { all: self.clone(), name }
    }

    fn report(&self, name: &'static str, report: Report) {
        let mut reports = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = reports.iter_mut().find(|(other, _)| *other == name) {
            slot.1 = report;
        }
        let failing: Vec<&str> = reports
            .iter()
            .filter_map(|(_, r)| if let Report::Failing(why) = r { Some(&why[..]) } else { None })
            .collect();
        if !failing.is_empty() {
            return self.0.0.unhealthy(failing.join("; "));
        }
        if reports.iter().any(|(_, report)| matches!(report, Report::Pending)) {
            return;
        }
        let listening: Vec<String> =
            reports
                .iter()
                .filter_map(|(name, r)| {
                    if let Report::Listening(address) = r { Some(format!("{name} on {address}")) } else { None }
                })
                .collect();
        self.0.0.healthy(if listening.is_empty() {
            "nothing to listen for".to_owned()
        } else {
            format!("listening: {}", listening.join(", "))
        });
    }
}

// === impl Health ===

impl Health {
    fn nothing_to_do(&self) {
        self.all.report(self.name, Report::Idle);
    }

    fn listening(&self, address: &str) {
        self.all.report(self.name, Report::Listening(address.to_owned()));
    }

    fn cannot_listen(&self, endpoint: &str, error: &io::Error, cure: &str) {
        let message = format!("{}: cannot listen on {endpoint}: {error}; {cure}", self.name);
        self.all.report(self.name, Report::Failing(message));
    }
}
