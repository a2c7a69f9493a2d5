//! What Alloy was recorded to make of spans, and what is promised beside.

use std::time::Duration;

use sdk_signals::{Outcome, Refused};
use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

const OUTPUT: &str = "output {\n metrics = [next]\n}\n";
const EXPLICIT: &str = "histogram {\n explicit {\n buckets = [\"10ms\", \"1s\"]\n }\n}\n";

fn start(config: &str) -> Bench<Component> {
    Bench::start(&format!("{config}{EXPLICIT}{OUTPUT}")).unwrap()
}

/// A span that took 20 ms.
fn span(name: &str, more: Json) -> Json {
    let mut span = json!({ "traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "name": name,
        "kind": 2, "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1020000000" });
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    span
}

fn attribute(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn payload(resource: &[Json], spans: &[Json]) -> Json {
    json!({ "resourceSpans": [{ "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "lib", "version": "2" }, "spans": spans }] }] })
}

fn shop(spans: &[Json]) -> Json {
    payload(&[attribute("service.name", "shop")], spans)
}

async fn a_minute() {
    tokio::time::sleep(Duration::from_secs(60) + Duration::from_millis(10)).await;
}

/// `metric{attribute=value,…} value` of each point of a payload, sorted: of a histogram its buckets.
fn told(payload: &Json) -> Vec<String> {
    let list = |json: &Json, name: &str| json[name].as_array().cloned().unwrap_or_default();
    let mut told = Vec::new();
    for group in list(payload, "resourceMetrics") {
        for metric in group["scopeMetrics"][0]["metrics"].as_array().unwrap() {
            let name = metric["name"].as_str().unwrap().rsplit('.').next().unwrap();
            let data = [&metric["sum"], &metric["histogram"], &metric["exponentialHistogram"]];
            for point in data.into_iter().flat_map(|data| list(data, "dataPoints")) {
                let shown = |pair: &Json| {
                    let value = pair["value"].as_object().unwrap().values().next().unwrap();
                    format!(
                        "{}={}",
                        pair["key"].as_str().unwrap(),
                        value.as_str().map_or(value.to_string(), str::to_owned)
                    )
                };
                let fixed = ["service.name", "span.kind", "status.code"];
                let pairs = list(&point, "attributes");
                let pairs = pairs.iter().filter(|pair| !fixed.contains(&pair["key"].as_str().unwrap()));
                let pairs: Vec<String> = pairs.map(shown).collect();
                let value = point["asInt"].as_str().map_or_else(|| point["bucketCounts"].to_string(), str::to_owned);
                told.push(format!("{name}{{{}}} {}", pairs.join(","), value.replace('"', "")));
            }
        }
    }
    told.sort();
    told
}

/// What was told last.
fn last(bench: &Bench<Component>) -> Vec<String> {
    told(bench.out().last().unwrap_or(&Json::Null))
}

fn metric(bench: &Bench<Component>, name: &str) -> f64 {
    bench.alone.metric(&format!("ferroalloy_otelcol_connector_{name}"), &[]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("spanmetrics").await;
}

#[tokio::test(start_paused = true)]
async fn counters_begin_at_zero_and_are_told_at_the_stop() {
    let mut bench = start("");
    assert_eq!(bench.send(&shop(&[span("a", json!({}))])).await.unwrap().await, Outcome::Delivered);
    a_minute().await;
    assert_eq!(last(&bench), ["calls{span.name=a} 0", "duration{span.name=a} [0,1,0]"]);
    a_minute().await;
    assert_eq!(last(&bench), ["calls{span.name=a} 1", "duration{span.name=a} [0,1,0]"]);
    bench.send(&shop(&[span("a", json!({})), span("b", json!({}))])).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    let expected = [
        "calls{span.name=a} 2",
        "calls{span.name=b} 1",
        "duration{span.name=a} [0,2,0]",
        "duration{span.name=b} [0,1,0]",
    ];
    assert_eq!(last(&bench), expected, "what was never told as 0 is told all the same, as it is for the last time");
    assert!(bench.send(&shop(&[])).await.unwrap_err().retryable);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_before_what_comes_next() {
    let mut bench = start("aggregation_temporality = \"DELTA\"\n");
    bench.next.refuse(Some(Refused::retryable("full")));
    bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
    a_minute().await;
    bench.send(&shop(&[span("a", json!({})), span("a", json!({}))])).await.unwrap().detach();
    assert_eq!(bench.out(), [] as [Json; 0]);
    bench.next.refuse(None);
    a_minute().await;
    let calls: Vec<String> = bench.out().iter().map(|payload| told(payload).remove(0)).collect();
    assert_eq!(calls, ["calls{span.name=a} 1", "calls{span.name=a} 2"]);
    assert!(metric(&bench, "refused_flushes_total") >= 1.0);
    assert_eq!(metric(&bench, "dropped_points_total"), 0.0);
    bench.next.refuse(Some(Refused::permanent("no")));
    bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(metric(&bench, "dropped_points_total"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_whoever_refuses_only_so_long() {
    let mut bench = start("");
    bench.next.refuse(Some(Refused::retryable("full")));
    bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(metric(&bench, "dropped_points_total"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn deltas_follow_each_other_without_a_gap() {
    let bench = start("aggregation_temporality = \"DELTA\"\n");
    let times = |payload: &Json| {
        let point = &payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0];
        (point["startTimeUnixNano"].clone(), point["timeUnixNano"].clone())
    };
    for _ in 0..2 {
        bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
        a_minute().await;
    }
    let out = bench.out();
    assert_eq!(told(&out[1])[0], "calls{span.name=a} 1");
    assert_eq!(times(&out[1]).0, times(&out[0]).1);
    a_minute().await;
    assert_eq!(bench.out().len(), 2, "nothing was counted, nothing is told");
}

#[tokio::test(start_paused = true)]
async fn new_arguments_begin_anew_after_the_old_were_told() {
    let bench = start("");
    bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
    bench.alone.update(&format!("namespace = \"other\"\n{EXPLICIT}{OUTPUT}"), &bench.scope).unwrap();
    bench.next.wait_for(1).await;
    assert_eq!(last(&bench), ["calls{span.name=a} 1", "duration{span.name=a} [0,1,0]"]);
    bench.send(&shop(&[span("b", json!({}))])).await.unwrap().detach();
    a_minute().await;
    assert_eq!(last(&bench), ["calls{span.name=b} 0", "duration{span.name=b} [0,1,0]"]);
}

#[tokio::test(start_paused = true)]
async fn dimensions_are_found_in_spans_then_resources_then_defaults() {
    let bench = start(concat!(
        "aggregation_temporality = \"DELTA\"\n",
        "dimension {\n name = \"region\"\n}\ndimension {\n name = \"tier\"\n default = \"none\"\n}\n",
        "dimension {\n glob = \"http.*\"\n}\ncalls_dimension {\n name = \"user\"\n}\n",
        "include_instrumentation_scope = [\"lib\"]\nexclude_dimensions = [\"span.name\"]\n",
    ));
    let attributes = json!({ "attributes": [attribute("region", "span"), attribute("http.method", "GET"),
        attribute("http.a.b", "x"), { "key": "user", "value": { "intValue": "7" } }] });
    let resource = [attribute("service.name", "shop"), attribute("region", "resource"), attribute("http.z", "r")];
    bench.send(&payload(&resource, &[span("a", attributes)])).await.unwrap().detach();
    a_minute().await;
    let scope = "span.instrumentation.scope.name=lib,span.instrumentation.scope.version=2";
    let dimensions = format!("{scope},region=span,tier=none,http.method=GET,http.z=r");
    let expected = [format!("calls{{{dimensions},user=7}} 1"), format!("duration{{{dimensions}}} [0,1,0]")];
    assert_eq!(last(&bench), expected);
}

#[tokio::test(start_paused = true)]
async fn series_beyond_the_limit_are_one() {
    let bench = start("aggregation_cardinality_limit = 2\naggregation_temporality = \"DELTA\"\n");
    let spans: Vec<Json> = ["a", "b", "c", "d", "a"].iter().map(|name| span(name, json!({}))).collect();
    bench.send(&shop(&spans)).await.unwrap().detach();
    a_minute().await;
    let calls: Vec<String> = last(&bench).into_iter().take(3).collect();
    assert_eq!(calls, ["calls{otel.metric.overflow=true} 2", "calls{span.name=a} 2", "calls{span.name=b} 1"]);
    assert_eq!(metric(&bench, "spanmetrics_overflowed_total"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn resources_are_told_apart_by_the_attributes_named() {
    let bench = start("resource_metrics_key_attributes = [\"service.name\"]\naggregation_temporality = \"DELTA\"\n");
    for pod in ["1", "2"] {
        let resource = [attribute("service.name", "shop"), attribute("pod", pod)];
        bench.send(&payload(&resource, &[span("a", json!({}))])).await.unwrap().detach();
    }
    a_minute().await;
    assert_eq!(last(&bench)[0], "calls{span.name=a} 2");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_seen_any_more_is_forgotten() {
    let bench = start("series_expiration = \"90s\"\nmetrics_expiration = \"5m\"\nresource_metrics_cache_size = 1\n");
    let bank = payload(&[attribute("service.name", "bank")], &[span("old", json!({}))]);
    bench.send(&bank).await.unwrap().detach();
    tokio::time::sleep(Duration::from_millis(1)).await;
    bench.send(&shop(&[span("a", json!({})), span("b", json!({}))])).await.unwrap().detach();
    a_minute().await;
    let calls = || last(&bench).into_iter().filter(|line| line.starts_with("calls")).collect::<Vec<_>>();
    assert_eq!(calls().len(), 3, "more resources than are remembered are told once");
    bench.send(&shop(&[span("a", json!({}))])).await.unwrap().detach();
    a_minute().await;
    assert_eq!(calls(), ["calls{span.name=a} 2", "calls{span.name=b} 1"]);
    a_minute().await;
    assert_eq!(calls(), ["calls{span.name=a} 2"]);
    a_minute().await;
    a_minute().await;
    let told = bench.out().len();
    for _ in 0..3 {
        a_minute().await;
    }
    assert_eq!(bench.out().len(), told, "nothing is left to be told");
}

#[tokio::test(start_paused = true)]
async fn sampled_spans_stand_for_others_and_are_examples() {
    let bench =
        start("aggregation_temporality = \"DELTA\"\nexemplars {\n enabled = true\n max_per_data_point = 1\n}\n");
    let state = json!({ "traceState": "ot=th:8" });
    bench.send(&shop(&[span("a", state.clone()), span("a", state)])).await.unwrap().detach();
    a_minute().await;
    assert_eq!(last(&bench), ["calls{span.name=a} 4", "duration{span.name=a} [0,4,0]"]);
    let out = bench.out();
    let metric = &out[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][1];
    assert_eq!(metric["histogram"]["dataPoints"][0]["exemplars"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let dimension = |inside: &str| format!("dimension {{\n{inside}\n}}\n{EXPLICIT}");
    for (config, word) in [
        ("".to_owned(), "histogram"),
        ("histogram { }\n".to_owned(), "either exponential or explicit"),
        ("histogram {\n explicit { }\n exponential { }\n}\n".to_owned(), "only one of exponential or explicit"),
        ("histogram {\n unit = \"h\"\n explicit { }\n}\n".to_owned(), "unknown unit \"h\""),
        ("histogram {\n exponential {\n max_size = 0\n }\n}\n".to_owned(), "greater than 0"),
        (format!("metrics_flush_interval = \"0s\"\n{EXPLICIT}"), "metrics_flush_interval must be greater than 0"),
        (format!("aggregation_temporality = \"SUM\"\n{EXPLICIT}"), "SUM"),
        (format!("resource_metrics_cache_size = 0\n{EXPLICIT}"), "resource_metrics_cache_size"),
        (format!("metrics_expiration = \"-1s\"\n{EXPLICIT}"), "should be positive"),
        (format!("aggregation_cardinality_limit = -1\n{EXPLICIT}"), "should be positive"),
        (format!("events {{\n enabled = true\n}}\n{EXPLICIT}"), "no dimensions configured for events"),
        (dimension("name = \"span.name\""), "duplicate dimension name \"span.name\""),
        (dimension(""), "must set one of"),
        (dimension("name = \"a\"\nglob = \"b\""), "only one of"),
        (dimension("glob = \"a\"\ndefault = \"b\""), "not supported on"),
        (dimension("glob = \"span.*\""), "conflicting with glob"),
        (dimension("glob = \"[\""), "invalid dimension glob"),
    ] {
        let error = Bench::<Component>::start(&format!("{config}{OUTPUT}")).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
    let bench = start("");
    assert!(!bench.send(&json!({ "resourceLogs": [] })).await.unwrap_err().retryable);
}
