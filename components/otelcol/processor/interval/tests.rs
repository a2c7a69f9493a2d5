//! What the Collector was recorded to do, and what it promises beside.

use std::time::Duration;

use sdk_signals::{Outcome, Refused};
use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, eventually, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("interval").await;
}

fn start(arguments: &str) -> Bench<Component> {
    Bench::start(&format!("interval = \"10s\"\n{arguments}\noutput {{\n metrics = [next]\n}}\n")).unwrap()
}

fn gauge(points: Json) -> Json {
    json!({ "resourceMetrics": [{ "resource": {}, "scopeMetrics": [{ "scope": {}, "metrics": [
        { "name": "g", "gauge": { "dataPoints": points } }
    ]}]}]})
}

fn point(series: &str, time: u64) -> Json {
    let attributes = json!([{ "key": "s", "value": { "stringValue": series } }]);
    json!({ "attributes": attributes, "timeUnixNano": time.to_string(), "asInt": time.to_string() })
}

fn points(batch: &Json) -> Json {
    batch["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_newest_point_of_each_series_leaves_even_if_it_came_first() {
    let bench = start("");
    let sent = bench.send(&gauge(json!([point("a", 5), point("b", 1)]))).await.unwrap();
    assert_eq!(sent.await, Outcome::Delivered);
    bench.send(&gauge(json!([point("a", 3), point("b", 2)]))).await.unwrap().detach();
    assert!(bench.out().is_empty());
    tokio::time::sleep(Duration::from_secs(25)).await;
    let out = bench.out();
    // The second interval had nothing to send.
    assert_eq!(out.len(), 1);
    assert_eq!(points(&out[0]), json!([point("a", 5), point("b", 2)]));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_passes_at_once() {
    let bench = start("passthrough {\n gauge = true\n}");
    bench.send(&gauge(json!([point("a", 5)]))).await.unwrap().detach();
    assert_eq!(points(&bench.out()[0]), json!([point("a", 5)]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_and_an_update_send_what_is_held() {
    let mut bench = start("");
    bench.send(&gauge(json!([point("a", 1)]))).await.unwrap().detach();
    bench.alone.update("interval = \"1h\"\noutput {\n metrics = [next]\n}\n", &bench.scope).unwrap();
    bench.next.wait_for(1).await;
    bench.send(&gauge(json!([point("a", 2)]))).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(bench.out().iter().map(points).collect::<Vec<_>>(), [json!([point("a", 1)]), json!([point("a", 2)])]);
    assert!(bench.send(&gauge(json!([point("a", 3)]))).await.unwrap_err().retryable);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_offered_again_and_what_is_refused_for_good_is_counted() {
    let bench = start("");
    bench.next.refuse(Some(Refused::retryable("full")));
    bench.send(&gauge(json!([point("a", 1)]))).await.unwrap().detach();
    eventually(async || bench.send(&gauge(json!([point("a", 2)]))).await.err()).await;
    bench.next.refuse(None);
    assert_eq!(bench.next.wait_for(1).await.len(), 1);
    bench.next.refuse(Some(Refused::permanent("never")));
    eventually(async || bench.send(&gauge(json!([point("a", 9), point("b", 9)]))).await.ok()).await.detach();
    let labels = [("processor", "interval/otelcol.processor.interval.test"), ("otel_signal", "metrics")];
    let name = "ferroalloy_otelcol_processor_dropped_items_total";
    eventually(async || bench.alone.metric(name, &labels).filter(|lost| *lost >= 2.0)).await;
}

#[test]
fn no_interval_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let error = Bench::<Component>::start("interval = \"0s\"\noutput { }\n").err().unwrap_or_default();
    assert!(error.contains("interval must be greater than 0"), "{error}");
}
