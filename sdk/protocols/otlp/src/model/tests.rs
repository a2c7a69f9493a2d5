use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::{from_json, to_json};

fn attributes() -> serde_json::Value {
    json!([
        {"key": "text", "value": {"stringValue": "x"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "-3"}, {"doubleValue": 0.5}, {}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"boolValue": false}}]}}},
        {"key": "bytes", "value": {"bytesValue": "AQI="}},
        {"key": "empty", "value": {}},
    ])
}

fn grouped(signal: &str, items: &serde_json::Value) -> serde_json::Value {
    let (resources, scopes, name) = match signal {
        "traces" => ("resourceSpans", "scopeSpans", "spans"),
        "metrics" => ("resourceMetrics", "scopeMetrics", "metrics"),
        _ => ("resourceLogs", "scopeLogs", "logRecords"),
    };
    json!({resources: [{
        "resource": {"attributes": attributes(), "droppedAttributesCount": 7},
        "schemaUrl": "r",
        scopes: [{
            "scope": {"name": "lib", "version": "1", "attributes": attributes(), "droppedAttributesCount": 1},
            "schemaUrl": "s",
            name: items,
        }],
    }]})
}

/// Decoding and encoding gives back the same content, and the bytes of a second round are those of the first.
fn survives<I: Item + PartialEq + std::fmt::Debug>(payload: &serde_json::Value, items: usize) {
    let bytes = Bytes::from(from_json(I::SIGNAL, payload.to_string().as_bytes()).unwrap());
    let data = Data::<I>::decode(&bytes);
    assert_eq!(data.count(), items);
    let encoded = Bytes::from(data.encode());
    assert_eq!(crate::check(I::SIGNAL, &encoded), Ok(items));
    let text = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(&to_json(I::SIGNAL, bytes)).unwrap();
    assert_eq!(text(&encoded), text(&bytes));
    assert_eq!(Data::<I>::decode(&encoded), data);
}

#[test]
fn spans_survive() {
    let payload = grouped(
        "traces",
        &json!([{
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "traceState": "a=b",
            "parentSpanId": "0807060504030201", "flags": 257, "name": "GET", "kind": 2,
            "startTimeUnixNano": "1", "endTimeUnixNano": "18446744073709551615", "attributes": attributes(),
            "droppedAttributesCount": 1, "droppedEventsCount": 2, "droppedLinksCount": 3,
            "events": [{"timeUnixNano": "5", "name": "e", "attributes": attributes(), "droppedAttributesCount": 4}],
            "links": [{"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
                "traceState": "c=d", "attributes": attributes(), "droppedAttributesCount": 5, "flags": 1}],
            "status": {"message": "bad", "code": 2},
        }, {}]),
    );
    survives::<Span>(&payload, 2);
}

#[test]
fn log_records_survive() {
    let payload = grouped(
        "logs",
        &json!([{
            "timeUnixNano": "1", "observedTimeUnixNano": "2", "severityNumber": 9, "severityText": "INFO",
            "body": {"stringValue": "line"}, "attributes": attributes(), "droppedAttributesCount": 3, "flags": 1,
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "eventName": "started",
        }, {"body": {}}]),
    );
    survives::<LogRecord>(&payload, 2);
}

