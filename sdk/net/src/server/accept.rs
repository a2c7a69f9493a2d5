//! Accepting connections.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::Gauge;
use base_sys::descriptors::{self, Reserve};
use base_sys::task::Scope;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{Listener, NotAccepted, ServerTls};

/// Bounds of a server; each is there so that no peer can hold more than its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// A peer has this long to send a request's head, and for the TLS handshake.
    pub header_timeout: Duration,
    /// Closes a connection that had no request for so long; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Window of one HTTP/2 stream: what a peer may send ahead.
    pub stream_window_bytes: u32,
    /// Window of one HTTP/2 connection.
    pub connection_window_bytes: u32,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 4096,
            header_timeout: Duration::from_secs(60),
            idle_timeout: None,
            max_header_bytes: 64 << 10,
            max_concurrent_streams: 250,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
        }
    }
}

/// Serves until `stop` resolves, then takes no more connections and lets the requests under way end within `grace`.
///
/// `service` answers one request and gets the peer's address with it. With `tls`, certificates are looked at again for
/// each connection.
pub async fn serve<S, F, B>(
    listener: Listener,
    tls: Option<Arc<ServerTls>>,
    limits: Limits,
    service: S,
    stop: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    serve_switching(listener, move || tls.clone(), limits, service, stop, grace).await;
}

/// As [`serve`], with TLS that may be switched on, off or over while it runs: each new connection asks `tls`.
pub async fn serve_switching<S, F, B>(
    listener: Listener,
    tls: impl Fn() -> Option<Arc<ServerTls>>,
    limits: Limits,
    service: S,
    stop: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    serve_counted(listener, tls, limits, None, service, stop, grace).await;
}

/// As [`serve_switching`], with a gauge of the connections that are open.
pub(super) async fn serve_counted<S, F, B>(
    listener: Listener,
    tls: impl Fn() -> Option<Arc<ServerTls>>,
    limits: Limits,
    connections: Option<Gauge>,
    service: S,
    stop: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let scope = Scope::new();
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let brief = Arc::new(Limits { header_timeout: limits.header_timeout.min(BRIEFLY), ..limits.clone() });
    let limits = Arc::new(limits);
    let mut door = Door::new(listener);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = door.next(&slots) => accepted,
        };
        let Some(Accepted { stream, peer, slot, last }) = accepted else { continue };
        let limits = if last.is_some() { brief.clone() } else { limits.clone() };
        let (service, tls, stopped, crowded) = (service.clone(), tls(), scope.stopped(), door.crowded());
        let stopped = briefly(stopped, last.is_some());
        let open = connections.clone().map(Open::new);
        scope.spawn("connection", async move {
            let _slot = (slot, open, last);
            match tls {
                None => serve_stream(stream, peer, &limits, service, stopped, &crowded).await,
                Some(tls) => {
                    let handshake = tls.accept(stream);
                    match tokio::time::timeout(limits.header_timeout, handshake).await {
                        Ok(Ok(stream)) => serve_stream(stream, peer, &limits, service, stopped, &crowded).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                }
            }
        });
    }
    drop(door);
    scope.close(grace).await;
}

