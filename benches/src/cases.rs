//! The cases: each feeds one candidate and measures it.

mod docker;
mod files;
mod idle;
mod otlp;
mod scrape;
mod start;
mod tail;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sdk_testing::sink;

use crate::agent::{Agent, Candidate, Kind};
use crate::load::Transport;

const WARM_UP: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);

/// Their names, in the order of the table.
pub const NAMES: &[&str] = &[
    "start",
    "scrape",
    "scrape-gzip",
    "scrape-labels",
    "scrape-rw2",
    "tail",
    "tail-raw",
    "tail-json",
    "tail-regex",
    "tail-short",
    "tail-wal",
    "docker",
    "otlp",
    "otlp-large",
    "otlp-insert",
    "otlp-gzip",
    "otlp-zstd",
    "otlp-http",
    "otlp-full",
    "otlp-full-insert",
    "otlp-full-gzip",
    "otlp-full-zstd",
    "otlp-full-http",
    "otlp-latency",
    "otlp-latency-http",
    "idle",
    "files",
];

/// One line of the table.
pub struct Row {
    /// Who.
    pub kind: Kind,
    pub micros_per_item: f64,
    pub unit: &'static str,
    pub anonymous_mib: f64,
    pub file_mib: f64,
    pub wire_bytes_per_item: f64,
    pub note: String,
}

/// Runs a case; `None` where the candidate does not do such work.
pub async fn run(case: &str, candidate: &Candidate) -> std::io::Result<Option<Row>> {
    match case {
        "start" => start::run(candidate).await,
        "scrape" => scrape::run(candidate, &scrape::NODE).await,
        "scrape-gzip" => scrape::run(candidate, &scrape::GZIP).await,
        "scrape-labels" => scrape::run(candidate, &scrape::LABELS).await,
        "scrape-rw2" => scrape::run(candidate, &scrape::VERSION_2).await,
        "tail" => tail::run(candidate, &tail::CRI).await,
        "tail-raw" => tail::run(candidate, &tail::RAW).await,
        "tail-json" => tail::run(candidate, &tail::JSON).await,
        "tail-regex" => tail::run(candidate, &tail::REGEX).await,
        "tail-short" => tail::run(candidate, &tail::SHORT).await,
        "tail-wal" => tail::run(candidate, &tail::WAL).await,
        "docker" => docker::run(candidate).await,
        "otlp" => otlp::run(candidate, &otlp::SMALL).await,
        "otlp-large" => otlp::run(candidate, &otlp::LARGE).await,
        "otlp-insert" => otlp::run(candidate, &otlp::INSERT).await,
        "otlp-gzip" => otlp::run(candidate, &otlp::GZIP).await,
        "otlp-zstd" => otlp::run(candidate, &otlp::ZSTD).await,
        "otlp-http" => otlp::run(candidate, &otlp::HTTP).await,
        "otlp-full" => otlp::run(candidate, &otlp::FULL).await,
        "otlp-full-insert" => otlp::run(candidate, &otlp::FULL_INSERT).await,
        "otlp-full-gzip" => otlp::run(candidate, &otlp::FULL_GZIP).await,
        "otlp-full-zstd" => otlp::run(candidate, &otlp::FULL_ZSTD).await,
        "otlp-full-http" => otlp::run(candidate, &otlp::FULL_HTTP).await,
        "otlp-latency" => otlp::latency(candidate, Transport::Grpc).await,
        "otlp-latency-http" => otlp::latency(candidate, Transport::Http).await,
        "idle" => idle::run(candidate).await,
        "files" => files::run(candidate).await,
        other => Err(std::io::Error::other(format!("no such case: {other}; there are {}", NAMES.join(", ")))),
    }
}

/// CPU time and arrivals of one window.
async fn window(agent: &Agent, tally: &sink::Tally, length: Duration) -> std::io::Result<(Duration, u64, u64)> {
    let (cpu, items, bytes) = (agent.cpu()?, tally.items.load(Relaxed), tally.wire_bytes.load(Relaxed));
    tokio::time::sleep(length).await;
    Ok((agent.cpu()? - cpu, tally.items.load(Relaxed) - items, tally.wire_bytes.load(Relaxed) - bytes))
}

fn row(
    candidate: &Candidate,
    agent: &Agent,
    unit: &'static str,
    (cpu, items, bytes): (Duration, u64, u64),
    note: String,
) -> std::io::Result<Option<Row>> {
    let memory = agent.memory()?;
    Ok(Some(Row {
        kind: candidate.kind,
        micros_per_item: cpu.as_secs_f64() * 1e6 / items.max(1) as f64,
        unit,
        anonymous_mib: memory.anonymous as f64 / 1024.0,
        file_mib: memory.file as f64 / 1024.0,
        wire_bytes_per_item: bytes as f64 / items.max(1) as f64,
        note,
    }))
}
