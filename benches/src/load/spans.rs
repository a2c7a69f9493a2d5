//! Spans by gRPC or HTTP: at a fixed rate, or as fast as they are taken.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use sdk_testing::spans::{requests, requests_of};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};

/// Calls under way over one connection of gRPC, when they come at a rate.
const MOST_UNDER_WAY: usize = 64;
/// Who sends as fast as it is taken has so many connections, and over each of gRPC so many calls under way.
const CONNECTIONS: usize = 4;
const UNDER_WAY: usize = 4;
/// Requests with a number are sent as evenly as this.
const EVEN_PACE: Duration = Duration::from_micros(50);
/// Between two tries of what was refused.
const PAUSE: Duration = Duration::from_millis(5);
/// Where a request has its number; [`Numbered`] puts it there.
const NUMBER: &str = "seq=00000000000000000000";

const GRPC_PATH: &str = "http://bench/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How spans come, and how they are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP, protobuf.
    Http,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    None,
    /// gzip at the level that most have as their default.
    Gzip,
    /// zstd at its lowest level.
    Zstd,
}

/// How fast.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Spans in a second.
    Rate(u64),
    /// As fast as they are taken.
    Full,
}

/// What is sent: spans of about 400 bytes with 10 attributes each.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// Spans in one request.
    pub per_request: u64,
    pub pace: Pace,
    pub transport: Transport,
    pub coding: Coding,
    /// Whether each request has a number, from 0; such are not compressed.
    pub numbered: bool,
}

/// What became of it.
#[derive(Default)]
pub struct Sent {
    /// Spans that were taken.
    pub accepted: u64,
    /// Requests that were refused, or got no answer.
    pub refused: u64,
    /// When each request was sent, if they have numbers.
    pub times: Vec<Instant>,
}

/// One connection.
enum Connection {
    Grpc(h2::client::SendRequest<Bytes>),
    Http(Mutex<hyper::client::conn::http1::SendRequest<Full<Bytes>>>),
}

// === impl Coding ===

impl Coding {
    /// Its word in configurations and headers.
    pub fn name(self) -> &'static str {
        match self {
            Coding::None => "none",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }

    fn compress(self, bytes: Bytes) -> Bytes {
        match self {
            Coding::None => bytes,
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes).and_then(|()| encoder.finish()).expect("memory takes it").into()
            }
            Coding::Zstd => zstd::bulk::compress(&bytes, 1).expect("memory takes it").into(),
        }
    }
}

// === impl Spans ===

impl Spans {
    /// Mean bytes of one span, not compressed.
    pub fn bytes(self) -> f64 {
        let requests = requests(self.per_request);
        requests.iter().map(Bytes::len).sum::<usize>() as f64 / (requests.len() as u64 * self.per_request) as f64
    }

    /// The requests as they are sent.
    fn messages(self) -> Vec<Bytes> {
        let all = if self.numbered { requests_of(self.per_request, NUMBER) } else { requests(self.per_request) };
        let message = |request: Bytes| {
            let body = self.coding.compress(request);
            match self.transport {
                Transport::Http => body,
                Transport::Grpc => {
                    let flag = u8::from(self.coding != Coding::None);
                    [&[flag][..], &(body.len() as u32).to_be_bytes(), &body].concat().into()
                }
            }
        };
        all.into_iter().map(message).collect()
    }

    /// Sends them to a port of this machine.
    pub async fn send(self, port: u16, duration: Duration) -> std::io::Result<Sent> {
        let messages: Arc<[Bytes]> = self.messages().into();
        let connections = match (self.pace, self.transport) {
            (Pace::Rate(_), Transport::Grpc) => 1,
            _ => CONNECTIONS,
        };
        let mut all = Vec::new();
        for _ in 0..connections {
            all.push(Arc::new(self.connect(port).await?));
        }
        match self.pace {
            Pace::Rate(rate) => self.send_at(rate, &all, &messages, duration).await,
            Pace::Full => self.send_all(&all, &messages, duration).await,
        }
    }

    async fn connect(self, port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(match self.transport {
            Transport::Grpc => {
                let handshake = h2::client::Builder::new().initial_window_size(1 << 20).handshake::<_, Bytes>(stream);
                let (client, connection) = handshake.await.map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                Connection::Grpc(client)
            }
            Transport::Http => {
                let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
                let (client, connection) = handshake.await.map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                Connection::Http(Mutex::new(client))
            }
        })
    }