/// A connection that is counted.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Open {
        gauge.inc();
        Open(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Where connections come in: also when no file descriptor is left, one at a time and briefly, as one is kept for that.
pub struct Door {
    listener: Listener,
    reserve: Arc<Mutex<Reserve>>,
    /// Held by the connection that has the reserve's descriptor.
    last: Arc<Semaphore>,
    /// Told when no descriptor is left: connections that are not used make room.
    crowded: Arc<Notify>,
    not_accepted: NotAccepted,
}

/// A connection and its place among those that are open.
pub struct Accepted {
    /// What is said on it.
    pub stream: TcpStream,
    /// Who is at its other end.
    pub peer: SocketAddr,
    /// To be kept as long as it is open.
    pub slot: OwnedSemaphorePermit,
    /// It has the last file descriptor, and must give it back soon ([`briefly`]): to be kept as long, too.
    pub last: Option<Last>,
}

/// The use of the last file descriptor. At its end that is kept again, before anybody else can take it.
pub struct Last {
    reserve: Arc<Mutex<Reserve>>,
    _permit: OwnedSemaphorePermit,
}

/// As long as a connection may last that has the last file descriptor: enough to ask whether we are ready.
const BRIEFLY: Duration = Duration::from_secs(5);

/// A connection without a request for so long is not used.
const UNUSED: Duration = Duration::from_secs(1);

impl Door {
    /// Lets in who comes to this port.
    pub fn new(listener: Listener) -> Door {
        let mut reserve = Reserve::default();
        reserve.keep();
        let reserve = Arc::new(Mutex::new(reserve));
        let (last, crowded) = (Arc::new(Semaphore::new(1)), Arc::default());
        Door { listener, reserve, last, crowded, not_accepted: NotAccepted::default() }
    }

    /// Told when no descriptor is left: connections that are not used are to make room.
    pub fn crowded(&self) -> Arc<Notify> {
        self.crowded.clone()
    }

    /// The next connection, once there is a slot; nothing if it cannot be taken, which is said and waited for.
    pub async fn next(&mut self, slots: &Arc<Semaphore>) -> Option<Accepted> {
        let slot = slots.clone().acquire_owned().await.ok()?;
        let error = match self.listener.tcp.accept().await {
            Ok((stream, peer)) => {
                // If somebody else was quicker when it was to be kept again, there may be one now.
                if self.last.available_permits() > 0 {
                    lock(&self.reserve).keep();
                }
                return Some(Accepted::new(stream, peer, slot, None));
            }
            Err(error) => error,
        };
        let address = self.listener.address.to_string();
        if !descriptors::are_used_up(&error) {
            self.not_accepted.wait(&address, &error).await;
            return None;
        }
        self.not_accepted.say(&address, &error);
        self.crowded.notify_waiters();
        // One at a time is answered even so: a probe must not take us for dead as other parts have all the files.
        let Ok(last) = self.last.clone().try_acquire_owned() else {
            self.not_accepted.wait(&address, &error).await;
            return None;
        };
        let last = Last { reserve: self.reserve.clone(), _permit: last };
        let given_back = {
            let mut reserve = lock(&self.reserve);
            reserve.keep();
            reserve.give_back()
        };
        if given_back && let Ok((stream, peer)) = self.listener.tcp.accept().await {
            return Some(Accepted::new(stream, peer, slot, Some(last)));
        }
        self.not_accepted.wait(&address, &error).await;
        None
    }
}

impl Accepted {
    fn new(stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit, last: Option<Last>) -> Self {
        let _ = stream.set_nodelay(true);
        Accepted { stream, peer, slot, last }
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        lock(&self.reserve).keep();
    }
}

/// A lock that nothing panics under.
fn lock(reserve: &Mutex<Reserve>) -> MutexGuard<'_, Reserve> {
    reserve.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a connection ends that may not last: when `stopped` does, or soon if it has the last file descriptor.
pub async fn briefly(stopped: impl Future<Output = ()>, is_last: bool) {
    tokio::select! {
        () = stopped => {}
        () = tokio::time::sleep(BRIEFLY), if is_last => {}
    }
}

async fn serve_stream<S, F, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    limits: &Limits,
    service: S,
    stopped: impl Future<Output = ()>,
    crowded: &Notify,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(limits.header_timeout))
        .keep_alive_timeout(Duration::from_secs(20));
    let activity = Arc::new(Activity::default());
    let working = activity.clone();
    let service = hyper::service::service_fn(move |request| {
        let answer = service(request, peer);
        let working = Working::new(working.clone());
        async move {
            let answer = answer.await;
            drop(working);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection, stopped);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.idle(limits.idle_timeout) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.unused(crowded) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended early");
    }
}

/// Requests under way on a connection.
#[derive(Default)]
struct Activity {
    under_way: AtomicUsize,
    /// Requests that have begun.
    begun: AtomicUsize,
    changed: Notify,
}

/// One of them.
struct Working(Arc<Activity>);

impl Activity {
    /// Resolves when there was none for so long.
    async fn idle(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let changed = self.changed.notified();
            if self.under_way.load(Ordering::Acquire) > 0 {
                changed.await;
            } else if tokio::time::timeout(limit, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Activity {
    /// Resolves when others are in want of the descriptor and nothing was asked here for a while.
    async fn unused(&self, crowded: &Notify) {
        loop {
            crowded.notified().await;
            let begun = self.begun.load(Ordering::Acquire);
            tokio::time::sleep(UNUSED).await;
            if self.under_way.load(Ordering::Acquire) == 0 && self.begun.load(Ordering::Acquire) == begun {
                return;
            }
        }
    }
}

impl Working {
    fn new(activity: Arc<Activity>) -> Working {
        activity.begun.fetch_add(1, Ordering::AcqRel);
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        activity.changed.notify_one();
        Working(activity)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}
