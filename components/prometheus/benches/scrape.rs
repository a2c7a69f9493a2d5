//! What a sample costs from the target's page to the receiver's socket, CPU time of everything but the two peers.
//!
//! ```text
//! cargo bench -p components-prometheus --bench scrape            # remote write 1
//! cargo bench -p components-prometheus --bench scrape -- v2      # and 2
//! ```
//! 200 targets of 550 samples every two seconds (a page like a node exporter's, eight variants of its values, gzip), one
//! endpoint. Targets and receiver are another process, so its time does not count. `cargo xtask bench` measures the whole
//! collector beside its peers; this one needs no binary and shows what a change to this family does.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base_metrics::Registry;
use language_eval::block::BodySource;
use language_eval::{Scope, Value};
use language_syntax::{Source, parse};
use sdk_component::{Context, ContextParts, Instance, MemoryHttp, Stability, Stop};
use tokio_util::sync::CancellationToken;

const TARGETS: usize = 200;
const SAMPLES: usize = 550;
const WARM_UP: Duration = Duration::from_secs(6);
const WINDOW: Duration = Duration::from_secs(10);

fn main() {
    if std::env::args().any(|argument| argument == "peer") {
        return peer();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(agent());
}

async fn agent() {
    let mut child = Command::new(std::env::current_exe().unwrap()).arg("peer").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();

    let registry = Registry::new();
    let data = tempfile::tempdir().unwrap();
    let version = match std::env::args().any(|argument| argument == "v2") {
        true => "protobuf_message = \"io.prometheus.write.v2.Request\"",
        false => "",
    };
    let write = format!("endpoint {{\nurl = \"http://127.0.0.1:{port}/write\"\n{version}\n}}");
    let (context, _write) = start("prometheus.remote_write", &write, &Scope::new(), &registry, data.path());
    let mut names = Scope::new();
    names.set("write", Value::Object(context.exports())).unwrap();
    // Addresses of one listener: each is a host of its own.
    let targets: Vec<String> =
        (0..TARGETS).map(|i| format!("{{ __address__ = \"127.0.1.{}:{port}\" }}", i + 1)).collect();
    let scrape = format!(
        "targets = [{}]\nforward_to = [write.receiver]\nscrape_interval = \"2s\"\nscrape_timeout = \"2s\"\n",
        targets.join(", ")
    );
    let (_, _scrape) = start("prometheus.scrape", &scrape, &names, &registry, data.path());

    tokio::time::sleep(WARM_UP).await;
    let sent = || registry.value("prometheus_remote_storage_samples_total", &[]).unwrap_or(0.0);
    let scraped = || registry.value("prometheus_forwarded_samples_total", &[]).unwrap_or(0.0);
    let (cpu, before, before_in) = (cpu_seconds(), sent(), scraped());
    tokio::time::sleep(WINDOW).await;
    let (cpu, count, count_in) = (cpu_seconds() - cpu, sent() - before, scraped() - before_in);
    let bytes = registry.value("prometheus_remote_storage_bytes_total", &[]).unwrap_or(0.0) / sent();
    let failed = registry.value("prometheus_remote_storage_samples_failed_total", &[]).unwrap_or(0.0);
    println!(
        "{:.0} samples/s scraped, {:.0} samples/s sent, {failed} failed",
        count_in / WINDOW.as_secs_f64(),
        count / WINDOW.as_secs_f64()
    );
    println!("{:.3} CPU-µs per sample, {bytes:.1} bytes per sample on the wire", cpu * 1e6 / count);
    println!("{} series, {:.1} MiB anonymous", sdk_series::active(), anonymous_mib());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn start(
    name: &str,
    config: &str,
    scope: &Scope,
    registry: &Registry,
    data: &std::path::Path,
) -> (Context, Arc<dyn Instance>) {
    let id = format!("{name}.bench");
    let context = Context::new(ContextParts {
        data_path: data.join(&id),
        id: id.clone(),
        module_path: "/".to_owned(),
        metrics: registry.scope(&[("component_path", "/"), ("component_id", &id)]),
        local_id: id,
        minimum_stability: Stability::Experimental,
        on_exports: Box::new(|_| {}),
        on_health: Box::new(|_, message| println!("health: {message}")),
        memory_http: Arc::new(NoServer),
        listen_address: "127.0.0.1:12345".to_owned(),
    });
    let source = Source::new("bench.alloy", config);
    let (file, diagnostics) = parse(source.clone());
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let definition = components_prometheus::COMPONENTS.iter().find(|definition| definition.name == name).unwrap();
    let body =
        BodySource { body: &file.body, source: &source, header: Default::default(), label: Some("bench"), scope };
    let arguments = (definition.decode)(body).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let instance = (definition.build)(&context, arguments).unwrap_or_else(|problem| panic!("{problem}"));
    tokio::spawn(instance.clone().run(Stop::new(CancellationToken::new(), Duration::from_secs(5))));
    (context, instance)
}

struct NoServer;

impl MemoryHttp for NoServer {
    fn address(&self) -> &str {
        "alloy.internal:12345"
    }

    fn call(&self, _: http::Request<bytes::Bytes>) -> sdk_component::BoxFuture<'_, http::Response<bytes::Bytes>> {
        Box::pin(async { http::Response::default() })
    }
}

/// User and system time of this process and none of its children.
fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let total: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    total as f64 / 1e9
}

