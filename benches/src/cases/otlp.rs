//! Spans in, batched, and on: by gRPC or HTTP, compressed or not, at a fixed rate or as fast as they are taken.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use sdk_testing::sink::{self, Tally};

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::{Agent, Candidate, Kind};
use crate::apart::Apart;
use crate::load::{Coding, Pace, Sent, Spans, Transport};

/// How the spans come and what is done to them.
#[derive(Clone, Copy)]
pub struct Otlp {
    spans_per_request: u64,
    transport: Transport,
    coding: Coding,
    /// A processor before the batch, and its inside.
    insert: bool,
    /// As fast as they are taken.
    full: bool,
}

/// 100 spans a request: a handful of services that export every second or so.
pub const SMALL: Otlp =
    Otlp { spans_per_request: 100, transport: Transport::Grpc, coding: Coding::None, insert: false, full: false };
/// 1,000 spans a request: an agent that batches before us.
pub const LARGE: Otlp = Otlp { spans_per_request: 1000, ..SMALL };
/// One attribute inserted into each span.
pub const INSERT: Otlp = Otlp { insert: true, ..LARGE };
/// gzip in and out.
pub const GZIP: Otlp = Otlp { coding: Coding::Gzip, ..LARGE };
/// zstd in and out.
pub const ZSTD: Otlp = Otlp { coding: Coding::Zstd, ..LARGE };
/// HTTP in and out.
pub const HTTP: Otlp = Otlp { transport: Transport::Http, ..LARGE };
/// The same as fast as they are taken.
pub const FULL: Otlp = Otlp { full: true, ..LARGE };
pub const FULL_INSERT: Otlp = Otlp { full: true, ..INSERT };
pub const FULL_GZIP: Otlp = Otlp { full: true, ..GZIP };
pub const FULL_ZSTD: Otlp = Otlp { full: true, ..ZSTD };
pub const FULL_HTTP: Otlp = Otlp { full: true, ..HTTP };

/// Requests of [`latency`].
const LATENCY_SPANS: u64 = 100;
/// How long each part of [`latency`] takes.
const LATENCY_WINDOW: Duration = Duration::from_secs(8);
/// What has not arrived so long after the one before it is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// 20,000 spans/s, or `$BENCH_SPANS_PER_SECOND`: what costs most at a low rate is not what costs most near saturation.
fn spans_per_second() -> u64 {
    std::env::var("BENCH_SPANS_PER_SECOND").ok().and_then(|rate| rate.parse().ok()).unwrap_or(20_000)
}

/// One connection in at a fixed rate, several otherwise; one out.
pub async fn run(candidate: &Candidate, case: &Otlp) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() && candidate.kind != Kind::Collector {
        return Ok(None);
    }
    let (agent, receiver, tally, _folder) = case.start(candidate, true).await?;
    let pace = if case.full { Pace::Full } else { Pace::Rate(spans_per_second()) };
    let spans = case.spans(pace);
    let bytes = spans.bytes();
    let sender = tokio::spawn(spans.send(receiver, WARM_UP + WINDOW));
    tokio::time::sleep(WARM_UP).await;
    let length = WINDOW - Duration::from_secs(2);
    let seen = window(&agent, &tally, length).await?;
    let Sent { accepted, refused, .. } = sender.await.map_err(std::io::Error::other)??;
    let queued = accepted.saturating_sub(tally.items.load(Relaxed));
    let start = Instant::now();
    let arrived = all_arrived(&tally, accepted).await;
    let mut note = format!(
        "{bytes:.0} B per span, {} spans a request, {:.0} spans/s, {accepted} accepted, {queued} queued at the end and gone after {:.1} s, {} lost, {} repeated",
        case.spans_per_request,
        seen.1 as f64 / length.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        accepted.saturating_sub(arrived),
        arrived.saturating_sub(accepted)
    );
    if refused > 0 {
        note.push_str(&format!(", {refused} requests refused"));
    }
    let row = row(candidate, &agent, "span", seen, note);
    agent.stop().await?;
    row
}

