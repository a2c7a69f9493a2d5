//! Accepting connections.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base_metrics::Gauge;
use base_sys::task::Scope;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{Listener, ServerTls};

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
    let limits = Arc::new(limits);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = next_connection(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let (service, tls, limits, stopped) = (service.clone(), tls(), limits.clone(), scope.stopped());
        let open = connections.clone().map(Open::new);
        scope.spawn("connection", async move {
            let _slot = (slot, open);
            match tls {
                None => serve_stream(stream, peer, &limits, service, stopped).await,
                Some(tls) => {
                    let handshake = tls.accept(stream);
                    match tokio::time::timeout(limits.header_timeout, handshake).await {
                        Ok(Ok(stream)) => serve_stream(stream, peer, &limits, service, stopped).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                }
            }
        });
    }
    drop(listener);
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

async fn next_connection(
    listener: &Listener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.tcp.accept().await {
        Ok((stream, peer)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot))
        }
        Err(error) => {
            // Mostly "too many open files": going on at once would only burn the processor.
            tracing::warn!(%error, address = %listener.address, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_stream<S, F, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    limits: &Limits,
    service: S,
    stopped: impl Future<Output = ()>,
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
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended early");
    }
}

/// Requests under way on a connection.
#[derive(Default)]
struct Activity {
    under_way: AtomicUsize,
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

impl Working {
    fn new(activity: Arc<Activity>) -> Working {
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