fn anonymous_mib() -> f64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

// === the other process ===

/// Serves pages on GET, takes everything on POST.
fn peer() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::io::stdout().flush().unwrap();
    let pages: Arc<Vec<Vec<u8>>> = Arc::new((0..8).map(page).collect());
    let served = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming().flatten() {
        let (pages, served) = (pages.clone(), served.clone());
        std::thread::spawn(move || serve(stream, &pages, &served));
    }
}

fn serve(mut stream: TcpStream, pages: &[Vec<u8>], served: &AtomicU64) -> Option<()> {
    let mut read = vec![0u8; 1 << 20];
    let mut filled = 0;
    loop {
        let head = loop {
            if let Some(end) = read[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            let count = stream.read(&mut read[filled..]).ok().filter(|count| *count > 0)?;
            filled += count;
        };
        let text = std::str::from_utf8(&read[..head]).ok()?.to_ascii_lowercase();
        let length =
            text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok()).unwrap_or(0);
        while filled < head + length {
            let count = stream.read(&mut read[filled..]).ok().filter(|count| *count > 0)?;
            filled += count;
        }
        if text.starts_with("post") {
            // Without the count it would be taken for a receiver of version 1.
            let written = "X-Prometheus-Remote-Write-Samples-Written: 100000";
            stream.write_all(format!("HTTP/1.1 204 No Content\r\n{written}\r\n\r\n").as_bytes()).ok()?;
        } else {
            let page = &pages[served.fetch_add(1, Ordering::Relaxed) as usize % pages.len()];
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            stream.write_all(&[head.as_bytes(), page].concat()).ok()?;
        }
        read.copy_within(head + length..filled, 0);
        filled -= head + length;
    }
}

/// A page like a node exporter's, compressed.
fn page(variant: usize) -> Vec<u8> {
    let mut page = String::new();
    let mut random = variant as u64 + 1;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let modes = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
    for i in 0..SAMPLES {
        let family = i / 11;
        if i % 11 == 0 {
            page += &format!(
                "# HELP node_family_{family}_total What this family of metrics is about.\n# TYPE node_family_{family}_total counter\n"
            );
        }
        match family % 3 {
            0 => {
                page += &format!(
                    "node_family_{family}_total{{cpu=\"{}\",mode=\"{}\"}} {}.{:02}\n",
                    i % 11,
                    modes[i % 8],
                    next() % 1_000_000,
                    next() % 100
                )
            }
            1 => page += &format!("node_family_{family}_total{{device=\"eth{}\"}} {}\n", i % 11, next()),
            _ => page += &format!("node_family_{family}_part_{}_bytes {:e}\n", i % 11, (next() * 1000) as f64),
        }
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(page.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
