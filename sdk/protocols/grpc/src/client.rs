//! The asking side: one connection, kept as long as it works, and unary calls over it.
//!
//! A message leaves as the segments that it came in: frame heads are put between slices of them, and many frames go out
//! with one write.

mod connection;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use sdk_protocols_compression::Coding;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use crate::http2::hpack;
use crate::{Code, Status, message, status};
use connection::{Answer, Call, Connection};

/// Calls that wait for the connection's task. It takes them as they come, up to the server's limit.
const WAITING_CALLS: usize = 16;

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

impl ChannelConfig {
    /// For single questions: nothing is sent with them, nothing is compressed, and no ping keeps the connection.
    pub fn plain(authority: Uri) -> ChannelConfig {
        ChannelConfig {
            authority,
            headers: HeaderMap::new(),
            coding: Coding::Identity,
            level: None,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
            ping_when_idle: false,
        }
    }
}

/// One connection to an endpoint, made when needed and again when lost. Clones share it.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    config: ChannelConfig,
    connector: Arc<dyn Connect>,
    connection: tokio::sync::Mutex<Option<mpsc::Sender<Call>>>,
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
        let segments = self.encode(message);
        let sent_bytes = segments.iter().map(Bytes::len).sum();
        let (reply, answer) = oneshot::channel();
        let body = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
        let call = Call { headers: self.headers(path, &extra), body, reply };
        let lost = || Status::new(Code::Unavailable, "the connection ended before the call was answered");
        self.connection().await?.send(call).await.map_err(|_| lost())?;
        let Answer { headers, trailers, message } = answer.await.map_err(|_| lost())??;
        let first = headers.to_map();
        if let Some(status) = status::get(&first).filter(|status| status.code != Code::Ok) {
            return Err(status);
        }
        let code = headers.get(":status").and_then(|code| http::StatusCode::from_bytes(code).ok()).unwrap_or_default();
        if !code.is_success() {
            return Err(of_http(code));
        }
        match trailers.and_then(|trailers| status::get(&trailers.to_map())).or_else(|| status::get(&first)) {
            Some(Status { code: Code::Ok, .. }) => {
                let message = if message.is_empty() {
                    Bytes::new()
                } else {
                    // Servers answer in the coding of the request.
                    let name = headers.get("grpc-encoding").map_or(Some(""), |name| std::str::from_utf8(name).ok());
                    let coding = name.and_then(Coding::of_grpc).ok_or_else(|| {
                        Status::new(Code::Internal, "the server answers in a grpc-encoding that it was not offered")
                    })?;
                    message.finish(coding, connection::REPLY_LIMIT)?
                };
                Ok(Reply { message, sent_bytes })
            }
            Some(status) => Err(status),
            None => Err(Status::new(Code::Unknown, "server closed the stream without sending trailers")),
        }
    }

    /// The header block of a call.
    fn headers(&self, path: &str, extra: &HeaderMap) -> Vec<u8> {
        let config = &self.0.config;
        let mut block = Vec::with_capacity(256);
        hpack::put_known(&mut block, ":method", "POST");
        hpack::put_known(&mut block, ":scheme", config.authority.scheme_str().unwrap_or("http"));
        hpack::put(&mut block, ":path", path.as_bytes());
        hpack::put(&mut block, ":authority", config.authority.authority().map_or("", |a| a.as_str()).as_bytes());
        hpack::put(&mut block, "content-type", b"application/grpc");
        hpack::put(&mut block, "te", b"trailers");
        if let Some(name) = coding_name(config.coding) {
            hpack::put(&mut block, "grpc-encoding", name.as_bytes());
            hpack::put(&mut block, "grpc-accept-encoding", b"gzip,zstd,snappy,deflate");
        }
        // What goes with this call wins over what goes with all.
        let all = config.headers.iter().filter(|(name, _)| !extra.contains_key(*name));
        for (name, value) in all.chain(extra) {
            if !matches!(name.as_str(), "content-type" | "te" | "grpc-encoding" | "connection") {
                hpack::put(&mut block, name.as_str(), value.as_bytes());
            }
        }
        block
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

    async fn connection(&self) -> Result<mpsc::Sender<Call>, Status> {
        let mut slot = self.0.connection.lock().await;
        if let Some(connection) = &*slot
            && !connection.is_closed()
        {
            return Ok(connection.clone());
        }
        let stream = self.0.connector.connect().await;
        let stream = stream.map_err(|error| Status::new(Code::Unavailable, format!("cannot connect: {error}")))?;
        let (calls, waiting) = mpsc::channel(WAITING_CALLS);
        let connection = Connection::new(stream, waiting, &self.0.config);
        // Ends when the channel is dropped, or the server goes away.
        drop(base_sys::task::spawn("grpc connection", connection.run()));
        *slot = Some(calls.clone());
        Ok(calls)
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
