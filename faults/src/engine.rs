//! A stand-in for a Docker engine: containers that write numbered lines, on a socket that goes away and comes back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::collector::said;

/// Containers at the same time.
pub const CONTAINERS: u64 = 3;

/// The engine, and what its containers have written.
pub struct Engine {
    socket: PathBuf,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    logs: [Mutex<Vec<Line>>; CONTAINERS as usize],
    start: Instant,
    numbers: AtomicU64,
    /// Connections of an older one are cut.
    lives: AtomicU64,
}

#[derive(Clone)]
struct Line {
    /// Milliseconds since the first of January 2026: many lines have the same.
    time: u64,
    number: u64,
}

/// That day.
const EPOCH: u64 = 1_767_225_600;

/// How often a log is looked at by those who follow it.
const LOOK: Duration = Duration::from_millis(5);

// === impl Engine ===

impl Engine {
    /// It is away until it comes.
    pub fn new(socket: PathBuf) -> Engine {
        let shared = Shared {
            logs: Default::default(),
            start: Instant::now(),
            numbers: AtomicU64::new(0),
            lives: AtomicU64::new(0),
        };
        Engine { socket, shared: Arc::new(shared), listening: None }
    }

    /// Listens.
    pub fn comes(&mut self) -> Result<(), String> {
        let listener = UnixListener::bind(&self.socket).map_err(said)?;
        let shared = self.shared.clone();
        let life = shared.lives.load(Relaxed);
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                drop(tokio::spawn(async move { shared.answer(stream, life).await }));
            }
        }));
        Ok(())
    }

    /// Cuts every connection, some in the middle of a line, and leaves no socket. The containers go on.
    pub async fn goes(&mut self) -> Result<(), String> {
        self.shared.lives.fetch_add(1, Relaxed);
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
        std::fs::remove_file(&self.socket).map_err(said)
    }

    /// Each container writes so many lines.
    pub fn write(&self, lines: u64) {
        let time = u64::try_from(self.shared.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        for log in &self.shared.logs {
            let mut log = lock(log);
            for _ in 0..lines {
                log.push(Line { time, number: self.shared.numbers.fetch_add(1, Relaxed) });
            }
        }
    }

    /// How many lines all have written: their numbers begin at 0.
    pub fn written(&self) -> u64 {
        self.shared.numbers.load(Relaxed)
    }
}

// === impl Shared ===

impl Shared {
    async fn answer(&self, stream: UnixStream, life: u64) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut request = String::new();
            while stream.read_line(&mut request).await.is_ok_and(|length| length > 2) {}
            let Some(path) = request.split(' ').nth(1) else { return };
            if path.contains("/logs") {
                let _ = self.follow(stream.into_inner(), path, life).await;
                return;
            }
            let body = r#"{"State":{"Running":true,"FinishedAt":"0001-01-01T00:00:00Z"},"Config":{"Tty":false},"HostConfig":{"LogConfig":{"Type":"json-file"}}}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if self.lives.load(Relaxed) != life || stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn follow(&self, mut stream: UnixStream, path: &str, life: u64) -> std::io::Result<()> {
        let container = path.split("/containers/c").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let Some(log) = container.and_then(|number: usize| self.logs.get(number)) else { return Ok(()) };
        let since = path.rsplit("since=").next().and_then(since).unwrap_or(0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
        let mut next = lock(log).partition_point(|line| line.time < since);
        loop {
            let lines = lock(log)[next..].to_vec();
            next += lines.len();
            let frames: Vec<u8> = lines.iter().flat_map(Line::frame).collect();
            if self.lives.load(Relaxed) != life {
                // What was on its way is cut anywhere.
                return stream.write_all(&frames[..frames.len() * 2 / 3]).await;
            }
            stream.write_all(&frames).await?;
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Line {
    fn frame(&self) -> Vec<u8> {
        let (second, number) = (self.time / 1000, self.number);
        let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
        let time = format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", self.time % 1000);
        let text = format!("{time} whole seq={number} again={number}\n");
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[1, 0, 0, 0][..], &length, text.as_bytes()].concat()
    }
}

/// `seconds.nanoseconds` since 1970, as milliseconds since that day.
fn since(text: &str) -> Option<u64> {
    let (seconds, part) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds: u64 = format!("{part:0<9}").parse().ok()?;
    Some(seconds.parse::<u64>().ok()?.saturating_sub(EPOCH) * 1000 + nanoseconds / 1_000_000)
}

fn lock(log: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
