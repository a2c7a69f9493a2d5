//! Backends that count: Loki's push, Prometheus remote write, OTLP over HTTP and gRPC.
//!
//! They know every item that arrived, so that lost and repeated are what a checker says, not what a collector's own
//! counters claim. A [`Mood`] makes them fail as real backends do.

mod ledger;
mod mood;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

pub use self::ledger::{Ledger, Verdict};
pub use self::mood::{Answer, Mood};
use crate::wire::{fields, number};

/// What arrived.
#[derive(Default)]
pub struct Tally {
    /// Lines, samples or spans.
    pub items: AtomicU64,
    /// Bytes of the bodies as they came.
    pub wire_bytes: AtomicU64,
    /// Requests.
    pub requests: AtomicU64,
    /// The items with a number: lines and names of spans with `seq=N`, samples whose value it is.
    pub ledger: Mutex<Ledger>,
    /// The lines as they came, when [`Tally::keep_lines`] was asked for.
    pub lines: Mutex<Option<Vec<Vec<u8>>>>,
    /// The times of samples in milliseconds, by their labels, when [`Tally::keep_times`] was asked for.
    pub times: Mutex<Option<BTreeMap<Vec<u8>, Vec<i64>>>>,
    /// When requests with a number came whole, when [`Tally::keep_arrivals`] was asked for.
    arrivals: Mutex<Option<Vec<(u64, Instant)>>>,
    /// How the backend feels.
    pub mood: Mood,
}

/// Which protocol a sink speaks.
#[derive(Clone, Copy)]
pub enum Protocol {
    /// POST, snappy protobuf, entries carry `seq=N`.
    Loki,
    /// POST, snappy protobuf.
    RemoteWrite,
    /// POST, protobuf of any signal, not compressed.
    Otlp,
    /// The same of spans, which are counted and not looked into.
    Spans,
}

/// The number of a request of spans stands in the name of its scope, this near to its beginning.
const NUMBER_WITHIN: usize = 256;

/// The sink is to cost as little as it can: it stands beside what is measured.
const READ_AT_ONCE: usize = 256 << 10;

/// How a request of remote write 2 says so.
const WRITE_2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

// === impl Tally ===

impl Tally {
    /// From now on [`Tally::lines`] holds every line.
    pub fn keep_lines(&self) {
        *lock(&self.lines) = Some(Vec::new());
    }

    /// From now on [`Tally::times`] holds the time of every sample.
    pub fn keep_times(&self) {
        *lock(&self.times) = Some(BTreeMap::new());
    }

    /// From now on [`Tally::arrivals`] has those of spans whose request begins with a `seq=N`.
    pub fn keep_arrivals(&self) {
        *lock(&self.arrivals) = Some(Vec::new());
    }

    /// The numbers of requests, and when they had come.
    pub fn arrivals(&self) -> Vec<(u64, Instant)> {
        lock(&self.arrivals).clone().unwrap_or_default()
    }

    /// Counts the spans of a request, and looks no further.
    fn spans(&self, payload: &[u8]) {
        if let Some(arrivals) = &mut *lock(&self.arrivals) {
            let start = &payload[..payload.len().min(NUMBER_WITHIN)];
            arrivals.extend(number_behind(start, b"seq=").map(|number| (number, Instant::now())));
        }
        // resource_spans = 1, scope_spans = 2, spans = 2
        let spans =
            fields(payload, 1).flat_map(|resource| fields(resource, 2)).map(|scope| fields(scope, 2).count() as u64);
        self.items.fetch_add(spans.sum(), Relaxed);
    }

    /// Of the lines numbered `0..sent`: how many never arrived, and how many came too often.
    pub fn lost_and_repeated(&self, sent: u64) -> (u64, u64) {
        let verdict = self.verdict(0..sent);
        (verdict.lost, verdict.repeated)
    }

    /// What became of the lines with these numbers.
    pub fn verdict(&self, written: impl Iterator<Item = u64>) -> Verdict {
        lock(&self.ledger).verdict(written)
    }

    /// What sends here is killed now: see [`Verdict::oldest_repeat`].
    pub fn killed(&self) {
        lock(&self.ledger).kill();
    }

