//! Log files.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// What lines are filled up with: a service says the same few things again and again, and that is how they compress.
const SENTENCES: &[&str] = &[
    "request handled by worker after retry of upstream; ",
    "cache miss for key of session, reading from the primary; ",
    "connection closed by peer with unread data in the queue; ",
    "shard commit offset advanced, partition leader elected; ",
    "snapshot written to disk and older segments removed; ",
    "user signed in from a new device, confirmation sent; ",
    "slow query: sequential scan on orders, consider an index; ",
    "circuit breaker half open, probing the payment service; ",
];

/// What a line looks like. Each carries an ascending `seq=N`.
#[derive(Clone, Copy)]
pub enum Line {
    /// 300 bytes of JSON.
    Json,
    /// 300 bytes of a container runtime's file, JSON inside.
    Cri,
    /// 157 bytes of a web server's access log.
    Access,
    /// 40 bytes.
    Short,
}

impl Line {
    /// Its bytes, line feed included.
    pub const fn bytes(self) -> usize {
        match self {
            Line::Json | Line::Cri => 300,
            Line::Access => 157,
            Line::Short => 40,
        }
    }

    /// Appends the line of this number.
    pub fn put(self, buffer: &mut Vec<u8>, sequence: u64) {
        let start = buffer.len();
        let (minute, second, milli) = (sequence / 60_000 % 60, sequence / 1000 % 60, sequence % 1000);
        let mut random = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pick = |of: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % of
        };
        let written = match self {
            Line::Json | Line::Cri => {
                if matches!(self, Line::Cri) {
                    let _ = write!(buffer, "2026-11-21T12:{minute:02}:{second:02}.{milli:03}000000Z stdout F ");
                }
                let level = ["info", "info", "warn", "error"][pick(4) as usize];
                let (method, status) = (["GET", "POST"][pick(2) as usize], [200, 200, 404, 500][pick(4) as usize]);
                write!(
                    buffer,
                    "{{\"level\":\"{level}\",\"method\":\"{method}\",\"path\":\"/api/v1/items/{}\",\"status\":{status},\"msg\":\"seq={sequence} request served\",\"trace\":\"{:08x}{:08x}\",\"detail\":\"",
                    pick(100_000),
                    pick(1 << 32),
                    pick(1 << 32)
                )
            }
            Line::Access => write!(
                buffer,
                "10.{}.{}.{} - frank [21/Nov/2026:12:{minute:02}:{second:02} +0000] \"GET /api/v1/items/{} HTTP/1.1\" 200 {} \"-\" \"seq={sequence} ",
                pick(256),
                pick(256),
                pick(256),
                pick(100_000),
                pick(1_000_000)
            ),
            Line::Short => write!(buffer, "seq={sequence} "),
        };
        written.expect("memory takes it");
        let end: &[u8] = match self {
            Line::Json | Line::Cri => b"\"}\n",
            Line::Access => b"\"\n",
            Line::Short => b"\n",
        };
        let full = start + self.bytes() - end.len();
        while buffer.len() < full {
            buffer.extend_from_slice(SENTENCES[pick(SENTENCES.len() as u64) as usize].as_bytes());
        }
        buffer.truncate(full);
        buffer.extend_from_slice(end);
    }
}

/// Appends lines at a fixed rate; returns how many.
pub async fn write_lines(path: &Path, line: Line, lines_per_second: u64, duration: Duration) -> std::io::Result<u64> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let start = Instant::now();
    let mut written = 0;
    let mut buffer = Vec::new();
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * lines_per_second as f64) as u64;
        buffer.clear();
        for sequence in written..due {
            line.put(&mut buffer, sequence);
        }
        file.write_all(&buffer)?;
        written = due;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(written)
}
