//! A client that pushes numbered items into the collector, and keeps which of them were taken.
//!
//! It sends nothing twice: what it had no good answer for is nobody's, and what was taken must arrive.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sdk_testing::push;
use sdk_testing::sink::Protocol;

use crate::load::Load;
use crate::log::line;

/// What is pushed, and what became of it.
pub struct Pushes {
    kind: Kind,
    /// The collector's port; 0 while there is none.
    port: AtomicU64,
    next: AtomicU64,
    taken: Mutex<Vec<u64>>,
    /// Sent with each request, and no items.
    padding: Vec<u8>,
    refused: AtomicU64,
    /// Of these: with a status by which a client learns nothing about trying again.
    unkind: AtomicU64,
    /// Sent, and never answered.
    unanswered: AtomicU64,
    /// The longest that a refusal took.
    longest_refusal: Mutex<Duration>,
}

/// What the items are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Spans, by OTLP over HTTP.
    Spans,
    /// Log records, likewise.
    Records,
    /// Data points, likewise.
    Points,
    /// Samples of one series, by remote write.
    Samples,
    /// Lines, to `loki.source.api`.
    Lines,
}

/// Items in one request.
const ITEMS: u64 = 20;

const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";

/// Nobody waits longer for an answer; one that comes later was none.
const PATIENCE: Duration = Duration::from_secs(30);

// === impl Pushes ===

impl Pushes {
    /// Nothing has been pushed yet.
    pub fn new(kind: Kind) -> Arc<Pushes> {
        Pushes::heavy(kind, Vec::new())
    }

    /// The same, with more bytes in each request.
    pub fn heavy(kind: Kind, padding: Vec<u8>) -> Arc<Pushes> {
        Arc::new(Pushes {
            kind,
            port: AtomicU64::new(0),
            next: AtomicU64::new(0),
            taken: Mutex::default(),
            padding,
            refused: AtomicU64::new(0),
            unkind: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            longest_refusal: Mutex::default(),
        })
    }

    /// What the sink of these items speaks.
    pub fn protocol(&self) -> Protocol {
        match self.kind {
            Kind::Spans | Kind::Records | Kind::Points => Protocol::Otlp,
            Kind::Samples => Protocol::RemoteWrite,
            Kind::Lines => Protocol::Loki,
        }
    }

    /// The component of the configuration that takes them.
    pub fn receiver(&self) -> &'static str {
        match self.kind {
            Kind::Spans | Kind::Records | Kind::Points => "otelcol.receiver.otlp.a",
            Kind::Samples => "prometheus.receive_http.a",
            Kind::Lines => "loki.source.api.a",
        }
    }

    /// Where it listens from now on.
    pub fn aim(&self, port: u16) {
        self.port.store(port.into(), Relaxed);
    }

    /// The numbers that were taken.
    pub fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Items that were refused in so many words, to be sent later by a client with more patience.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Of those: in words that no client takes for "try again".
    pub fn unkind(&self) -> u64 {
        self.unkind.load(Relaxed)
    }

    /// Items whose connection broke.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Relaxed)
    }

    /// The longest that a refusal took.
    pub fn longest_refusal(&self) -> Duration {
        *self.longest_refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes so many items a second.
    pub fn load(self: &Arc<Pushes>, rate: u64) -> Load {
        let pushes = self.clone();
        let mut due = 0;
        Load::start(rate, move |items| {
            due += items;
            let whole = due / ITEMS * ITEMS;
            due -= whole;
            pushes.push(whole);
            true
        })
    }

    /// Pushes so many, in whole requests.
    pub fn push(&self, items: u64) {
        for _ in 0..items / ITEMS {
            self.push_request();
        }
    }

    fn push_request(&self) {
        let port = self.port.load(Relaxed) as u16;
        let first = self.next.fetch_add(ITEMS, Relaxed);
        let numbers = first..first + ITEMS;
        let start = Instant::now();
        match self.send(port, numbers.clone()) {
            Ok(200..=299) => self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers),
            Ok(status) => {
                self.refused.fetch_add(ITEMS, Relaxed);
                if !matches!(status, 429 | 503) {
                    self.unkind.fetch_add(ITEMS, Relaxed);
                }
                let mut longest = self.longest_refusal.lock().unwrap_or_else(PoisonError::into_inner);
                *longest = longest.max(start.elapsed());
            }
            // A connection that breaks is no answer.
            Err(_) => drop(self.unanswered.fetch_add(ITEMS, Relaxed)),
        }
    }

    fn send(&self, port: u16, numbers: Range<u64>) -> io::Result<u16> {
        let (path, headers, body) = match self.kind {
            Kind::Spans => ("/v1/traces", PROTOBUF, push::spans(numbers)),
            Kind::Records => ("/v1/logs", PROTOBUF, push::records(numbers)),
            Kind::Points => ("/v1/metrics", PROTOBUF, push::points(numbers)),
            Kind::Samples => (
                "/api/v1/metrics/write",
                "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n",
                push::samples(numbers),
            ),
            Kind::Lines => ("/loki/api/v1/raw", "", numbers.map(line).collect::<String>().into_bytes()),
        };
        post(port, path, headers, &[&body[..], &self.padding].concat())
    }
}

/// The status of the answer to a request of its own connection; `headers` are lines.
pub fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> io::Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::other("this is no answer"))
}
