//! What the Collector was recorded to do, and what it promises beside.

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("filter").await;
}

fn spans(names: &[&str]) -> Json {
    let spans: Vec<Json> = names.iter().map(|name| json!({ "name": name, "events": [{ "name": "ev" }] })).collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

#[tokio::test]
async fn what_is_not_touched_is_handed_on_as_it_came_and_what_goes_is_counted() {
    let bench =
        Bench::<Component>::start("traces {\n span = [`name == \"b\"`]\n}\noutput {\n traces = [next]\n}\n").unwrap();
    bench.send(&spans(&["a", "c"])).await.unwrap().detach();
    bench.send(&spans(&["a", "b"])).await.unwrap().detach();
    bench.send(&spans(&["b", "b"])).await.unwrap().detach();
    let sent = bench.next.batches();
    assert_eq!(sent.iter().map(|batch| batch.items).collect::<Vec<_>>(), [2, 1]);
    assert!(
        bench.alone.metrics().contains("otelcol_processor_filter_spans_filtered_total"),
        "{}",
        bench.alone.metrics()
    );
}

#[tokio::test]
async fn a_span_without_its_events_stays_a_metric_without_its_points_goes() {
    let bench = Bench::<Component>::start(
        "traces {\n spanevent = [`true`]\n}\nmetrics {\n datapoint = [`value_int > 0`]\n}\noutput {\n traces = [next]\n metrics = [next]\n}\n",
    )
    .unwrap();
    bench.send(&spans(&["a"])).await.unwrap().detach();
    let gauge = |value: &str| json!({ "name": value, "gauge": { "dataPoints": [{ "asInt": value }] } });
    let metrics = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [gauge("1"), gauge("0")] }] }] });
    bench.send(&metrics).await.unwrap().detach();
    let out = bench.out();
    assert_eq!(out[0]["resourceSpans"][0]["scopeSpans"][0]["spans"], json!([{ "name": "a", "status": {} }]));
    let left = out[1]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["name"], "0");
}

#[tokio::test]
async fn both_forms_for_one_signal_are_refused() {
    let config = "traces {\n span = [`true`]\n}\ntrace_conditions {\n conditions = [`span.name == \"a\"`]\n}\noutput {\n traces = [next]\n}\n";
    let Err(message) = Bench::<Component>::start(config) else { panic!("it loads") };
    assert!(message.contains("cannot be used at the same time"), "{message}");
}