    /// Resolves when at least this many items have arrived, or fails after `patience`.
    pub async fn wait_for(&self, items: u64, patience: Duration) -> Result<(), String> {
        let reached = async {
            while self.items.load(Relaxed) < items {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(patience, reached).await;
        waited.map_err(|_| format!("{} of {items} items arrived in {patience:?}", self.items.load(Relaxed)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts an HTTP sink on a free port of the loopback interface.
pub async fn http(protocol: Protocol) -> std::io::Result<(u16, Arc<Tally>)> {
    http_on(protocol, 0).await
}

/// Starts an HTTP sink on a given port, to come back after having been away.
pub async fn http_on(protocol: Protocol, port: u16) -> std::io::Result<(u16, Arc<Tally>)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let port = listener.local_addr()?.port();
    let tally = Arc::new(Tally::default());
    let counted = tally.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tally = counted.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let tally = tally.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let is_version_2 = head.headers.get("content-type").is_some_and(|kind| kind == WRITE_2);
                        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                        tally.requests.fetch_add(1, Relaxed);
                        let message = match protocol {
                            Protocol::Otlp => body.to_vec(),
                            Protocol::Spans => Vec::new(),
                            _ => snap::raw::Decoder::new().decompress_vec(&body).unwrap_or_default(),
                        };
                        let mood = tally.mood.now();
                        match mood {
                            Answer::Well | Answer::Slow(_) => {}
                            Answer::Status(status) => return Ok(answer(status)),
                            Answer::RefusesVersion2 if is_version_2 => return Ok(answer(415)),
                            Answer::RefusesVersion2 => {}
                            Answer::Later(status, seconds) => {
                                let mut later = answer(status);
                                later.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
                                return Ok(later);
                            }
                            Answer::RefusesEach(step) => {
                                if let Some(refusal) = refuse_each(step, &message, &tally) {
                                    return Ok(refusal);
                                }
                            }
                            Answer::RefusesAll => {
                                let mut ledger = lock(&tally.ledger);
                                each_number(protocol, &message, |_, number| {
                                    number.into_iter().for_each(|number| ledger.refused(number));
                                });
                                return Ok(answer(400));
                            }
                            Answer::HangsUp => return Err(std::io::Error::other("the backend hangs up")),
                            Answer::Silent => std::future::pending().await,
                        }
                        tally.wire_bytes.fetch_add(body.len() as u64, Relaxed);
                        let items = match protocol {
                            Protocol::Spans => {
                                tally.spans(&body);
                                0
                            }
                            _ => count(protocol, &message, &tally),
                        };
                        if let Answer::Slow(time) = mood {
                            tokio::time::sleep(time).await;
                        }
                        let mut taken =
                            answer(if matches!(protocol, Protocol::Otlp | Protocol::Spans) { 200 } else { 204 });
                        if is_version_2 {
                            // Who does not say what was written did not understand.
                            taken.headers_mut().insert("x-prometheus-remote-write-samples-written", items.into());
                        }
                        Ok::<_, std::io::Error>(taken)
                    }
                });
                let stream = tokio::io::BufReader::with_capacity(READ_AT_ONCE, stream);
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok((port, tally))
}

fn answer(status: u16) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::new()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// The lines of a push with their streams' labels.
fn lines(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // PushRequest.streams = 1; Stream.labels = 1, Stream.entries = 2; Entry.line = 2
    fields(message, 1).flat_map(|stream| {
        let labels = fields(stream, 1).next().unwrap_or_default();
        fields(stream, 2).flat_map(|entry| fields(entry, 2)).map(move |line| (labels, line))
    })
}

/// Loki's answer about one bad entry, if there is one among them.
fn refuse_each(step: u64, message: &[u8], tally: &Tally) -> Option<http::Response<Full<Bytes>>> {
    let bad = lines(message).filter_map(|(_, line)| sequence(line)).find(|number| number % step == 0)?;
    lock(&tally.ledger).refused(bad);
    let mut refusal = answer(400);
    *refusal.body_mut() = Full::from("entry with timestamp 2020-01-01 ignored, reason: 'entry too far behind'");
    Some(refusal)
}

/// How many items there were, which now are in the tally.
fn count(protocol: Protocol, message: &[u8], tally: &Tally) -> u64 {
    if let (Protocol::Loki, Some(kept)) = (protocol, &mut *lock(&tally.lines)) {
        kept.extend(lines(message).map(|(_, line)| line.to_vec()));
    }
    if let (Protocol::RemoteWrite, Some(times)) = (protocol, &mut *lock(&tally.times)) {
        for series in fields(message, 1) {
            let labels: Vec<u8> = fields(series, 1).flatten().copied().collect();
            let samples = fields(series, 2).map(|message| sample(message).1);
            times.entry(labels).or_default().extend(samples);
        }
    }
    let mut ledger = lock(&tally.ledger);
    let mut items = 0;
    each_number(protocol, message, |stream, number| {
        items += 1;
        tally.items.fetch_add(1, Relaxed);
        ledger.arrived(stream, number);
    });
    items
}

/// What orders an item, and its number if it has one.
fn each_number(protocol: Protocol, message: &[u8], mut each: impl FnMut(&[u8], Option<u64>)) {
    match protocol {
        Protocol::Loki => lines(message).for_each(|(stream, line)| each(stream, sequence(line))),
        // WriteRequest.timeseries = 1, that of version 2 has it as 5; TimeSeries.labels = 1, samples = 2
        Protocol::RemoteWrite => {
            for series in fields(message, 1).chain(fields(message, 5)) {
                let labels: Vec<u8> = fields(series, 1).flatten().copied().collect();
                for message in fields(series, 2) {
                    each(&labels, Some(sample(message).0 as u64));
                }
            }
        }
        // resource_spans = 1, scope_spans = 2, spans = 2, name = 5; spans have no order. In the places of these are the
        // bodies of log records, and the gauges of metrics.
        Protocol::Otlp | Protocol::Spans => {
            for scope in fields(message, 1).flat_map(|resource| fields(resource, 2)) {
                for span in fields(scope, 2) {
                    each(span, fields(span, 5).next().and_then(sequence));
                }
            }
        }
    }
}

/// Value and time of a sample; what is zero may not be said.
fn sample(message: &[u8]) -> (f64, i64) {
    // Sample.value = 1, timestamp = 2
    let (value, rest) = match message.strip_prefix(&[0x09]).and_then(<[u8]>::split_first_chunk) {
        Some((value, rest)) => (f64::from_le_bytes(*value), rest),
        None => (0.0, message),
    };
    let time = rest.strip_prefix(&[0x10]).and_then(number);
    (value, time.unwrap_or(0) as i64)
}

/// The number of a line, `seq=N`. Those of a careful writer begin with `whole` and end in ` again=N`: nothing may be missing
/// or mixed.
fn sequence(line: &[u8]) -> Option<u64> {
    let number = number_behind(line, b"seq=")?;
    let again = number_behind(line, b" again=");
    (!line.starts_with(b"whole ") || again == Some(number)).then_some(number)
}

fn number_behind(line: &[u8], name: &[u8]) -> Option<u64> {
    let at = line.windows(name.len()).rposition(|window| window == name)? + name.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&line[at..at + digits]).ok()?.parse().ok()
}

/// Starts an OTLP gRPC sink on a free port of the loopback interface; it counts spans.
pub async fn grpc() -> std::io::Result<(u16, Arc<Tally>)> {
    grpc_of(false).await
}

/// The same, and it reads the numbers of what comes.
pub async fn grpc_numbered() -> std::io::Result<(u16, Arc<Tally>)> {
    grpc_of(true).await
}

async fn grpc_of(numbered: bool) -> std::io::Result<(u16, Arc<Tally>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let tally = Arc::new(Tally::default());
    let counted = tally.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let tally = counted.clone();
            tokio::spawn(async move {
                let _ = grpc_connection(stream, tally, numbered).await;
            });
        }
    });
    Ok((port, tally))
}

