//! Macro benchmarks: what one item costs a whole collector process, at a fixed rate far below saturation.
//!
//! ```text
//! cargo xtask bench                      # every case, every peer that is installed
//! benches scrape tail otlp idle start    # some
//! ```
//! Peers: the binary in `$ALLOY_BIN`, `prometheus` and `vmagent` from the PATH. Ours is `target/release/ferroalloy` or
//! `$FERROALLOY_BIN`. `$BENCH_SPANS_PER_SECOND` sets another rate for `otlp`. The first figure is CPU time, user and system, of all threads, from the process clock: it does not
//! depend on who else uses the machine.

mod agent;
mod load;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use agent::{Agent, Candidate, Kind};
use sdk_testing::sink;

const WARM_UP: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);

/// One line of the table.
struct Row {
    kind: Kind,
    micros_per_item: f64,
    unit: &'static str,
    anonymous_mib: f64,
    file_mib: f64,
    wire_bytes_per_item: f64,
    note: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut cases: Vec<String> = std::env::args().skip(1).collect();
    if cases.is_empty() {
        cases = ["start", "scrape", "tail", "otlp", "idle"].map(str::to_owned).to_vec();
    }
    let candidates = Candidate::all();
    for case in cases {
        println!("\n## {case}\n");
        println!(
            "| collector | CPU µs per item | item | RSS anon MiB | RSS file MiB | bytes out per item | ratio to ours | |"
        );
        println!("|---|--:|---|--:|--:|--:|--:|---|");
        let mut ours = None;
        for candidate in &candidates {
            let row = match case.as_str() {
                "scrape" => scrape(candidate).await,
                "tail" => tail(candidate).await,
                "otlp" => otlp(candidate).await,
                "idle" => idle(candidate).await,
                "start" => start(candidate).await,
                other => Err(std::io::Error::other(format!(
                    "no such case: {other}; there are start, scrape, tail, otlp, idle"
                ))),
            };
            match row {
                Ok(Some(row)) => {
                    let ours = *ours.get_or_insert(row.micros_per_item);
                    println!(
                        "| {:?} | {:.3} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
                        row.kind,
                        row.micros_per_item,
                        row.unit,
                        row.anonymous_mib,
                        row.file_mib,
                        row.wire_bytes_per_item,
                        row.micros_per_item / ours,
                        row.note
                    );
                }
                Ok(None) => {}
                Err(error) => println!("| {:?} | failed: {error} | | | | | | |", candidate.kind),
            }
        }
    }
    Ok(())
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

/// 200 targets of 550 samples every 2 s, to remote write: 55,000 samples/s.
async fn scrape(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    const TARGETS: usize = 200;
    let targets_port = load::targets().await?;
    let (port, tally) = sink::http(sink::Protocol::RemoteWrite).await?;
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    let folder = tempfile::tempdir()?;
    let config = if candidate.speaks_alloy() {
        let targets: String = (0..TARGETS)
            .map(|n| format!("\t\t{{\"__address__\" = \"127.0.0.1:{targets_port}\", \"__metrics_path__\" = \"/t/{n}\", \"instance\" = \"host-{n}:9100\"}},\n"))
            .collect();
        format!(
            "prometheus.scrape \"bench\" {{\n\ttargets = [\n{targets}\t]\n\tscrape_interval = \"2s\"\n\tscrape_timeout = \"2s\"\n\
             \tforward_to = [prometheus.remote_write.bench.receiver]\n}}\n\
             prometheus.remote_write \"bench\" {{\n\tendpoint {{\n\t\turl = \"{url}\"\n\t}}\n}}\n"
        )
    } else {
        let targets: String = (0..TARGETS)
            .map(|n| {
                format!(
                    "      - targets: ['127.0.0.1:{targets_port}']\n        labels: {{__metrics_path__: '/t/{n}', instance: 'host-{n}:9100'}}\n"
                )
            })
            .collect();
        let remote =
            if candidate.kind == Kind::Prometheus { format!("remote_write:\n  - url: {url}\n") } else { String::new() };
        format!(
            "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n{remote}scrape_configs:\n  - job_name: bench\n    static_configs:\n{targets}"
        )
    };
    let agent = candidate.start(folder.path(), &config, &url).await?;
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW).await?;
    let note = format!("{:.0} samples/s arrived", seen.1 as f64 / WINDOW.as_secs_f64());
    let row = row(candidate, &agent, "sample", seen, note);
    agent.stop().await?;
    row
}

/// 20,000 CRI lines/s of 300 B, parsed, to Loki.
async fn tail(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    const LINES_PER_SECOND: u64 = 20_000;
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::Loki).await?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("pod.log");
    std::fs::write(&log, "")?;
    let config = format!(
        "local.file_match \"bench\" {{\n\tpath_targets = [{{\"__path__\" = \"{}\", \"job\" = \"bench\"}}]\n}}\n\
         loki.source.file \"bench\" {{\n\ttargets = local.file_match.bench.targets\n\tforward_to = [loki.process.bench.receiver]\n}}\n\
         loki.process \"bench\" {{\n\tstage.cri {{ }}\n\tforward_to = [loki.write.bench.receiver]\n}}\n\
         loki.write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/loki/api/v1/push\"\n\t}}\n}}\n",
        log.display()
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let writer = tokio::spawn(async move { load::write_cri(&log, LINES_PER_SECOND, WARM_UP + WINDOW).await });
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW - Duration::from_secs(2)).await?;
    let written = writer.await.map_err(std::io::Error::other)??;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (lost, repeated) = tally.lost_and_repeated(written);
    let note = format!(
        "{:.0} MB per CPU-second, {written} written, {lost} lost, {repeated} repeated",
        seen.1 as f64 * load::LINE_BYTES as f64 / 1e6 / seen.0.as_secs_f64()
    );
    let row = row(candidate, &agent, "line", seen, note);
    agent.stop().await?;
    row
}