#[test]
fn metrics_survive() {
    let exemplar = json!({"filteredAttributes": attributes(), "timeUnixNano": "3", "asDouble": 1.5,
        "spanId": "0102030405060708", "traceId": "0102030405060708090a0b0c0d0e0f10"});
    let number = json!([
        {"attributes": attributes(), "startTimeUnixNano": "1", "timeUnixNano": "2", "asInt": "-5",
            "exemplars": [exemplar, {"asInt": "4"}], "flags": 1},
        {"asDouble": 0.0},
    ]);
    let histogram = json!([{"attributes": attributes(), "startTimeUnixNano": "1", "timeUnixNano": "2", "count": "3",
        "sum": 0.0, "bucketCounts": ["1", "2"], "explicitBounds": [0.5], "exemplars": [exemplar], "flags": 1,
        "min": -1.0, "max": 2.0}]);
    let exponential = json!([{"attributes": attributes(), "startTimeUnixNano": "1", "timeUnixNano": "2", "count": "3",
        "sum": 4.0, "scale": -2, "zeroCount": "1", "positive": {"offset": -3, "bucketCounts": ["1", "300"]},
        "negative": {"offset": 3, "bucketCounts": ["2"]}, "flags": 1, "exemplars": [exemplar], "min": 0.0, "max": 1.0,
        "zeroThreshold": 0.25}]);
    let summary = json!([{"attributes": attributes(), "startTimeUnixNano": "1", "timeUnixNano": "2", "count": "3",
        "sum": 4.0, "quantileValues": [{"quantile": 0.5, "value": 1.0}], "flags": 1}]);
    let payload = grouped(
        "metrics",
        &json!([
            {"name": "g", "description": "d", "unit": "s", "gauge": {"dataPoints": number}, "metadata": attributes()},
            {"name": "s", "sum": {"dataPoints": number, "aggregationTemporality": 1, "isMonotonic": true}},
            {"name": "h", "histogram": {"dataPoints": histogram, "aggregationTemporality": 2}},
            {"name": "e", "exponentialHistogram": {"dataPoints": exponential, "aggregationTemporality": 2}},
            {"name": "y", "summary": {"dataPoints": summary}},
            {"name": "none"},
        ]),
    );
    survives::<Metric>(&payload, 7);
}

#[test]
fn fields_that_are_not_known_survive_at_every_level() {
    let stranger = |out: &mut Vec<u8>| crate::wire::put_bytes(out, 999, b"?");
    let mut data = Data::<Span>::default();
    let mut span = Span { name: "s".into(), ..Span::default() };
    stranger(&mut span.unknown);
    let mut scope = ScopeGroup { items: vec![span], ..ScopeGroup::default() };
    stranger(&mut scope.unknown);
    stranger(&mut scope.scope.unknown);
    let mut group = ResourceGroup { scopes: vec![scope], ..ResourceGroup::default() };
    stranger(&mut group.resource.unknown);
    data.resources.push(group);
    assert_eq!(Data::<Span>::decode(&data.encode().into()), data);
}

#[test]
fn texts_are_slices_of_the_payload() {
    let span = Span { name: "a name of some length".into(), ..Span::default() };
    let bytes = Bytes::from(span.encode());
    let decoded = Span::decode(&bytes);
    assert!(bytes.as_ptr_range().contains(&decoded.name.as_bytes().as_ptr()));
    assert!(!bytes.as_ptr_range().contains(&decoded.name.owned().as_bytes().as_ptr()));
}

#[test]
fn attributes_are_read_set_and_removed_by_key() {
    let mut map: Map = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
    assert_eq!(map.get("a"), Some(&AnyValue::Int(1)));
    map.set("b", "two");
    map.set("c", true);
    assert_eq!(map.remove("a"), Some(AnyValue::Int(1)));
    assert_eq!(map, Map(vec![KeyValue::new("b", "two"), KeyValue::new("c", true)]));
    assert_eq!(map.remove("a"), None);
}

#[test]
fn what_nothing_is_left_in_goes() {
    let payload = grouped("traces", &json!([{"name": "keep"}, {"name": "drop"}]));
    let bytes = Bytes::from(from_json(Signal::Traces, payload.to_string().as_bytes()).unwrap());
    let mut data = Data::<Span>::decode(&bytes);
    data.retain(|_, _, span| span.name == "keep");
    assert_eq!(data.items().map(|(_, _, span)| span.name.as_str()).collect::<Vec<_>>(), ["keep"]);
    data.retain(|_, scope, _| scope.name != "lib");
    assert_eq!(data.resources, []);
}

proptest! {
    #[test]
    fn any_bytes_decode_to_something(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        for encoded in [Data::<Span>::decode(&bytes).encode(), Data::<Metric>::decode(&bytes).encode()] {
            prop_assert!(encoded.len() <= 40 * bytes.len() + 40);
        }
    }
}