/// By other libraries than a collector has, where there are any.
fn inflate(coding: &[u8], payload: &[u8]) -> std::io::Result<Vec<u8>> {
    match coding {
        b"gzip" => {
            let mut out = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(payload), &mut out)?;
            Ok(out)
        }
        b"zstd" => zstd::stream::decode_all(payload),
        _ => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

async fn grpc_connection(stream: tokio::net::TcpStream, tally: Arc<Tally>, numbered: bool) -> Result<(), h2::Error> {
    let stream = tokio::io::BufReader::with_capacity(READ_AT_ONCE, stream);
    let mut connection = h2::server::Builder::new()
        .initial_window_size(8 << 20)
        .initial_connection_window_size(24 << 20)
        .max_concurrent_streams(1000)
        .max_frame_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let tally = tally.clone();
        tokio::spawn(async move {
            let coding = request.headers().get("grpc-encoding").map(|name| name.as_bytes().to_vec());
            let mut body = request.into_body();
            let mut message = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                message.extend_from_slice(&piece);
            }
            tally.requests.fetch_add(1, Relaxed);
            tally.wire_bytes.fetch_add(message.len() as u64, Relaxed);
            let payload = message.get(5..).unwrap_or_default();
            let inflated;
            let payload = match coding {
                Some(coding) if message.first() == Some(&1) => {
                    inflated = inflate(&coding, payload).unwrap_or_default();
                    &inflated[..]
                }
                _ => payload,
            };
            if numbered {
                count(Protocol::Otlp, payload, &tally);
            } else {
                tally.spans(payload);
            }

            let response =
                http::Response::builder().header("content-type", "application/grpc").body(()).expect("constant parts");
            if let Ok(mut stream) = respond.send_response(response, false) {
                let _ = stream.send_data(Bytes::from_static(&[0; 5]), false);
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                let _ = stream.send_trailers(trailers);
            }
        });
    }
    Ok(())
}