/// A rate from the environment: what costs most at a low rate is not what costs most near saturation.
fn rate(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|rate| rate.parse().ok()).unwrap_or(default)
}

/// 20,000 spans/s by gRPC, batched, by gRPC on; nothing compressed.
async fn otlp(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    let spans_per_second = rate("BENCH_SPANS_PER_SECOND", 20_000);
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::grpc().await?;
    let receiver = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let config = format!(
        "otelcol.receiver.otlp \"bench\" {{\n\tgrpc {{\n\t\tendpoint = \"127.0.0.1:{receiver}\"\n\t}}\n\toutput {{\n\t\ttraces = [otelcol.processor.batch.bench.input]\n\t}}\n}}\n\
         otelcol.processor.batch \"bench\" {{\n\toutput {{\n\t\ttraces = [otelcol.exporter.otlp.bench.input]\n\t}}\n}}\n\
         otelcol.exporter.otlp \"bench\" {{\n\tclient {{\n\t\tendpoint = \"127.0.0.1:{port}\"\n\t\tcompression = \"none\"\n\t\ttls {{\n\t\t\tinsecure = true\n\t\t}}\n\t}}\n}}\n"
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sender = tokio::spawn(load::send_spans(receiver, spans_per_second, WARM_UP + WINDOW));
    tokio::time::sleep(WARM_UP).await;
    let seen = window(&agent, &tally, WINDOW - Duration::from_secs(2)).await?;
    let accepted = sender.await.map_err(std::io::Error::other)??;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let arrived = tally.items.load(Relaxed);
    let note = format!(
        "{:.0} B per span, {accepted} accepted, {} lost, {} repeated",
        load::span_bytes(),
        accepted.saturating_sub(arrived),
        arrived.saturating_sub(accepted)
    );
    let row = row(candidate, &agent, "span", seen, note);
    agent.stop().await?;
    row
}

/// This host's own metrics every 15 s, to remote write; the item is one scrape.
async fn idle(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    const SCRAPES: u32 = 4;
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let (port, tally) = sink::http(sink::Protocol::RemoteWrite).await?;
    let folder = tempfile::tempdir()?;
    let config = format!(
        "prometheus.exporter.unix \"bench\" {{ }}\n\
         prometheus.scrape \"bench\" {{\n\ttargets = prometheus.exporter.unix.bench.targets\n\tscrape_interval = \"15s\"\n\
         \tforward_to = [prometheus.remote_write.bench.receiver]\n}}\n\
         prometheus.remote_write \"bench\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{port}/api/v1/write\"\n\t}}\n}}\n"
    );
    let agent = candidate.start(folder.path(), &config, "").await?;
    agent.ready().await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (cpu, samples, bytes) = window(&agent, &tally, Duration::from_secs(15) * SCRAPES).await?;
    let note = format!("{} samples per scrape", samples / u64::from(SCRAPES));
    let row = row(candidate, &agent, "scrape", (cpu, u64::from(SCRAPES), bytes), note);
    agent.stop().await?;
    row
}

/// exec to ready: the smallest useful configuration, and 1,000 components. The item is one start of the latter.
async fn start(candidate: &Candidate) -> std::io::Result<Option<Row>> {
    if !candidate.speaks_alloy() {
        return Ok(None);
    }
    let small = "prometheus.exporter.unix \"host\" { }\n\
                 prometheus.scrape \"host\" {\n\ttargets = prometheus.exporter.unix.host.targets\n\tforward_to = [prometheus.remote_write.x.receiver]\n}\n\
                 prometheus.remote_write \"x\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/api/v1/write\"\n\t}\n}\n";
    let mut large =
        String::from("loki.write \"w\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/loki/api/v1/push\"\n\t}\n}\n");
    large += "prometheus.remote_write \"w\" {\n\tendpoint {\n\t\turl = \"http://127.0.0.1:9/api/v1/write\"\n\t}\n}\n";
    for n in 0..400 {
        large += &format!(
            "discovery.relabel \"r{n}\" {{\n\ttargets = [{{\"__address__\" = \"127.0.0.1:9\", \"n\" = \"{n}\"}}]\n\trule {{\n\t\tsource_labels = [\"n\"]\n\t\ttarget_label = \"m\"\n\t}}\n}}\n"
        );
        large += &format!(
            "prometheus.scrape \"s{n}\" {{\n\ttargets = discovery.relabel.r{n}.output\n\tscrape_interval = \"1h\"\n\tforward_to = [prometheus.remote_write.w.receiver]\n}}\n"
        );
    }
    for n in 0..198 {
        large += &format!(
            "loki.process \"p{n}\" {{\n\tstage.json {{\n\t\texpressions = {{level = \"\"}}\n\t}}\n\tforward_to = [loki.write.w.receiver]\n}}\n"
        );
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut last = None;
    for _ in 0..5 {
        for (config, times) in [small, &large].into_iter().zip(&mut times) {
            let folder = tempfile::tempdir()?;
            let agent = candidate.start(folder.path(), config, "").await?;
            times.push(agent.ready().await?);
            last = Some((agent.cpu()?, agent.memory()?));
            agent.stop().await?;
        }
    }
    let [small, large] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (cpu, memory) = last.expect("five runs");
    Ok(Some(Row {
        kind: candidate.kind,
        micros_per_item: cpu.as_secs_f64() * 1e6,
        unit: "start",
        anonymous_mib: memory.anonymous as f64 / 1024.0,
        file_mib: memory.file as f64 / 1024.0,
        wire_bytes_per_item: 0.0,
        note: format!("ready after {small:.1?} (3 components), {large:.1?} (1,000 components); medians of 5"),
    }))
}
