//! The asking side: one connection, kept as long as it works, and unary calls over it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sdk_protocols_compression::Coding;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Body, Code, Status, message, status};

/// How much a peer may send before it waits for us. Replies are small.
const STREAM_WINDOW: u32 = 1 << 20;
/// A reply may be this large.
const REPLY_LIMIT: usize = 4 << 20;

/// A connection before HTTP/2 is spoken on it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes connections: plain, through TLS, through a proxy.
pub trait Connect: Send + Sync {
    /// A new connection to the endpoint.
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + '_>>;
}

/// How a channel speaks.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    /// `https://host:port` or `http://host:port`: the scheme and authority of every request.
    pub authority: Uri,
    /// Sent with each request.
    pub headers: HeaderMap,
    /// How messages are compressed.
    pub coding: Coding,
    /// The coding's level; none is its default.
    pub level: Option<i32>,
    /// Pings after this long without traffic.
    pub ping_interval: Option<Duration>,
    /// Closes the connection when a ping is not answered in time.
    pub ping_timeout: Duration,
    /// Pings also while no call is under way.
    pub ping_when_idle: bool,
}

/// One connection to an endpoint, made when needed and again when lost. Clones share it.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    config: ChannelConfig,
    connector: Arc<dyn Connect>,
    connection: tokio::sync::Mutex<Option<SendRequest<Body>>>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message.
    pub message: Bytes,
    /// Bytes that the request took on the wire, as compressed.
    pub sent_bytes: usize,
}

// === impl Channel ===

impl Channel {
    /// A channel that connects when it is first used.
    pub fn new(config: ChannelConfig, connector: Arc<dyn Connect>) -> Channel {
        Channel(Arc::new(Shared { config, connector, connection: tokio::sync::Mutex::new(None) }))
    }

    /// Sends one message (its segments are one message) and waits for the answer. `extra` headers go with this call only.
    ///
    /// # Errors
    /// The status that the server answered, or `Unavailable` when it could not be reached.
    pub async fn unary(&self, path: &'static str, message: Vec<Bytes>, extra: HeaderMap) -> Result<Reply, Status> {
        let config = &self.0.config;
        let segments = self.encode(message);
        let sent_bytes = segments.iter().map(Bytes::len).sum();
        let mut request = Request::new(Body::of(segments));
        *request.method_mut() = Method::POST;
        let mut uri = config.authority.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::from_static(path));
        *request.uri_mut() = Uri::from_parts(uri).map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(config.headers.clone());
        headers.extend(extra);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if let Some(name) = coding_name(config.coding) {
            headers.insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(name));
        }

        let unreachable = |error: hyper::Error| Status::new(Code::Unavailable, describe(&error));
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await.map_err(unreachable)?;
        let (head, body) = response.into_parts();
        if let Some(status) = status::get(&head.headers).filter(|status| status.code != Code::Ok) {
            return Err(status);
        }
        if !head.status.is_success() {
            return Err(of_http(head.status));
        }
        let (message, trailers) = message::read(body, Coding::Identity, REPLY_LIMIT).await?;
        let status = trailers.as_ref().and_then(status::get).or_else(|| status::get(&head.headers));
        match status {
            Some(Status { code: Code::Ok, .. }) => Ok(Reply { message: message.unwrap_or_default(), sent_bytes }),
            Some(status) => Err(status),
            None => Err(Status::new(Code::Unknown, "server closed the stream without sending trailers")),
        }
    }

    fn encode(&self, mut message: Vec<Bytes>) -> Vec<Bytes> {
        let compressed = self.0.config.coding != Coding::Identity;
        if compressed {
            let whole = if message.len() == 1 { message.swap_remove(0) } else { message.concat().into() };
            message = vec![self.0.config.coding.compress(&whole, self.0.config.level).into()];
        }
        message.insert(0, message::prefix(compressed, message.iter().map(Bytes::len).sum()));
        message
    }

    async fn connection(&self) -> Result<SendRequest<Body>, Status> {
        let mut slot = self.0.connection.lock().await;
        if let Some(connection) = &mut *slot
            && !connection.is_closed()
            && connection.ready().await.is_ok()
        {
            return Ok(connection.clone());
        }
        let config = &self.0.config;
        let failed = |error: &dyn fmt::Display| Status::new(Code::Unavailable, format!("cannot connect: {error}"));
        let stream = self.0.connector.connect().await.map_err(|error| failed(&error))?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .keep_alive_timeout(config.ping_timeout)
            .keep_alive_while_idle(config.ping_when_idle);
        if config.ping_interval.is_some() {
            builder.keep_alive_interval(config.ping_interval);
        }
        let (connection, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Ends when the connection does: the channel's sender is dropped, or the peer goes away.
        base_sys::task::spawn("grpc connection", async move {
            if let Err(error) = driver.await {
                tracing::debug!(error = %describe(&error), "connection ended");
            }
        });
        *slot = Some(connection.clone());
        Ok(connection)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.0.config.authority).finish()
    }
}

fn coding_name(coding: Coding) -> Option<&'static str> {
    match coding {
        Coding::Gzip => Some("gzip"),
        Coding::Zlib => Some("deflate"),
        Coding::Zstd => Some("zstd"),
        Coding::SnappyFramed | Coding::SnappyBlock => Some("snappy"),
        Coding::Identity | Coding::Lz4 => None,
    }
}

/// What an HTTP status without a gRPC status means (gRPC, "HTTP to gRPC Status Code Mapping").
fn of_http(status: http::StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("unexpected HTTP status {status}"))
}

/// An error with what caused it: hyper's own text leaves out the part that helps.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
