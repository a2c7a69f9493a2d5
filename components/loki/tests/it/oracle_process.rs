//! `loki.process` against what Alloy was recorded to do.
//!
//! The recordings went through `loki.write`, which removes internal labels and sends the tenant as a header; the same is
//! done here before comparing. Order counts inside a label set (and tenant).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use components_loki::process::Process;
use language_eval::{FromValue, ToValue, Value};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry, LogsReceiver, Metadata};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::Value as Json;

const STAGES: &[&str] = &[
    "cri",
    "decolorize",
    "docker",
    "drop",
    "eventlogmessage",
    "json",
    "label_drop",
    "label_keep",
    "labels",
    "limit",
    "logfmt",
    "luhn",
    "match",
    "metrics",
    "multiline",
    "output",
    "pack",
    "pattern",
    "pipeline",
    "regex",
    "replace",
    "sampling",
    "split_json",
    "static_labels",
    "structured_metadata",
    "structured_metadata_drop",
    "template",
    "tenant",
    "timestamp",
    "truncate",
    "windowsevent",
];

/// Longer than any `max_wait_time` of the recordings.
const AFTER_THE_LAST: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn lines_come_out_as_alloy_processes_them() {
    let mut group = oracle::Group::new("loki_process");
    for stage in STAGES {
        let Some(cases) = oracle::cases::<Json>(&format!("pipelines/loki_process/{stage}.jsonl")) else { return };
        for case in &cases {
            let id = case["id"].as_str().expect("an id");
            group.case(id, run(case).await);
        }
    }
    group.finish();
}

/// What differs, if anything does.
async fn run(case: &Json) -> Option<String> {
    let (collector, receiver) = Collector::<LogBatch>::new();
    let scope = scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]);
    let config = format!("forward_to = sink\n{}", case["config"].as_str().expect("a text"));
    let mut alone = match (Alone::<Process>::start(&config, &scope), case.get("load_error")) {
        (Err(_), Some(_)) => return None,
        (Err(ours), None) => return Some(format!("does not load: {ours}\n{config}")),
        (Ok(_), Some(error)) => return Some(format!("loads, but should say {error}\n{config}")),
        (Ok(alone), None) => alone,
    };
    let receiver = LogsReceiver::from_value(&alone.export("receiver")?).expect("a receiver");
    let mut given: Vec<i64> = Vec::new();
    for input in case["input"].as_array().expect("a list") {
        if let Some(pause) = input.get("sleep_ms") {
            tokio::time::sleep(Duration::from_millis(pause.as_u64().expect("a number"))).await;
            continue;
        }
        let (labels, entry) = entry(input);
        given.push(entry.timestamp);
        receiver.0.consume(LogBatch::of(labels, vec![entry])).await.expect("the collector takes all").detach();
    }
    tokio::time::sleep(AFTER_THE_LAST).await;
    // Only what came before the stop: at a stop we let go what Alloy throws away.
    let batches = collector.take();
    let ours = arrived(&batches, &given);
    let page = alone.metrics();
    alone.stop().await.expect("it stops");
    let mut accepted = vec![&case["expected"]];
    for other in case.get("other_observed").and_then(Json::as_array).into_iter().flatten() {
        accepted.push(&other["expected"]);
    }
    let differs = |expected: &Json| {
        let expected = wanted(expected);
        (expected != ours).then(|| format!("{config}\nalloy: {expected:#?}\nours:  {ours:#?}"))
    };
    let mut differences: Vec<String> = accepted.into_iter().map_while(differs).collect();
    // One of the accepted results is enough.
    if differences.len() < 1 + case.get("other_observed").and_then(Json::as_array).map_or(0, Vec::len) {
        differences.clear();
    }
    differences.truncate(1);
    for (reason, count) in case.get("dropped").and_then(Json::as_object).into_iter().flatten() {
        let ours = alone.metric("loki_process_dropped_lines_total", &[("reason", reason)]).unwrap_or(0.0);
        if Some(ours) != count.as_f64() {
            differences.push(format!("dropped for {reason}: {count} by Alloy, {ours} by us"));
        }
    }
    for metric in case.get("metrics").and_then(Json::as_array).into_iter().flatten() {
        let name = metric["name"].as_str().expect("a name");
        let labels: Vec<(&str, &str)> = pairs(&metric["labels"]);
        let ours = value(&page, name, &labels);
        let alloys: f64 = metric["value"].as_str().expect("a text").parse().expect("a number");
        if ours != Some(alloys) {
            differences.push(format!("{name}{labels:?}: {alloys} by Alloy, {ours:?} by us"));
        }
    }
    (!differences.is_empty()).then(|| differences.join("\n"))
}

