//! Pipelines and the lines that they are measured with.

use base_metrics::Scope as Metrics;
use bytes::Bytes;
use components_loki::process::{Pipeline, StageArguments};
use language_eval::{Arguments, Scope};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

/// What is done with lines of one kind.
pub struct Case {
    pub name: &'static str,
    pub stages: &'static str,
    pub line: fn(usize) -> String,
    /// A line needs no memory of its own. What works with texts of Windows, Go templates or decoded JSON does.
    pub is_common: bool,
    /// Lines leave as many as they came.
    pub keeps_count: bool,
}

/// The stages of a pipeline alone.
#[derive(Arguments)]
struct Stages {
    /// What is done with each line.
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

const fn common(name: &'static str, stages: &'static str, line: fn(usize) -> String) -> Case {
    Case { name, stages, line, is_common: true, keeps_count: true }
}

const fn other(name: &'static str, stages: &'static str, line: fn(usize) -> String) -> Case {
    Case { name, stages, line, is_common: false, keeps_count: true }
}

const fn counting(name: &'static str, stages: &'static str, line: fn(usize) -> String) -> Case {
    Case { name, stages, line, is_common: false, keeps_count: false }
}

/// All of them.
pub const CASES: &[Case] = &[
    common("nothing (the batch is cloned and dropped)", "", cri),
    common("cri", "stage.cri {}", cri),
    common("docker", "stage.docker {}", docker),
    common("json (3 keys)", JSON, json),
    common("cri, json (3 keys), labels", CRI_JSON, cri_json),
    other("json by JMESPath functions", JMESPATH, json),
    common("logfmt (2 keys), labels", LOGFMT, logfmt),
    common("regex (9 groups, 2 read), labels", REGEX, access),
    common("regex (9 groups, all there), labels", SIMPLE_REGEX, access),
    common("pattern (3 fields), labels", PATTERN, access),
    common("static_labels", "stage.static_labels {\n values = { zone = \"a\" }\n}", cri),
    common("label_drop", "stage.label_drop {\n values = [\"filename\"]\n}", cri),
    common("label_keep", "stage.label_keep {\n values = [\"app\"]\n}", cri),
    common("drop by regex (none)", "stage.drop {\n expression = `nothing like (this|that)`\n}", cri),
    common("drop by value (none)", DROP_VALUE, json),
    common("match, json, labels", MATCH, json),
    common("json, timestamp", TIMESTAMP, json),
    common("json, output", OUTPUT, json),
    common("pack", "stage.pack {\n labels = [\"app\"]\n}", cri),
    common("decolorize", "stage.decolorize {}", cri),
    common("sampling (all)", "stage.sampling {\n rate = 1\n}", cri),
    common("tenant", "stage.tenant {\n value = \"one\"\n}", cri),
    common("limit (none)", "stage.limit {\n rate = 100000000\n burst = 100000000\n drop = true\n}", cri),
    common("json, structured_metadata", METADATA, json),
    common("json, structured_metadata, ..._drop", METADATA_DROP, json),
    common("replace", "stage.replace {\n expression = `(fox)`\n replace = \"cat\"\n}", cri),
    common("luhn (none)", "stage.luhn {}", access),
    common("truncate", "stage.truncate {\n rule {\n  limit = \"100B\"\n  suffix = \"...\"\n }\n}", cri),
    common("json, metrics (counter, histogram)", METRICS, json),
    common("multiline (one line each)", MULTILINE, cri),
    counting("multiline (blocks of 4 lines)", BLOCKS, logfmt),
    counting("split_json (3 elements)", "stage.split_json {}", list),
    other(
        "json, eventlogmessage",
        "stage.json {\n expressions = { message = \"\" }\n}\nstage.eventlogmessage {}",
        windows,
    ),
    other("json, windowsevent", "stage.json {\n expressions = { message = \"\" }\n}\nstage.windowsevent {}", windows),
    other("template, output", TEMPLATE, logfmt),
];

const JSON: &str = "stage.json {\n expressions = { level = \"\", status = \"\", method = \"request.method\" }\n}";
const CRI_JSON: &str = "stage.cri {}\nstage.json {\n expressions = { level = \"\", status = \"\", method = \"request.method\" }\n}\n\
                        stage.labels {\n values = { level = \"\", status = \"\", method = \"\" }\n}";
const JMESPATH: &str = "stage.json {\n expressions = { level = \"join('-', [level, trace_id])\" }\n}";
const REGEX: &str = "stage.regex {\n expression = `^(?P<ip>\\S+) (?P<id>\\S+) (?P<user>\\S+) \\[(?P<time>[^\\]]+)\\] \
                     \"(?P<method>\\S+) (?P<path>\\S+) (?P<protocol>[^\"]+)\" (?P<status>\\d+) (?P<size>\\d+|-)`\n}\n\
                     stage.labels {\n values = { method = \"\", status = \"\" }\n}";
const SIMPLE_REGEX: &str = "stage.regex {\n expression = `^(?P<ip>\\S+) (?P<id>\\S+) (?P<user>\\S+) \\[(?P<time>[\\w:/]+\\s[+\\-]\\d{4})\\] \
                            \"(?P<method>\\S+) (?P<path>\\S+) (?P<protocol>\\S+)\" (?P<status>\\d{3}) (?P<size>\\d+)`\n}\n\
                            stage.labels {\n values = { method = \"\", status = \"\" }\n}";
const PATTERN: &str = "stage.pattern {\n pattern = `<_> - <user> [<_>] \"<method> <_>\" <status> <_>`\n}\n\
                       stage.labels {\n values = { method = \"\", status = \"\", user = \"\" }\n}";
const LOGFMT: &str =
    "stage.logfmt {\n mapping = { level = \"\", msg = \"\" }\n}\nstage.labels {\n values = { level = \"\" }\n}";
const DROP_VALUE: &str =
    "stage.json {\n expressions = { level = \"\" }\n}\nstage.drop {\n source = \"level\"\n value = \"debug\"\n}";
const MATCH: &str = "stage.match {\n selector = `{app=\"demo\"} |= \"request\"`\n stage.json {\n  expressions = { level = \"\" }\n }\n \
                     stage.labels {\n  values = { level = \"\" }\n }\n}";
const TIMESTAMP: &str =
    "stage.json {\n expressions = { ts = \"\" }\n}\nstage.timestamp {\n source = \"ts\"\n format = \"RFC3339\"\n}";
const OUTPUT: &str = "stage.json {\n expressions = { msg = \"\" }\n}\nstage.output {\n source = \"msg\"\n}";
const METADATA: &str = "stage.json {\n expressions = { trace_id = \"\" }\n}\nstage.structured_metadata {\n values = { trace_id = \"\" }\n}";
const METADATA_DROP: &str = "stage.json {\n expressions = { trace_id = \"\", status = \"\" }\n}\n\
                             stage.structured_metadata {\n values = { trace_id = \"\", status = \"\" }\n}\n\
                             stage.structured_metadata_drop {\n values = [\"status\"]\n}";
const METRICS: &str = "stage.json {\n expressions = { duration_ms = \"\" }\n}\nstage.metrics {\n \
                       metric.counter {\n  name = \"lines\"\n  match_all = true\n  action = \"inc\"\n }\n \
                       metric.histogram {\n  name = \"took\"\n  source = \"duration_ms\"\n  buckets = [10, 50, 90]\n }\n}";
const MULTILINE: &str = "stage.multiline {\n firstline = `nothing begins`\n}";
const BLOCKS: &str = "stage.multiline {\n firstline = `caller=main.go:\\d*[048] `\n}";
const TEMPLATE: &str = "stage.template {\n source = \"out\"\n template = \"{{ .app | ToUpper }}: {{ .Entry }}\"\n}\n\
                        stage.output {\n source = \"out\"\n}";

const TEXT: &str = "the quick brown fox jumps over the lazy dog and then goes on to do a few other things, as foxes do; \
                    the quick brown fox jumps over the lazy dog and then goes on to do a few other things, as foxes do; \
                    the quick brown fox jumps over the lazy dog and then goes on to do it";

fn cri(n: usize) -> String {
    format!("2026-03-04T05:06:07.{n:09}Z stdout F {TEXT}")
}

fn docker(n: usize) -> String {
    format!("{{\"log\":\"{TEXT}\",\"stream\":\"stdout\",\"time\":\"2026-03-04T05:06:07.{n:09}Z\"}}")
}

fn json(n: usize) -> String {
    format!(
        "{{\"ts\":\"2026-03-04T05:06:07Z\",\"level\":\"{}\",\"msg\":\"request done\",\"request\":{{\"method\":\"GET\",\
         \"path\":\"/api/v1/items/{n}\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64)\"}},\"status\":{},\"duration_ms\":{}.25,\
         \"trace_id\":\"4bf92f3577b34da6a3ce929d{n:08x}\"}}",
        ["info", "warn"][n % 2],
        [200, 404][n % 2],
        n % 100
    )
}

fn cri_json(n: usize) -> String {
    format!("2026-03-04T05:06:07.{n:09}Z stdout F {}", json(n))
}

fn access(n: usize) -> String {
    format!(
        "10.1.2.{} - ann [04/Mar/2026:05:06:07 +0100] \"GET /index/{n}?q=1 HTTP/1.1\" {} {n} \"https://example.org/\" \
         \"Mozilla/5.0 (X11; Linux x86_64)\"",
        n % 256,
        [200, 304][n % 2]
    )
}

fn logfmt(n: usize) -> String {
    format!(
        "ts=2026-03-04T05:06:07Z caller=main.go:{n} level=info msg=\"request done\" path=/api/{n} status=200 took=1.5ms"
    )
}

fn list(n: usize) -> String {
    format!("[{{\"id\":{n},\"text\":\"one of three\"}},{{\"id\":{n},\"text\":\"another\"}},\"the last one, a text\"]")
}

fn windows(n: usize) -> String {
    format!(
        "{{\"source\":\"Security\",\"message\":\"An account was logged on.\\r\\n\\r\\nSubject:\\r\\n\\tSecurity ID:\\tS-1-5-18\\r\\n\
         \\tLogon ID:\\t0x{n:x}\\r\\n\\r\\nNetwork Information:\\r\\n\\tSource Port:\\t{n}\"}}"
    )
}

impl Case {
    /// Its pipeline.
    pub fn pipeline(&self) -> Pipeline {
        let stages: Stages = sdk_testing::component::decode(self.stages, &Scope::new()).expect(self.name);
        Pipeline::build(&stages.stages, &Metrics::detached()).expect(self.name)
    }

    /// So many lines, as views of one buffer: what a source makes of what it reads.
    pub fn batch(&self, lines: usize) -> LogBatch {
        let mut buffer = Vec::new();
        let mut ends = vec![0];
        for line in 0..lines {
            buffer.extend_from_slice((self.line)(line).as_bytes());
            ends.push(buffer.len());
        }
        let buffer = Bytes::from(buffer);
        let entries =
            ends.windows(2).map(|ends| LogEntry::new(1_772_600_000_000_000_000, buffer.slice(ends[0]..ends[1])));
        LogBatch::of(Labels::from_pairs([("app", "demo"), ("filename", "/var/log/pods/demo/0.log")]), entries.collect())
    }
}
