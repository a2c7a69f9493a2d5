//! What the Collector was recorded to do, and what it promises beside.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("deltatocumulative").await;
}

fn start(arguments: &str) -> Bench<Component> {
    Bench::start(&format!("{arguments}\noutput {{\n metrics = [next]\n}}\n")).unwrap()
}

fn sum(series: &str, times: [u64; 2], value: i64) -> Json {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "m", "sum": {
        "aggregationTemporality": 1,
        "dataPoints": [{
            "attributes": [{ "key": "s", "value": { "stringValue": series } }],
            "startTimeUnixNano": times[0].to_string(), "timeUnixNano": times[1].to_string(), "asInt": value.to_string(),
        }],
    }}]}]}]})
}

async fn total(bench: &Bench<Component>, payload: Json) -> Option<Json> {
    bench.next.take();
    bench.send(&payload).await.unwrap().detach();
    let out = bench.out();
    let data = &out.first()?["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    let data = data.as_object().unwrap().values().find(|value| value.is_object()).unwrap();
    assert_eq!(data["aggregationTemporality"], 2);
    Some(data["dataPoints"][0].clone())
}

fn points(bench: &Bench<Component>, error: &str) -> f64 {
    bench.alone.metric("otelcol_deltatocumulative_datapoints_total", &[("error", error)]).unwrap_or(0.0)
}

#[tokio::test]
async fn what_does_not_follow_is_dropped_with_its_reason() {
    let bench = start("");
    assert_eq!(total(&bench, sum("a", [10, 20], 1)).await.unwrap()["asInt"], "1");
    // A gap is no fault.
    let second = total(&bench, sum("a", [30, 40], 2)).await.unwrap();
    assert_eq!((&second["asInt"], &second["startTimeUnixNano"]), (&json!("3"), &json!("10")));
    assert_eq!(total(&bench, sum("a", [30, 40], 2)).await, None);
    assert_eq!(total(&bench, sum("a", [5, 50], 2)).await, None);
    assert_eq!(total(&bench, sum("a", [40, 60], 4)).await.unwrap()["asInt"], "7");
    let counted = ["", "delta.ErrOutOfOrder", "delta.ErrOlderStart"].map(|error| points(&bench, error));
    assert_eq!(counted, [3.0, 1.0, 1.0]);
}

#[tokio::test]
async fn new_series_beyond_the_limit_are_dropped() {
    let bench = start("max_streams = 1");
    assert!(total(&bench, sum("a", [1, 2], 1)).await.is_some());
    assert_eq!(total(&bench, sum("b", [1, 2], 1)).await, None);
    assert_eq!(total(&bench, sum("a", [2, 3], 1)).await.unwrap()["asInt"], "2");
    assert_eq!(points(&bench, "limit"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_series_is_forgotten_and_begins_anew() {
    let bench = start("max_stale = \"5m\"");
    total(&bench, sum("a", [1, 2], 5)).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(bench.alone.metric("otelcol_deltatocumulative_streams_tracked", &[]), Some(0.0));
    assert_eq!(total(&bench, sum("a", [3, 4], 1)).await.unwrap()["asInt"], "1");
}

#[tokio::test]
async fn histograms_are_added_and_other_bounds_begin_anew() {
    let bench = start("");
    let at = |time: u64, bound: f64, counts: [u64; 2]| {
        json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "h", "histogram": {
            "aggregationTemporality": 1,
            "dataPoints": [{
                "startTimeUnixNano": time.to_string(), "timeUnixNano": (time + 1).to_string(), "sum": 1.5, "min": time,
                "count": (counts[0] + counts[1]).to_string(), "bucketCounts": counts.map(|c| c.to_string()),
                "explicitBounds": [bound],
            }],
        }}]}]}]})
    };
    total(&bench, at(10, 1.0, [1, 2])).await;
    let second = total(&bench, at(20, 1.0, [3, 4])).await.unwrap();
    assert_eq!(
        (&second["count"], &second["sum"], &second["min"], &second["bucketCounts"], &second["startTimeUnixNano"]),
        (&json!("10"), &json!(3), &json!(10), &json!(["4", "6"]), &json!("10"))
    );
    let third = total(&bench, at(30, 2.0, [1, 1])).await.unwrap();
    assert_eq!((&third["count"], &third["startTimeUnixNano"]), (&json!("2"), &json!("30")));
}

#[tokio::test]
async fn exponential_histograms_are_added() {
    let bench = start("");
    let at = |time: u64, scale: i32, counts: Json| {
        json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "e", "exponentialHistogram": {
            "aggregationTemporality": 1,
            "dataPoints": [{
                "startTimeUnixNano": time.to_string(), "timeUnixNano": (time + 1).to_string(), "scale": scale, "count": "2",
                "positive": { "bucketCounts": counts },
            }],
        }}]}]}]})
    };
    total(&bench, at(1, 1, json!(["1", "1"]))).await;
    let second = total(&bench, at(2, 0, json!(["1", "1"]))).await.unwrap();
    assert_eq!(
        (&second["count"], second.get("scale"), &second["positive"]["bucketCounts"], &second["startTimeUnixNano"]),
        (&json!("4"), None, &json!(["3", "1"]), &json!("1"))
    );
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for (arguments, word) in [
        ("max_stale = \"0s\"", "max_stale must be a positive duration"),
        ("max_streams = -1", "max_streams must be a positive number"),
    ] {
        let error = Bench::<Component>::start(&format!("{arguments}\noutput {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{arguments}: {error}");
    }
}
