//! What Alloy was recorded to make of spans, and what is promised beside.

use sdk_signals::{OtlpBatch, Outcome, Refused};
use sdk_testing::otlp;
use serde_json::{Value as Json, json};

use super::{Component, Hosts, MOST_HOSTS};
use crate::testing::{Bench, recorded};

fn span_of(host: &str) -> Json {
    let attributes = json!([{"key": "host.id", "value": {"stringValue": host}}]);
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": [{ "name": "x" }] }] }] })
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("host_info").await;
}

fn hosts(batch: OtlpBatch) -> Vec<String> {
    let payload = otlp::json(batch);
    let metric = &payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    let points = metric["gauge"]["dataPoints"].as_array().unwrap().iter();
    points.map(|point| point["attributes"][0]["value"]["stringValue"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn hosts_are_told_once_a_flush_and_at_the_stop_and_what_is_refused_is_told_later() {
    let mut bench = Bench::<Component>::start("output {\n metrics = [next]\n}\n").unwrap();
    for host in ["b", "a", "b"] {
        assert_eq!(bench.send(&span_of(host)).await.unwrap().await, Outcome::Delivered);
    }
    bench.next.refuse(Some(Refused::retryable("full")));
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    bench.next.refuse(None);
    let told = bench.next.wait_for(1).await;
    assert_eq!(hosts(told[0].clone()), ["a", "b"]);
    bench.next.take();
    bench.send(&span_of("c")).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(bench.next.take().into_iter().flat_map(hosts).collect::<Vec<_>>(), ["c"]);
    assert!(bench.send(&span_of("d")).await.unwrap_err().retryable);
}

#[tokio::test]
async fn other_signals_and_other_outputs_are_refused() {
    let bench = Bench::<Component>::start("output {\n metrics = [next]\n}\n").unwrap();
    let refused = bench.send(&json!({"resourceLogs": []})).await.unwrap_err();
    assert!(!refused.retryable);
    for (config, word) in [
        ("output {\n logs = [next]\n}", "logs output"),
        ("output { }", "consumer of metrics"),
        ("host_identifiers = []\noutput {\n metrics = [next]\n}", "must not be empty"),
        ("metrics_flush_interval = \"0s\"\noutput {\n metrics = [next]\n}", "greater than 0"),
    ] {
        let error = Bench::<Component>::start(&format!("{config}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}

#[test]
fn the_number_of_hosts_is_bounded() {
    let mut hosts = Hosts::default();
    let told_apart = (0..=MOST_HOSTS).filter(|host| hosts.add(host.to_string())).count();
    assert_eq!((told_apart, hosts.metric(1).count()), (MOST_HOSTS, MOST_HOSTS + 1));
    assert!(hosts.add("0".to_owned()), "one that is known stays known");
}
