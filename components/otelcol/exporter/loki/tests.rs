//! What Alloy was recorded to make of log records, and what is promised beside.

use base_sys::clock;
use language_eval::ToValue as _;
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogsReceiver, OtlpBatch, OtlpSignal, Outcome, Refused};
use sdk_testing::oracle::{Group, cases};
use sdk_testing::otlp;
use serde_json::{Value as Json, json};

use super::Loki;
use crate::testing::Bench;

const NOW: i64 = 1_790_000_000_000_000_000;

fn start(config: &str) -> Result<Bench<Loki, LogBatch>, String> {
    Bench::start(config, |receiver| LogsReceiver(receiver).to_value())
}

/// What has come, by stream and in order.
fn out(bench: &Bench<Loki, LogBatch>) -> Vec<(String, String, i64)> {
    let mut out = Vec::new();
    for group in bench.next.batches().into_iter().flat_map(|batch| batch.groups) {
        for entry in &group.entries {
            out.push((group.labels.to_string(), String::from_utf8(entry.line.to_vec()).unwrap(), entry.timestamp));
        }
    }
    out
}

fn records(records: Json) -> Json {
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] })
}

#[tokio::test]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/exporter_loki.jsonl") else { return };
    let mut group = Group::new("otelcol_exporter_loki");
    for row in rows {
        group.case(row["id"].as_str().unwrap(), run(&row).await.err());
    }
    group.finish();
}

async fn run(row: &Json) -> Result<(), String> {
    let _clock = clock::hold(NOW);
    let bench = start(&otlp::inside(row["config"].as_str().unwrap()))?;
    for payload in row["input"].as_array().unwrap() {
        bench.send(payload).await.map_err(|refused| refused.reason)?.detach();
    }
    let recorded = |entry: &Json| {
        let labels = entry["labels"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
        let time = entry["ts"].as_str().unwrap();
        let time = if time == "now" { NOW } else { time.parse().unwrap() };
        (Labels::from_pairs(labels).to_string(), entry["line"].as_str().unwrap().to_owned(), time)
    };
    let mut alloy: Vec<_> = row["expected_entries"].as_array().unwrap().iter().map(recorded).collect();
    let mut ours = out(&bench);
    // The order is that of one stream.
    alloy.sort_by(|a, b| a.0.cmp(&b.0));
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    if ours == alloy { Ok(()) } else { Err(format!("alloy: {alloy:#?}\nours:  {ours:#?}")) }
}

#[tokio::test]
async fn other_signals_are_refused_for_good_and_what_a_receiver_refuses_can_be_sent_again() {
    let bench = start("forward_to = [next]\n").unwrap();
    let refused = bench.send(&json!({"resourceSpans": []})).await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.retryable), ("telemetry type is not supported", false));
    let record = records(json!([{ "timeUnixNano": "5", "body": { "stringValue": "a" } }]));
    bench.next.refuse(Some(Refused::retryable("full")));
    assert_eq!(bench.send(&record).await.unwrap_err().reason, "full");
    bench.next.refuse(None);
    assert_eq!(bench.send(&record).await.unwrap().await, Outcome::Delivered);
    assert_eq!(out(&bench), [(r#"{exporter="OTLP"}"#.to_owned(), r#"{"body":"a"}"#.to_owned(), 5)]);
}

#[tokio::test]
async fn records_that_become_no_line_are_counted_and_the_others_go_on() {
    let bench = start("forward_to = [next]\n").unwrap();
    let hint = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let outcome = bench
        .send(&records(json!([
            { "attributes": [hint("loki.format", "xml")] },
            { "attributes": [hint("loki.attribute.labels", "."), hint(".", "x")] },
            { "attributes": [hint("loki.format", "logfmt")], "body": { "kvlistValue": { "values": [hint("=", "x")] } } },
            { "timeUnixNano": "1", "body": { "stringValue": "good" } },
        ])))
        .await
        .unwrap()
        .await;
    assert_eq!((outcome, out(&bench).len()), (Outcome::Delivered, 1));
    let counted = ["total", "failed", "processed"]
        .map(|name| bench.alone.metric(&format!("otelcol_exporter_loki_entries_{name}"), &[]));
    assert_eq!(counted, [Some(4.0), Some(3.0), Some(1.0)]);
    let outcome = bench.send(&records(json!([{ "attributes": [hint("loki.format", "xml")] }]))).await.unwrap().await;
    assert_eq!(outcome, Outcome::Dropped);
}

async fn logfmt_of(body: Json) -> String {
    let bench = start("forward_to = [next]\n").unwrap();
    let format = json!([{ "key": "loki.format", "value": { "stringValue": "logfmt" } }]);
    bench.send(&records(json!([{ "body": body, "attributes": format, "severityText": "W" }]))).await.unwrap().detach();
    out(&bench)[0].1.clone()
}

#[tokio::test]
async fn logfmt_of_every_kind_of_body() {
    let text = |text: &str| json!({ "stringValue": text });
    for (body, expect) in [
        (text(""), "severity=W"),
        (text("a=1 severity=\"x \\\" y\""), r#"a=1 severity="x \" y" severity=W"#),
        (text("a=\"b"), r#"msg="a=\"b" severity=W"#),
        (text("a=1\nb=2"), "a=1 severity=W"),
        (text("=\u{1}"), r#"msg="=\u0001" severity=W"#),
        (json!({ "intValue": "5" }), "msg=5 severity=W"),
        (json!({ "doubleValue": 1e21 }), "msg=1e+21 severity=W"),
        (
            json!({ "arrayValue": { "values": [text("null"), { "boolValue": true }, {}] } }),
            r#"body_0="null" body_1=true severity=W"#,
        ),
        (
            json!({ "kvlistValue": { "values": [
                { "key": "severity", "value": text("mine") },
                { "key": "a b", "value": { "kvlistValue": { "values": [{ "key": "c", "value": { "intValue": "1" } }] } } },
            ] } }),
            "severity=W ab_c=1",
        ),
    ] {
        assert_eq!(logfmt_of(body.clone()).await, expect, "{body}");
    }
}

#[tokio::test]
async fn records_of_one_label_set_go_together_and_in_order() {
    let bench = start("forward_to = [next]\n").unwrap();
    let record = |severity: u32, time: u32| json!({ "timeUnixNano": time.to_string(), "severityNumber": severity });
    bench.send(&records(json!([record(9, 1), record(17, 2), record(9, 3), record(99, 4)]))).await.unwrap().detach();
    let groups = &bench.next.batches()[0].groups;
    let shown: Vec<_> = groups
        .iter()
        .map(|group| {
            let times: Vec<_> = group.entries.iter().map(|entry| entry.timestamp).collect();
            (group.labels.get("level").map(str::to_owned), times)
        })
        .collect();
    let level = |name: &str| Some(name.to_owned());
    assert_eq!(shown, [(level("INFO"), vec![1, 3]), (level("ERROR"), vec![2]), (level(""), vec![4])]);
}

#[tokio::test]
async fn any_bytes_can_be_sent() {
    let bench = start("forward_to = []\n").unwrap();
    for seed in 0..2000u32 {
        let bytes: Vec<u8> = (0..seed % 60)
            .map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503) >> 7) as u8 & 0x7f)
            .collect();
        let batch = OtlpBatch { signal: OtlpSignal::Logs, payload: vec![bytes.into()], items: 1, origin: None };
        bench.input.0.consume(batch).await.unwrap().detach();
    }
}
