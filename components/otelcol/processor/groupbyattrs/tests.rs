//! What the Collector was recorded to do, and what it promises beside.

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("groupbyattrs").await;
}

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[tokio::test]
async fn without_keys_equal_resources_and_scopes_are_merged() {
    let bench = Bench::<Component>::start("output {\n traces = [next]\n}\n").unwrap();
    let group = |attributes: Json, scope: &str, name: &str| {
        json!({
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "scope": { "name": scope }, "spans": [{ "name": name }] }]
        })
    };
    let (ab, ba) = (json!([text("a", "1"), text("b", "2")]), json!([text("b", "2"), text("a", "1")]));
    let groups =
        [group(ab.clone(), "x", "one"), group(ba, "x", "two"), group(ab, "y", "three"), group(json!([]), "x", "four")];
    bench.send(&json!({ "resourceSpans": groups })).await.unwrap().detach();
    let out = bench.out();
    let names: Vec<Vec<Vec<&Json>>> = out[0]["resourceSpans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| {
            let scopes = resource["scopeSpans"].as_array().unwrap().iter();
            scopes.map(|scope| scope["spans"].as_array().unwrap().iter().map(|span| &span["name"]).collect()).collect()
        })
        .collect();
    assert_eq!(json!(names), json!([[["one", "two"], ["three"]], [["four"]]]));
}

#[tokio::test]
async fn a_point_that_says_what_its_resource_says_joins_it() {
    let bench = Bench::<Component>::start("keys = [\"host\"]\noutput {\n metrics = [next]\n}\n").unwrap();
    let metric = |point: Json| json!({ "name": "m", "sum": { "dataPoints": [point], "isMonotonic": true, "aggregationTemporality": 2 } });
    let resource = |host: &str, metrics: Json| json!({ "resource": { "attributes": [text("host", host)] }, "scopeMetrics": [{ "metrics": metrics }] });
    let payload = json!({ "resourceMetrics": [
        resource("a", json!([metric(json!({ "asInt": "1", "attributes": [text("host", "b"), text("k", "v")] }))])),
        resource("b", json!([metric(json!({ "asInt": "2" }))])),
    ]});
    bench.send(&payload).await.unwrap().detach();
    let out = bench.out();
    let groups = out[0]["resourceMetrics"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    let points = &groups[0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"];
    assert_eq!(points, &json!([{ "asInt": "1", "attributes": [text("k", "v")] }, { "asInt": "2" }]));
    let counted = |name: &str| bench.alone.metric(&format!("otelcol_processor_groupbyattrs_num_{name}_total"), &[]);
    assert_eq!((counted("grouped_metrics"), counted("non_grouped_metrics")), (Some(1.0), Some(1.0)));
}