/// A sample of exactly these labels, beside those of the component.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: BTreeMap<String, String> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    page.lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let inside = series.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
        let mut ours = BTreeMap::new();
        for pair in inside.split("\",") {
            let (label, value) = pair.split_once("=\"")?;
            ours.insert(label.to_owned(), value.trim_end_matches('"').to_owned());
        }
        ours.remove("component_id");
        ours.remove("component_path");
        (ours == wanted).then(|| value.parse().ok())?
    })
}

fn pairs(object: &Json) -> Vec<(&str, &str)> {
    let object = object.as_object().into_iter().flatten();
    object.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect()
}

fn entry(input: &Json) -> (Labels, LogEntry) {
    let timestamp = match input.get("now_minus_s") {
        Some(seconds) => base_sys::clock::now_ns() - seconds.as_i64().expect("a number") * 1_000_000_000,
        None => input["ts"].as_str().expect("a text").parse().expect("a number"),
    };
    let mut entry = LogEntry::new(timestamp, bytes(&input["line"]));
    entry.metadata = metadata(&input["structured_metadata"]).into_iter().collect::<Metadata>();
    (Labels::from_pairs(pairs(&input["labels"])), entry)
}

fn metadata(json: &Json) -> Vec<(Bytes, Bytes)> {
    let list = json.as_array().into_iter().flatten();
    list.map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect()
}

fn bytes(json: &Json) -> Bytes {
    match json {
        Json::String(text) => Bytes::from(text.clone()),
        other => {
            let base64 = other["base64"].as_str().expect("a text");
            base64::engine::general_purpose::STANDARD.decode(base64).expect("base64").into()
        }
    }
}

/// Entries by label set and tenant, in order: time, line, metadata.
type Entries = BTreeMap<String, Vec<(String, String, Vec<(String, String)>)>>;

fn arrived(batches: &[LogBatch], given: &[i64]) -> Entries {
    let mut entries = Entries::new();
    for group in batches.iter().flat_map(|batch| &batch.groups) {
        let labels: BTreeMap<&str, &str> = group.labels.iter().filter(|(name, _)| !name.starts_with("__")).collect();
        let key = format!("{labels:?} {}", group.labels.get("__tenant_id__").unwrap_or(""));
        for entry in &group.entries {
            let age = base_sys::clock::now_ns() - entry.timestamp;
            let time = match entry.timestamp {
                timestamp if given.contains(&timestamp) && timestamp % 1_000_000_000 != 0 => "input".to_owned(),
                _ if (0..60_000_000_000).contains(&age) => "now".to_owned(),
                timestamp => timestamp.to_string(),
            };
            let metadata = entry.metadata.pairs().to_vec();
            entries.entry(key.clone()).or_default().push((time, text(&entry.line), sorted(metadata)));
        }
    }
    entries
}

fn wanted(expected: &Json) -> Entries {
    let mut entries = Entries::new();
    for entry in expected.as_array().expect("a list") {
        let labels: BTreeMap<&str, &str> = pairs(&entry["labels"]).into_iter().collect();
        let key = format!("{labels:?} {}", entry["tenant"].as_str().unwrap_or(""));
        let time = entry["ts"].as_str().expect("a text").to_owned();
        let line = text(&bytes(&entry["line"]));
        entries.entry(key).or_default().push((time, line, sorted(metadata(&entry["structured_metadata"]))));
    }
    entries
}

/// Objects come in varying key order: JSON is compared as JSON.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    match serde_json::from_slice::<Json>(bytes) {
        Ok(json @ Json::Object(_)) => format!("{json} {}", text.contains("\\u003c")),
        _ => format!("{text:?} {}", text.len() == bytes.len()),
    }
}

fn sorted(metadata: Vec<(Bytes, Bytes)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = metadata.iter().map(|(name, value)| (text(name), text(value))).collect();
    pairs.sort();
    pairs
}