    async fn send_at(
        self,
        rate: u64,
        connections: &[Arc<Connection>],
        messages: &[Bytes],
        duration: Duration,
    ) -> std::io::Result<Sent> {
        let accepted = Arc::new(AtomicU64::new(0));
        let refused = Arc::new(AtomicU64::new(0));
        let under_way = Arc::new(Semaphore::new(MOST_UNDER_WAY));
        let mut times = Vec::new();
        let pause = if self.numbered { EVEN_PACE } else { Duration::from_millis(2) };
        let mut due = due(rate as f64 / self.per_request as f64, pause, duration);
        let mut sent = 0;
        while due.changed().await.is_ok() {
            let due = *due.borrow_and_update();
            while sent < due {
                let permit = under_way.clone().acquire_owned().await.expect("never closed");
                let message = self.message(messages, sent);
                let connection = connections[sent as usize % connections.len()].clone();
                let (accepted, refused) = (accepted.clone(), refused.clone());
                if self.numbered {
                    times.push(Instant::now());
                }
                tokio::spawn(async move {
                    let _permit = permit;
                    match connection.send(message, self.coding).await {
                        Ok(true) => accepted.fetch_add(self.per_request, Relaxed),
                        _ => refused.fetch_add(1, Relaxed),
                    };
                });
                sent += 1;
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), under_way.acquire_many(MOST_UNDER_WAY as u32)).await;
        Ok(Sent { accepted: accepted.load(Relaxed), refused: refused.load(Relaxed), times })
    }

    async fn send_all(
        self,
        connections: &[Arc<Connection>],
        messages: &Arc<[Bytes]>,
        duration: Duration,
    ) -> std::io::Result<Sent> {
        let end = Instant::now() + duration;
        let streams = if self.transport == Transport::Grpc { UNDER_WAY } else { 1 };
        let mut senders = tokio::task::JoinSet::new();
        for index in 0..connections.len() * streams {
            let (connection, messages) = (connections[index % connections.len()].clone(), messages.clone());
            senders.spawn(async move {
                let (mut accepted, mut refused) = (0, 0);
                let mut at = index;
                while Instant::now() < end {
                    let message = messages[at % messages.len()].clone();
                    match connection.send(message, self.coding).await {
                        Ok(true) => accepted += self.per_request,
                        Ok(false) => {
                            refused += 1;
                            tokio::time::sleep(PAUSE).await;
                        }
                        Err(_) => return (accepted, refused + 1),
                    }
                    at += 1;
                }
                (accepted, refused)
            });
        }
        let mut sent = Sent::default();
        while let Some(Ok((accepted, refused))) = senders.join_next().await {
            sent.accepted += accepted;
            sent.refused += refused;
        }
        Ok(sent)
    }

    fn message(self, messages: &[Bytes], number: u64) -> Bytes {
        let message = messages[number as usize % messages.len()].clone();
        if !self.numbered {
            return message;
        }
        let mut bytes = message.to_vec();
        let place = bytes.windows(NUMBER.len()).position(|window| window == NUMBER.as_bytes());
        let place = place.expect("numbered requests have a place for the number");
        bytes[place..place + NUMBER.len()].copy_from_slice(format!("seq={number:020}").as_bytes());
        bytes.into()
    }
}

// === impl Connection ===

impl Connection {
    /// Whether it was taken.
    async fn send(&self, message: Bytes, coding: Coding) -> std::io::Result<bool> {
        let post = |uri: &str| {
            let request = http::Request::post(uri);
            match (coding, self) {
                (Coding::None, _) => request,
                (_, Connection::Grpc(_)) => request.header("grpc-encoding", coding.name()),
                (_, Connection::Http(_)) => request.header("content-encoding", coding.name()),
            }
        };
        match self {
            Connection::Grpc(client) => {
                let mut client = client.clone().ready().await.map_err(std::io::Error::other)?;
                let request = post(GRPC_PATH).header("content-type", "application/grpc").header("te", "trailers");
                let request = request.body(()).expect("constant parts");
                let (response, mut body) = client.send_request(request, false).map_err(std::io::Error::other)?;
                body.reserve_capacity(message.len());
                body.send_data(message, true).map_err(std::io::Error::other)?;
                grpc_ok(response).await.map_err(std::io::Error::other)
            }
            Connection::Http(client) => {
                let request =
                    post("/v1/traces").header("host", "bench").header("content-type", "application/x-protobuf");
                let request = request.body(Full::new(message)).expect("constant parts");
                let mut client = client.lock().await;
                client.ready().await.map_err(std::io::Error::other)?;
                let response = client.send_request(request).await.map_err(std::io::Error::other)?;
                let taken = response.status().is_success();
                response.into_body().collect().await.map_err(std::io::Error::other)?;
                Ok(taken)
            }
        }
    }
}

/// How many requests should have been sent by now, told by a thread of its own: the runtime's timers know no less than a
/// millisecond, in which a burst would come together.
fn due(per_second: f64, pause: Duration, duration: Duration) -> tokio::sync::watch::Receiver<u64> {
    let (tell, due) = tokio::sync::watch::channel(0);
    std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < duration {
            let now = (start.elapsed().as_secs_f64() * per_second) as u64;
            tell.send_if_modified(|due| std::mem::replace(due, now) != now);
            std::thread::sleep(pause);
        }
    });
    due
}

async fn grpc_ok(response: h2::client::ResponseFuture) -> Result<bool, h2::Error> {
    let response = response.await?;
    let status = |headers: &http::HeaderMap| headers.get("grpc-status").map(|status| status == "0");
    if let Some(ok) = status(response.headers()) {
        return Ok(ok);
    }
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        let _ = body.flow_control().release_capacity(piece?.len());
    }
    Ok(body.trailers().await?.as_ref().and_then(status).unwrap_or(false))
}