/// From sending a request to its arrival at the backend, without a batch processor, and the same straight to the backend. The
/// collector has a core of its own, and gets what keeps half of it busy; or half of what it takes at most, if that is less.
pub async fn latency(candidate: &Candidate, transport: Transport) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let case = Otlp { spans_per_request: LATENCY_SPANS, transport, ..SMALL };
    let apart = Apart::new();
    let candidate = &Candidate { apart: apart.is_some(), ..candidate.clone() };
    let (agent, receiver, tally, _folder) = case.start(candidate, false).await?;
    let (most, _) = busy(case.spans(Pace::Full), receiver, &agent, &tally).await?;
    let at = |rate| Spans { numbered: true, ..case.spans(Pace::Rate(rate)) };
    let (half, share) = busy(at(most / 2), receiver, &agent, &tally).await?;
    let rate = (half as f64 * (0.5 / share).min(1.0)) as u64;
    let numbered = at(rate);

    let before = tally.items.load(Relaxed);
    tally.keep_arrivals();
    let sender = tokio::spawn(numbered.send(receiver, LATENCY_WINDOW));
    tokio::time::sleep(LATENCY_WINDOW / 4).await;
    let (load, start) = (own_cpu()?, Instant::now());
    let seen = window(&agent, &tally, LATENCY_WINDOW / 2).await?;
    let load = (own_cpu()? - load).as_secs_f64() / start.elapsed().as_secs_f64();
    let sent = sender.await.map_err(std::io::Error::other)??;
    let arrived = all_arrived(&tally, before + sent.accepted).await - before;
    let (accepted, refused) = (sent.accepted, sent.refused);
    let through = latencies(&tally, &sent);

    let (port, straight) = case.sink().await?;
    straight.keep_arrivals();
    let sent = numbered.send(port, LATENCY_WINDOW).await?;
    let straight = latencies(&straight, &sent);
    let added = |share| millis(quantile(&through, share)) - millis(quantile(&straight, share));
    let note = format!(
        "{rate} spans/s in requests of {LATENCY_SPANS}, of {most} that are taken at most; added p50 {:.2} ms, p99 {:.2} ms; through p50 {:.2}, p99 {:.2}; straight p50 {:.2}, p99 {:.2}; {accepted} accepted, {refused} requests refused, {} lost; of a core: load {:.0} %, collector {:.0} %; {}",
        added(0.5),
        added(0.99),
        millis(quantile(&through, 0.5)),
        millis(quantile(&through, 0.99)),
        millis(quantile(&straight, 0.5)),
        millis(quantile(&straight, 0.99)),
        accepted.saturating_sub(arrived),
        load * 100.0,
        share_of(seen.0) * 100.0,
        apart.as_ref().map_or("on the same cores", Apart::words),
    );
    let row = row(candidate, &agent, "span", seen, note);
    agent.stop().await?;
    row
}

/// What arrives in a second while such are sent, and the share of a core that the collector needs for it.
async fn busy(spans: Spans, receiver: u16, agent: &Agent, tally: &Tally) -> std::io::Result<(u64, f64)> {
    let before = tally.items.load(Relaxed);
    let sender = tokio::spawn(spans.send(receiver, LATENCY_WINDOW));
    tokio::time::sleep(LATENCY_WINDOW / 4).await;
    let (cpu, items, _) = window(agent, tally, LATENCY_WINDOW / 2).await?;
    let sent = sender.await.map_err(std::io::Error::other)??;
    all_arrived(tally, before + sent.accepted).await;
    Ok((items / (LATENCY_WINDOW / 2).as_secs(), share_of(cpu)))
}

/// Of a core, of what was used in a window of [`latency`].
fn share_of(cpu: Duration) -> f64 {
    cpu.as_secs_f64() / (LATENCY_WINDOW / 2).as_secs_f64()
}

/// CPU time of the load so far.
fn own_cpu() -> std::io::Result<Duration> {
    Ok(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into())
}

/// Waits until as many items have arrived, or none come any more; how many there are.
async fn all_arrived(tally: &Tally, items: u64) -> u64 {
    let mut arrived = tally.items.load(Relaxed);
    let mut last = Instant::now();
    while arrived < items && last.elapsed() < SILENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = tally.items.load(Relaxed);
        if now > arrived {
            (arrived, last) = (now, Instant::now());
        }
    }
    // What is repeated comes at once behind the rest.
    tokio::time::sleep(Duration::from_millis(500)).await;
    tally.items.load(Relaxed)
}

