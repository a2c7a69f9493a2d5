//! What Alloy was recorded to make of spans, and what is promised beside.

use std::sync::Arc;

use base_sys::clock;
use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_signals::{OtelConsumer, OtlpBatch, Outcome, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle::{Group, cases};
use sdk_testing::otlp;
use serde_json::{Value as Json, json};

use super::{HostInfo, Hosts, MOST_HOSTS};

const NOW: i64 = 1_790_000_000_000_000_000;

struct Bench {
    alone: Alone<HostInfo>,
    next: Arc<Collector<OtlpBatch>>,
    input: OtelConsumer,
}

fn start(config: &str) -> Result<Bench, String> {
    let (next, receiver) = Collector::new();
    let scope: Scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let alone = Alone::start(config, &scope)?;
    let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
    Ok(Bench { alone, next, input })
}

fn span_of(host: &str) -> Json {
    let attributes = json!([{"key": "host.id", "value": {"stringValue": host}}]);
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": [{ "name": "x" }] }] }] })
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/host_info.jsonl") else { return };
    let mut group = Group::new("otelcol_host_info");
    let _clock = clock::hold(NOW);
    for row in rows {
        let bench = start(&otlp::inside(row["config"].as_str().unwrap())).unwrap();
        for payload in row["input"].as_array().unwrap() {
            bench.input.0.consume(otlp::batch(payload)).await.unwrap().detach();
        }
        let expected = row["expected"].as_array().unwrap();
        let ours: Vec<Json> = bench.next.wait_for(expected.len()).await.into_iter().map(otlp::json).collect();
        let alloy: Vec<&Json> = expected.iter().map(|expected| &expected["payload"]).collect();
        let alloy = json!(alloy).to_string().replace("\"now\"", &format!("\"{NOW}\""));
        let alloy = otlp::comparable(&serde_json::from_str(&alloy).unwrap());
        let ours = otlp::comparable(&json!(ours));
        group.compare(row["id"].as_str().unwrap(), &alloy.to_string(), &ours.to_string());
    }
    group.finish();
}

fn hosts(batch: OtlpBatch) -> Vec<String> {
    let payload = otlp::json(batch);
    let metric = &payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    let points = metric["gauge"]["dataPoints"].as_array().unwrap().iter();
    points.map(|point| point["attributes"][0]["value"]["stringValue"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn hosts_are_told_once_a_flush_and_at_the_stop_and_what_is_refused_is_told_later() {
    let mut bench = start("output {\n metrics = [next]\n}\n").unwrap();
    for host in ["b", "a", "b"] {
        assert_eq!(bench.input.0.consume(otlp::batch(&span_of(host))).await.unwrap().await, Outcome::Delivered);
    }
    bench.next.refuse(Some(Refused::retryable("full")));
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    bench.next.refuse(None);
    let told = bench.next.wait_for(1).await;
    assert_eq!(hosts(told[0].clone()), ["a", "b"]);
    bench.next.take();
    bench.input.0.consume(otlp::batch(&span_of("c"))).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(bench.next.take().into_iter().flat_map(hosts).collect::<Vec<_>>(), ["c"]);
    assert!(bench.input.0.consume(otlp::batch(&span_of("d"))).await.unwrap_err().retryable);
}

#[tokio::test]
async fn other_signals_and_other_outputs_are_refused() {
    let bench = start("output {\n metrics = [next]\n}\n").unwrap();
    let refused = bench.input.0.consume(otlp::batch(&json!({"resourceLogs": []}))).await.unwrap_err();
    assert!(!refused.retryable);
    for (config, word) in [
        ("output {\n logs = [next]\n}", "logs output"),
        ("output { }", "consumer of metrics"),
        ("host_identifiers = []\noutput {\n metrics = [next]\n}", "must not be empty"),
        ("metrics_flush_interval = \"0s\"\noutput {\n metrics = [next]\n}", "greater than 0"),
    ] {
        let error = start(&format!("{config}\n")).err().unwrap_or_default();
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
