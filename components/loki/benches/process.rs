//! What stages cost: CPU time of this thread for each line, over batches as a file source makes them.
//!
//! ```text
//! cargo bench -p components-loki
//! ```
#![allow(clippy::print_stdout)]

use base_metrics::Scope as Metrics;
use bytes::Bytes;
use components_loki::process::{Pipeline, StageArguments};
use language_eval::{Arguments, Scope};
use nix::time::{ClockId, clock_gettime};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

/// As much as a source reads at once.
const BATCH_BYTES: usize = 256 << 10;

/// How long each case runs, in nanoseconds of CPU time.
const MEASURE: u64 = 1_000_000_000;

/// The stages of a pipeline alone.
#[derive(Arguments)]
struct Stages {
    /// What is done with each line.
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

const CRI: &str = "stage.cri {}";
const CRI_JSON: &str = "stage.cri {}\nstage.json {\n expressions = { level = \"\", status = \"\", method = \"request.method\" }\n}\n\
                        stage.labels {\n values = { level = \"\", status = \"\", method = \"\" }\n}";
const REGEX: &str = "stage.regex {\n expression = `^(?P<ip>\\S+) (?P<id>\\S+) (?P<user>\\S+) \\[(?P<time>[^\\]]+)\\] \
                     \"(?P<method>\\S+) (?P<path>\\S+) (?P<protocol>[^\"]+)\" (?P<status>\\d+) (?P<size>\\d+|-)`\n}\n\
                     stage.labels {\n values = { method = \"\", status = \"\" }\n}";
const LOGFMT: &str =
    "stage.logfmt {\n mapping = { level = \"\", msg = \"\" }\n}\nstage.labels {\n values = { level = \"\" }\n}";
const TEMPLATE: &str = "stage.template {\n source = \"out\"\n template = \"{{ .app | ToUpper }}: {{ .Entry }}\"\n}\n\
                        stage.output {\n source = \"out\"\n}";

fn main() {
    let text = "the quick brown fox jumps over the lazy dog and then goes on to do a few other things, as foxes do; "
        .repeat(3);
    let cri = move |n: usize| format!("2026-03-04T05:06:07.{:09}Z stdout F {}", n, &text[..265]);
    let json = |n: usize| {
        format!(
            "2026-03-04T05:06:07.{n:09}Z stdout F {{\"ts\":\"2026-03-04T05:06:07Z\",\"level\":\"{}\",\"msg\":\"request done\",\
             \"request\":{{\"method\":\"GET\",\"path\":\"/api/v1/items/{n}\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64)\"}},\
             \"status\":{},\"duration_ms\":{}.25,\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}}",
            ["info", "warn"][n % 2],
            [200, 404][n % 2],
            n % 100
        )
    };
    let access = |n: usize| {
        format!(
            "10.1.2.{} - ann [04/Mar/2026:05:06:07 +0100] \"GET /index/{n}?q=1 HTTP/1.1\" {} {n} \"https://example.org/\" \
             \"Mozilla/5.0 (X11; Linux x86_64)\"",
            n % 256,
            [200, 304][n % 2]
        )
    };
    let logfmt = |n: usize| {
        format!(
            "ts=2026-03-04T05:06:07Z caller=main.go:{n} level=info msg=\"request done\" path=/api/{n} status=200 took=1.5ms"
        )
    };
    println!("| pipeline | bytes per line | ns per line | MB per CPU-second |");
    println!("|---|--:|--:|--:|");
    case("nothing (the batch is cloned and dropped)", "", &cri);
    case("cri", CRI, &cri);
    case("cri, json (3 keys), labels", CRI_JSON, &json);
    case("regex (9 groups, 2 read), labels", REGEX, &access);
    case("logfmt (2 keys), labels", LOGFMT, &logfmt);
    case("template, output", TEMPLATE, &logfmt);
}

fn case(name: &str, stages: &str, line: &dyn Fn(usize) -> String) {
    let stages: Stages = sdk_testing::component::decode(stages, &Scope::new()).expect("the stages decode");
    let mut pipeline = Pipeline::build(&stages.stages, &Metrics::detached()).expect("the stages can be made");
    let batch = batch(line);
    let (lines, bytes) = (batch.len() as u64, batch.line_bytes() as u64);
    let mut batches = 0;
    let start = cpu();
    let mut spent = 0;
    while spent < MEASURE {
        for _ in 0..10 {
            let finished = pipeline.run(batch.clone());
            assert_eq!(finished.batch.len() as u64, lines);
        }
        batches += 10;
        spent = cpu() - start;
    }
    let per_line = spent as f64 / (batches * lines) as f64;
    let per_second = (batches * bytes) as f64 / 1e6 / (spent as f64 / 1e9);
    println!("| {name} | {} | {per_line:.0} | {per_second:.0} |", bytes / lines);
}

/// Lines as views of one buffer.
fn batch(line: &dyn Fn(usize) -> String) -> LogBatch {
    let mut buffer = Vec::new();
    let mut ends = vec![0];
    while buffer.len() < BATCH_BYTES {
        buffer.extend_from_slice(line(ends.len()).as_bytes());
        ends.push(buffer.len());
    }
    let buffer = Bytes::from(buffer);
    let entries = ends.windows(2).map(|ends| LogEntry::new(1_772_600_000_000_000_000, buffer.slice(ends[0]..ends[1])));
    LogBatch::of(Labels::from_pairs([("app", "demo"), ("filename", "/var/log/pods/demo/0.log")]), entries.collect())
}

/// CPU time of this thread in nanoseconds: it does not depend on who else uses the machine.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