/// Sorted, of the requests that were sent after the first quarter.
fn latencies(tally: &Tally, sent: &Sent) -> Vec<Duration> {
    let late = sent.times.len() / 4;
    let arrivals = tally.arrivals().into_iter().filter(|(number, _)| *number as usize >= late);
    let mut all: Vec<Duration> = arrivals
        .filter_map(|(number, arrived)| Some(arrived.duration_since(*sent.times.get(number as usize)?)))
        .collect();
    all.sort_unstable();
    all
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Waits until somebody takes connections there.
async fn listens(port: u16) -> std::io::Result<()> {
    let start = Instant::now();
    while let Err(error) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        if start.elapsed() > Duration::from_secs(60) {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

impl Otlp {
    fn spans(self, pace: Pace) -> Spans {
        Spans {
            per_request: self.spans_per_request,
            pace,
            transport: self.transport,
            coding: self.coding,
            numbered: false,
        }
    }

    async fn sink(self) -> std::io::Result<(u16, std::sync::Arc<Tally>)> {
        match self.transport {
            Transport::Grpc => sink::grpc().await,
            Transport::Http => sink::http(sink::Protocol::Spans).await,
        }
    }

    /// A candidate that works, the port where it takes spans, where they arrive, and its folder.
    async fn start(
        self,
        candidate: &Candidate,
        batch: bool,
    ) -> std::io::Result<(Agent, u16, std::sync::Arc<Tally>, tempfile::TempDir)> {
        let (port, tally) = self.sink().await?;
        let receiver = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let config = match candidate.kind {
            Kind::Collector => self.collector_config(receiver, port),
            _ => self.config(receiver, port, batch),
        };
        let agent = candidate.start(folder.path(), &config, "").await?;
        listens(receiver).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok((agent, receiver, tally, folder))
    }

    /// The block of the receiver, the exporter's component and its endpoint, as Alloy's language has them.
    fn ends(self, port: u16) -> (&'static str, &'static str, String) {
        match self.transport {
            Transport::Grpc => ("grpc", "otlp", format!("127.0.0.1:{port}")),
            Transport::Http => ("http", "otlphttp", format!("http://127.0.0.1:{port}")),
        }
    }

    fn config(self, receiver: u16, port: u16, batch: bool) -> String {
        let (block, exporter, endpoint) = self.ends(port);
        let last = format!("otelcol.exporter.{exporter}.bench.input");
        let after_insert = if batch { "otelcol.processor.batch.bench.input" } else { &last };
        let first = if self.insert { "otelcol.processor.attributes.bench.input" } else { after_insert };
        let mut config = format!(
            "otelcol.receiver.otlp \"bench\" {{\n\t{block} {{\n\t\tendpoint = \"127.0.0.1:{receiver}\"\n\t}}\n\toutput {{\n\t\ttraces = [{first}]\n\t}}\n}}\n"
        );
        if self.insert {
            config.push_str(&format!(
                "otelcol.processor.attributes \"bench\" {{\n\taction {{\n\t\tkey = \"environment\"\n\t\tvalue = \"production\"\n\t\taction = \"insert\"\n\t}}\n\toutput {{\n\t\ttraces = [{after_insert}]\n\t}}\n}}\n"
            ));
        }
        if batch {
            config.push_str(&format!(
                "otelcol.processor.batch \"bench\" {{\n\toutput {{\n\t\ttraces = [{last}]\n\t}}\n}}\n"
            ));
        }
        // Who is faster at taking than at giving must tell those who send, or it is its memory that is measured.
        let queue = match self.full || !batch {
            true => "\tsending_queue {\n\t\tqueue_size = 20\n\t\tblock_on_overflow = true\n\t}\n",
            false => "",
        };
        config.push_str(&format!(
            "otelcol.exporter.{exporter} \"bench\" {{\n\tclient {{\n\t\tendpoint = \"{endpoint}\"\n\t\tcompression = \"{}\"\n\t\ttls {{\n\t\t\tinsecure = true\n\t\t}}\n\t}}\n{queue}}}\n",
            self.coding.name()
        ));
        config
    }

    /// The same for a Collector, with the batches of Alloy's defaults.
    fn collector_config(self, receiver: u16, port: u16) -> String {
        let (insert, processors) = match self.insert {
            true => (
                "  attributes:\n    actions:\n      - key: environment\n        value: production\n        action: insert\n",
                "attributes, batch",
            ),
            false => ("", "batch"),
        };
        let (block, exporter, endpoint) = self.ends(port);
        let queue = match self.full {
            true => "    sending_queue:\n      queue_size: 20\n      block_on_overflow: true\n",
            false => "",
        };
        let compression = self.coding.name();
        format!(
            "receivers:\n  otlp:\n    protocols:\n      {block}:\n        endpoint: 127.0.0.1:{receiver}\n\
             processors:\n{insert}  batch:\n    timeout: 200ms\n    send_batch_size: 2000\n    send_batch_max_size: 3000\n\
             exporters:\n  {exporter}:\n    endpoint: {endpoint}\n    compression: {compression}\n    tls:\n      insecure: true\n{queue}\
             service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n    traces:\n      receivers: [otlp]\n\
             \x20     processors: [{processors}]\n      exporters: [{exporter}]\n"
        )
    }
}
