//! Spans by gRPC, batched, by gRPC on.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sdk_testing::sink;

use super::{Row, WARM_UP, WINDOW, row, window};
use crate::agent::{Candidate, Kind};
use crate::load;

/// How the spans come and what is done to them.
pub struct Otlp {
    spans_per_request: u64,
    gzip: bool,
    /// A processor behind the batch, and its inside.
    insert: bool,
}

/// 100 spans a request: a handful of services that export every second or so.
pub const SMALL: Otlp = Otlp { spans_per_request: 100, gzip: false, insert: false };
/// 1,000 spans a request: an agent that batches before us.
pub const LARGE: Otlp = Otlp { spans_per_request: 1000, gzip: false, insert: false };
/// One attribute inserted into each span.
pub const INSERT: Otlp = Otlp { spans_per_request: 1000, gzip: false, insert: true };
/// gzip in and out.
pub const GZIP: Otlp = Otlp { spans_per_request: 1000, gzip: true, insert: false };

/// 20,000 spans/s, or `$BENCH_SPANS_PER_SECOND`: what costs most at a low rate is not what costs most near saturation.
fn spans_per_second() -> u64 {
    std::env::var("BENCH_SPANS_PER_SECOND").ok().and_then(|rate| rate.parse().ok()).unwrap_or(20_000)
}

/// One connection in, one out.
pub async fn run(candidate: &Candidate, case: &Otlp) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() && candidate.kind != Kind::Collector {
        return Ok(None);
    }
    let (port, tally) = sink::grpc().await?;
    let receiver = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let config = match candidate.kind {
        Kind::Collector => case.collector_config(receiver, port),
        _ => case.config(receiver, port),
    };
    let agent = candidate.start(folder.path(), &config, "").await?;
    listens(receiver).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spans = load::Spans { per_request: case.spans_per_request, per_second: spans_per_second(), gzip: case.gzip };
    let bytes = spans.bytes();
    let sender = tokio::spawn(load::send_spans(receiver, spans, WARM_UP + WINDOW));
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW - Duration::from_secs(2)).await?;
    let accepted = sender.await.map_err(std::io::Error::other)??;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let arrived = tally.items.load(Relaxed);
    let note = format!(
        "{bytes:.0} B per span, {} spans a request, {accepted} accepted, {} lost, {} repeated",
        case.spans_per_request,
        accepted.saturating_sub(arrived),
        arrived.saturating_sub(accepted)
    );
    let row = row(candidate, &agent, "span", seen, note);
    agent.stop().await?;
    row
}

/// Waits until somebody takes connections there.
async fn listens(port: u16) -> std::io::Result<()> {
    let start = std::time::Instant::now();
    while let Err(error) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        if start.elapsed() > Duration::from_secs(60) {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

impl Otlp {
    fn compression(&self) -> &'static str {
        if self.gzip { "gzip" } else { "none" }
    }

    fn config(&self, receiver: u16, port: u16) -> String {
        let first = if self.insert { "attributes" } else { "batch" };
        let insert = match self.insert {
            true => {
                "otelcol.processor.attributes \"bench\" {\n\taction {\n\t\tkey = \"environment\"\n\t\tvalue = \"production\"\n\t\taction = \"insert\"\n\t}\n\toutput {\n\t\ttraces = [otelcol.processor.batch.bench.input]\n\t}\n}\n"
            }
            false => "",
        };
        let compression = self.compression();
        format!(
            "otelcol.receiver.otlp \"bench\" {{\n\tgrpc {{\n\t\tendpoint = \"127.0.0.1:{receiver}\"\n\t}}\n\toutput {{\n\t\ttraces = [otelcol.processor.{first}.bench.input]\n\t}}\n}}\n{insert}\
         otelcol.processor.batch \"bench\" {{\n\toutput {{\n\t\ttraces = [otelcol.exporter.otlp.bench.input]\n\t}}\n}}\n\
         otelcol.exporter.otlp \"bench\" {{\n\tclient {{\n\t\tendpoint = \"127.0.0.1:{port}\"\n\t\tcompression = \"{compression}\"\n\t\ttls {{\n\t\t\tinsecure = true\n\t\t}}\n\t}}\n}}\n"
        )
    }

    /// The same for a Collector, with the batches of Alloy's defaults.
    fn collector_config(&self, receiver: u16, port: u16) -> String {
        let (insert, processors) = match self.insert {
            true => (
                "  attributes:\n    actions:\n      - key: environment\n        value: production\n        action: insert\n",
                "attributes, batch",
            ),
            false => ("", "batch"),
        };
        let compression = self.compression();
        format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: 127.0.0.1:{receiver}\n\
             processors:\n{insert}  batch:\n    timeout: 200ms\n    send_batch_size: 2000\n    send_batch_max_size: 3000\n\
             exporters:\n  otlp:\n    endpoint: 127.0.0.1:{port}\n    compression: {compression}\n    tls:\n      insecure: true\n\
             service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n    traces:\n      receivers: [otlp]\n\
             \x20     processors: [{processors}]\n      exporters: [otlp]\n"
        )
    }
}
