//! What Alloy was recorded to make of lines, and what is promised beside.

use base_sys::clock;
use language_eval::{FromValue as _, ToValue as _};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry, LogGroup, LogsReceiver, OtelConsumer, Outcome, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle::{Group, cases};
use sdk_testing::otlp::{comparable, json as shown};
use serde_json::{Value as Json, json};

use super::{Loki, base_name};

const NOW: i64 = 1_790_000_000_000_000_000;

/// The log records that become of a batch.
async fn records(batch: LogBatch) -> Vec<Json> {
    let _clock = clock::hold(NOW);
    let (next, receiver) = Collector::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let alone = Alone::<Loki>::start("output {\n logs = [next]\n}\n", &scope).unwrap();
    let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
    receiver.0.consume(batch).await.unwrap().detach();
    let payloads = next.take().into_iter().map(shown);
    payloads.flat_map(|payload| of_payload(&payload)).collect()
}

fn of_payload(payload: &Json) -> Vec<Json> {
    payload["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone()
}

#[tokio::test]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/bridges.jsonl") else { return };
    let mut group = Group::new("otelcol_receiver_loki");
    for row in rows.iter().filter(|row| row["component"] == "otelcol.receiver.loki") {
        let mut batch = LogBatch::default();
        for stream in row["pushes"].as_array().unwrap().iter().flat_map(|push| push.as_array().unwrap()) {
            let labels = stream["labels"].as_str().unwrap().trim_matches(['{', '}']).to_owned();
            let pairs = labels.split(", ").map(|pair| pair.split_once('=').unwrap());
            let labels = Labels::from_pairs(pairs.map(|(name, value)| (name, value.trim_matches('"'))));
            let entry = |entry: &Json| {
                let time = entry["ts"].as_str().unwrap().parse().unwrap();
                let mut made = LogEntry::new(time, entry["line"].as_str().unwrap().to_owned());
                for pair in entry["structured_metadata"].as_array().unwrap() {
                    let text = |i: usize| pair[i].as_str().unwrap().to_owned().into();
                    made.metadata.push(text(0), text(1));
                }
                made
            };
            let entries = stream["entries"].as_array().unwrap().iter().map(entry).collect();
            batch.groups.push(LogGroup { labels, entries });
        }
        // Alloy makes a payload of each line.
        let alloy: Vec<Json> = row["expected"].as_array().unwrap().iter().flat_map(of_payload).collect();
        let alloy: Json = comparable(
            &serde_json::from_str(&json!(alloy).to_string().replace("\"now\"", &format!("\"{NOW}\""))).unwrap(),
        );
        let ours = comparable(&json!(records(batch).await));
        group.compare(row["id"].as_str().unwrap(), &alloy.to_string(), &ours.to_string());
    }
    group.finish();
}

#[tokio::test]
async fn a_name_stands_once_and_the_nearest_to_the_line_wins() {
    let mut entry = LogEntry::new(1, "x".to_owned());
    for (name, value) in [("app", "mine"), ("t", "1"), ("t", "2")] {
        entry.metadata.push(name.into(), value.into());
    }
    let labels = Labels::from_pairs([("app", "label"), ("log.file.name", "own"), ("filename", "/a/b")]);
    let records = records(LogBatch::of(labels, vec![entry])).await;
    let attributes: Vec<(&str, &str)> = records[0]["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair["key"].as_str().unwrap(), pair["value"]["stringValue"].as_str().unwrap()))
        .collect();
    let expect = [
        ("log.file.path", "/a/b"),
        ("log.file.name", "own"),
        ("loki.attribute.labels", "app,filename,log.file.name"),
        ("app", "mine"),
        ("filename", "/a/b"),
        ("t", "2"),
    ];
    assert_eq!(attributes, expect);
}

#[tokio::test]
async fn what_the_pipeline_refuses_is_the_senders_still_and_without_outputs_lines_go_nowhere() {
    let (next, receiver) = Collector::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let mut alone = Alone::<Loki>::start("output {\n logs = [next]\n}\n", &scope).unwrap();
    let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
    let batch = || LogBatch::of(Labels::empty(), vec![LogEntry::new(1, "x".to_owned())]);
    next.refuse(Some(Refused::retryable("full")));
    assert_eq!(receiver.0.consume(batch()).await.unwrap_err().reason, "full");
    next.refuse(None);
    assert_eq!(receiver.0.consume(batch()).await.unwrap().await, Outcome::Delivered);
    alone.update("output { }\n", &scope).unwrap();
    assert_eq!(receiver.0.consume(batch()).await.unwrap().await, Outcome::Dropped);
    assert_eq!(next.batches().len(), 1);
    alone.stop().await.unwrap();
    assert!(receiver.0.consume(batch()).await.unwrap_err().retryable);
}

#[test]
fn files_are_named_as_go_names_them() {
    for (path, expect) in [("/v/a.log", "a.log"), ("a", "a"), ("/a/", "a"), ("//", "/"), ("", ".")] {
        assert_eq!(base_name(path), expect, "{path}");
    }
}
