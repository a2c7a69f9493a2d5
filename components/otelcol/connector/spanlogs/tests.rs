//! What Alloy was recorded to make of spans, and what is promised beside.

use sdk_signals::{Outcome, Refused};
use serde_json::{Value as Json, json};

use super::SpanLogs;
use crate::testing::{Bench, recorded};

fn start(config: &str) -> Bench<SpanLogs> {
    Bench::start(&format!("{config}\noutput {{\n logs = [next]\n}}\n")).unwrap()
}

fn payload(spans: &Json) -> Json {
    let attributes = json!([{ "key": "service.name", "value": { "stringValue": "shop" } }]);
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": spans }] }] })
}

fn span(name: &str, parent: &str) -> Json {
    json!({ "traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "parentSpanId": parent,
        "name": name, "startTimeUnixNano": "1", "endTimeUnixNano": "6" })
}

/// The bodies of the records.
fn lines(payload: &Json) -> Vec<String> {
    let records = payload["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().iter();
    records.map(|record| record["body"]["stringValue"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<SpanLogs>("spanlogs").await;
}

#[tokio::test]
async fn values_of_every_kind_are_written() {
    let bench = start(
        "spans = true\nspan_attributes = [\"n\", \"f\", \"l\", \"y\", \"q\", \"odd key\", \"=\", \"nul\", \"none\"]\nlabels = [\"l\"]",
    );
    let mut span = span("a b", "");
    span["attributes"] = json!([
        { "key": "n", "value": { "intValue": "7" } },
        { "key": "f", "value": { "doubleValue": 1.5e21 } },
        { "key": "l", "value": { "arrayValue": { "values": [{ "stringValue": "x" }] } } },
        { "key": "y", "value": { "bytesValue": "AAE=" } },
        { "key": "q", "value": { "stringValue": "say \"hi\"\n" } },
        { "key": "odd key", "value": { "stringValue": "null" } },
        { "key": "=", "value": { "stringValue": "gone" } },
        { "key": "nul", "value": {} },
    ]);
    bench.send(&payload(&json!([span]))).await.unwrap().detach();
    let out = bench.out();
    let expected = concat!(
        r#"span="a b" dur=5ns n=7 f=1.5e+21 l="unsupported value type" y="\u0000\u0001" q="say \"hi\"\n" oddkey="null" "#,
        "nul=null svc=shop tid=00000000000000000000000000000001"
    );
    assert_eq!(lines(&out[0]), [expected]);
    let attributes = &out[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"];
    assert_eq!(attributes[1]["value"]["arrayValue"]["values"][0]["stringValue"], "x");
}

#[tokio::test]
async fn roots_are_found_behind_other_spans() {
    let bench = start("roots = true");
    let spans = json!([span("child", "0000000000000002"), span("root", "")]);
    bench.send(&payload(&spans)).await.unwrap().detach();
    assert_eq!(lines(&bench.out()[0]), ["span=root dur=5ns svc=shop tid=00000000000000000000000000000001"]);
}

#[tokio::test]
async fn events_have_the_attributes_of_their_span_and_their_own() {
    let bench = start("events = true\nspan_attributes = [\"a\"]\nevent_attributes = [\"a\", \"b\"]");
    let mut span = span("x", "");
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    span["attributes"] = json!([text("a", "span")]);
    span["events"] = json!([{ "attributes": [text("a", "event"), text("b", "1")] }, {}]);
    bench.send(&payload(&json!([span]))).await.unwrap().detach();
    let of = |a: &str| format!("span=x dur=5ns a={a} svc=shop tid=00000000000000000000000000000001");
    assert_eq!(lines(&bench.out()[0]), [of("event") + " b=1", of("span")]);
}

#[tokio::test]
async fn spans_are_delivered_when_their_lines_are_and_refused_with_them() {
    let mut bench = start("spans = true");
    let payload = payload(&json!([span("a", "")]));
    bench.next.refuse(Some(Refused::retryable("full")));
    assert!(bench.send(&payload).await.unwrap_err().retryable);
    bench.next.refuse(None);
    assert_eq!(bench.send(&payload).await.unwrap().await, Outcome::Delivered);
    assert_eq!(bench.out().len(), 1);
    assert!(!bench.send(&json!({ "resourceLogs": [] })).await.unwrap_err().retryable);
    bench.alone.update("output {\n logs = [next]\n}\n", &bench.scope).unwrap();
    assert_eq!(bench.send(&payload).await.unwrap().await, Outcome::Delivered);
    assert_eq!(bench.out().len(), 1, "nothing is asked for, nothing is sent");
    bench.alone.stop().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    for (config, word) in
        [("spans = true\n", "output"), ("spans = 7\noutput { }\n", "should be bool"), ("x = 1\noutput { }\n", "\"x\"")]
    {
        let error = Bench::<SpanLogs>::start(config).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}
