//! What the Collector was recorded to do, and what it promises beside.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, eventually, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("cumulativetodelta").await;
}

fn start(arguments: &str) -> Bench<Component> {
    Bench::start(&format!("{arguments}\noutput {{\n metrics = [next]\n}}\n")).unwrap()
}

fn metric(data: Json) -> Json {
    let mut metric = json!({ "name": "m" });
    metric.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })
}

fn sum(point: Json) -> Json {
    metric(json!({ "sum": { "dataPoints": [point], "isMonotonic": true, "aggregationTemporality": 2 } }))
}

/// The point that came of a payload, if one did.
async fn point(bench: &Bench<Component>, payload: &Json, kind: &str) -> Option<Json> {
    bench.next.take();
    bench.send(payload).await.unwrap().detach();
    let out = bench.out();
    let data = &out.first()?["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0][kind];
    assert_eq!(data["aggregationTemporality"], 1);
    Some(data["dataPoints"][0].clone())
}

#[tokio::test]
async fn the_first_point_is_sent_when_told_to_and_resets_are_counted() {
    let bench = start("initial_value = \"keep\"");
    let at = |time: &str, value: f64| sum(json!({ "timeUnixNano": time, "asDouble": value }));
    assert_eq!(point(&bench, &at("1", 5.0), "sum").await.unwrap()["asDouble"], 5);
    assert_eq!(
        point(&bench, &at("2", 7.5), "sum").await,
        Some(json!({ "startTimeUnixNano": "1", "timeUnixNano": "2", "asDouble": 2.5 }))
    );
    assert_eq!(point(&bench, &at("3", 1.0), "sum").await, None);
    assert_eq!(point(&bench, &at("4", 2.0), "sum").await.unwrap()["asDouble"], 1);
    let dropped = |reason| {
        let labels = [("metric_type", "sum"), ("reason", reason)];
        bench.alone.metric("otelcol_cumulativetodelta_datapoints_dropped_total", &labels)
    };
    assert_eq!((dropped("reset"), dropped("initial")), (Some(1.0), None));
    assert_eq!(bench.alone.metric("otelcol_cumulativetodelta_streams_tracked", &[]), Some(1.0));
}

#[tokio::test]
async fn a_series_that_started_after_we_did_is_sent_from_its_first_point() {
    let bench = start("");
    let later = u64::MAX / 4;
    let first = |start: u64| {
        sum(json!({ "startTimeUnixNano": start.to_string(), "timeUnixNano": (later + 5).to_string(), "asInt": "3" }))
    };
    assert_eq!(point(&bench, &first(later), "sum").await.unwrap()["asInt"], "3");
    assert_eq!(point(&bench, &first(5), "sum").await, None);
}

#[tokio::test]
async fn histograms_are_subtracted_bucket_by_bucket() {
    let bench = start("");
    let at = |time: &str, count: u64, sum: f64, counts: [u64; 2], bound: f64| {
        metric(json!({ "histogram": { "aggregationTemporality": 2, "dataPoints": [{
            "timeUnixNano": time, "count": count.to_string(), "sum": sum, "min": 0.5, "max": 9,
            "bucketCounts": counts.map(|c| c.to_string()), "explicitBounds": [bound],
        }]}}))
    };
    assert_eq!(point(&bench, &at("1", 3, 6.0, [1, 2], 1.0), "histogram").await, None);
    assert_eq!(
        point(&bench, &at("2", 7, 10.0, [2, 5], 1.0), "histogram").await,
        Some(
            json!({ "startTimeUnixNano": "1", "timeUnixNano": "2", "count": "4", "sum": 4, "bucketCounts": ["1", "3"], "explicitBounds": [1] })
        )
    );
    // Other bounds, then a reset, then a difference again.
    assert_eq!(point(&bench, &at("3", 8, 11.0, [2, 6], 2.0), "histogram").await, None);
    assert_eq!(point(&bench, &at("4", 1, 1.0, [1, 0], 2.0), "histogram").await, None);
    assert_eq!(point(&bench, &at("5", 2, 2.0, [1, 1], 2.0), "histogram").await.unwrap()["count"], "1");
}

#[tokio::test]
async fn exponential_histograms_are_subtracted_at_the_coarser_scale() {
    let bench = start("");
    let at = |time: &str, scale: i32, count: u64, counts: Json| {
        metric(json!({ "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": [{
            "timeUnixNano": time, "scale": scale, "count": count.to_string(), "sum": 1.0,
            "positive": { "offset": 0, "bucketCounts": counts },
        }]}}))
    };
    assert_eq!(point(&bench, &at("1", 1, 3, json!(["1", "1", "1"])), "exponentialHistogram").await, None);
    let delta = point(&bench, &at("2", 0, 6, json!(["2", "4"])), "exponentialHistogram").await.unwrap();
    assert_eq!((&delta["count"], &delta["positive"]), (&json!("3"), &json!({ "offset": 1, "bucketCounts": ["3"] })));
}

#[tokio::test]
async fn only_what_is_included_and_not_excluded_is_converted() {
    let bench = start(
        "include {\n match_type = \"regexp\"\n metrics = [\"^m\"]\n}\nexclude {\n metric_types = [\"histogram\"]\n}",
    );
    bench.send(&sum(json!({ "asInt": "1" }))).await.unwrap().detach();
    assert!(bench.out().is_empty(), "converted, and the first point is dropped");
    bench
        .send(&metric(json!({ "histogram": { "aggregationTemporality": 2, "dataPoints": [{ "count": "1" }] } })))
        .await
        .unwrap()
        .detach();
    assert_eq!(bench.out().len(), 1, "passes");
}

#[tokio::test(start_paused = true)]
async fn a_series_that_is_silent_is_forgotten() {
    let bench = start("max_staleness = \"1s\"");
    bench.send(&sum(json!({ "timeUnixNano": "1", "asInt": "1" }))).await.unwrap().detach();
    let tracked = || bench.alone.metric("otelcol_cumulativetodelta_streams_tracked", &[]);
    assert_eq!(tracked(), Some(1.0));
    eventually(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (tracked() == Some(0.0)).then_some(())
    })
    .await;
}

#[test]
fn what_contradicts_itself_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for (arguments, word) in [
        ("max_staleness = \"-1s\"", "non-negative duration"),
        ("initial_value = \"x\"", "initial_value must be one of"),
        ("include {\n metrics = [\"a\"]\n}", "match_type must be set"),
        ("exclude {\n match_type = \"strict\"\n}", "metrics must be supplied"),
        ("include {\n match_type = \"x\"\n metrics = [\"a\"]\n}", "match_type must be one of"),
        ("include {\n metric_types = [\"gauge\"]\n}", "metric_types must be one of"),
        ("include {\n match_type = \"regexp\"\n metrics = [\"(\"]\n}", "metrics: "),
    ] {
        let error = Bench::<Component>::start(&format!("{arguments}\noutput {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{arguments}: {error}");
    }
}
