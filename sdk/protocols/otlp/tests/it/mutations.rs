//! The fuzz target, for seconds, on seeds and mutations of them.

use sdk_protocols_otlp::{Signal, fuzz, json};
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 10_000;

const WORDS: &[&str] =
    &["\0", "\x0a", "\x12", "\x1a", "\x22", "\x7f", "\u{80}", "{", "}", "[", "null", "\"intValue\":", "1e400"];

const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
    "name":"GET /","kind":2,"startTimeUnixNano":"1","events":[{"name":"e"}],"status":{"code":2}}]}]}]}"#;

const METRICS: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
    {"name":"a","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"5"},{"asDouble":0.5}]}},
    {"name":"h","histogram":{"dataPoints":[{"count":"3","sum":1.5,"bucketCounts":["1","2"],"explicitBounds":[0.1]}]}}]}]}]}"#;

const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"INFO","body":{"kvlistValue":{"values":[
    {"key":"a","value":{"arrayValue":{"values":[{"boolValue":true},{"bytesValue":"AQI="}]}}}]}}}]}]}]}"#;

#[test]
fn any_payload_can_be_worked_on() {
    let signals = [(Signal::Traces, TRACES), (Signal::Metrics, METRICS), (Signal::Logs, LOGS)];
    let mut seeds: Vec<Vec<u8>> = signals.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
    seeds.extend(signals.iter().map(|(signal, text)| json::from_json(*signal, text.as_bytes()).expect("it is OTLP")));
    mutate::run(&seeds, WORDS, MUTATIONS, fuzz::payload);
}
