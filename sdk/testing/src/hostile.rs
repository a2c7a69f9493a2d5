//! OTLP that is valid and makes no sense: what anybody may send, and every component must survive.

use language_eval::FromValue as _;
use sdk_component::Component;
use sdk_protocols_otlp::check;
use sdk_protocols_otlp::json::from_json;
use sdk_signals::{OtelConsumer, OtlpBatch, OtlpSignal};
use serde_json::{Value as Json, json};

use crate::component::Alone;
use crate::otlp::signal_of;

/// Stands for bytes that are no text: JSON has no way to write them.
const NO_TEXT: &str = "\u{7f}\u{7f}\u{7f}";
const NO_TEXT_BYTES: &[u8] = b"\xff\xfe\xc3";

/// Hands all of it to a component, twice, as many keep what came before. Refusing it is fine, panicking is not, and what makes
/// sense is taken afterwards.
pub async fn survived_by<C: Component>(alone: &Alone<C>, signals: &[OtlpSignal]) {
    let input = alone.export("input").expect("an input");
    let OtelConsumer(input) = OtelConsumer::from_value(&input).expect("a consumer");
    for batch in batches().into_iter().chain(batches()).filter(|batch| signals.contains(&batch.signal)) {
        match input.consume(batch).await {
            Ok(delivery) => delivery.detach(),
            Err(refused) => assert!(!refused.reason.contains("panic"), "{}", refused.reason),
        }
    }
    for batch in sound().into_iter().filter(|batch| signals.contains(&batch.signal)) {
        let signal = batch.signal;
        input.consume(batch).await.unwrap_or_else(|refused| panic!("{signal:?}: {}", refused.reason)).detach();
    }
}

/// One batch of each signal that makes sense.
fn sound() -> Vec<OtlpBatch> {
    let time = "1760000000000000000";
    let point = json!({ "timeUnixNano": time, "asInt": "1" });
    let service = json!([{ "key": "service.name", "value": { "stringValue": "sound" } }]);
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "a",
        "startTimeUnixNano": time, "endTimeUnixNano": time,
    });
    [
        metric(&json!({ "name": "sound", "gauge": { "dataPoints": [point] } })),
        json!({ "resourceSpans": [{ "resource": { "attributes": service }, "scopeSpans": [{ "spans": [span] }] }] }),
        json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "timeUnixNano": time, "body": { "stringValue": "a" } }] }] }] }),
    ]
    .iter()
    .map(batch)
    .collect()
}

/// One of each kind of nonsense.
pub fn batches() -> Vec<OtlpBatch> {
    metrics().iter().chain(&spans()).chain(&records()).map(batch).collect()
}

fn batch(payload: &Json) -> OtlpBatch {
    let signal = signal_of(payload);
    let mut bytes =
        from_json(signal, payload.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {payload}"));
    while let Some(at) = bytes.windows(NO_TEXT.len()).position(|part| part == NO_TEXT.as_bytes()) {
        bytes[at..at + NO_TEXT.len()].copy_from_slice(NO_TEXT_BYTES);
    }
    let items = check(signal, &bytes).expect("the door lets it in") as u32;
    OtlpBatch { signal, payload: vec![bytes.into()], items, origin: None }
}

/// Attributes without a key, with one twice, without a value, that are no text, too large, and deep.
fn odd_attributes() -> Json {
    let deep = (0..16).fold(json!({ "stringValue": "x" }), |inside, _| json!({ "arrayValue": { "values": [inside] } }));
    json!([
        { "key": "", "value": { "stringValue": "" } },
        { "key": "service.name", "value": { "stringValue": "odd" } },
        { "key": "odd", "value": { "stringValue": NO_TEXT } },
        { "key": "odd", "value": { "doubleValue": "NaN" } },
        { "key": NO_TEXT, "value": { "intValue": "-9223372036854775808" } },
        { "key": "none", "value": {} },
        { "key": "inf", "value": { "doubleValue": "-Infinity" } },
        { "key": "deep", "value": deep },
        { "key": "map", "value": { "kvlistValue": { "values": [{ "key": "", "value": {} }, { "key": "" }] } } },
        { "key": "bytes", "value": { "bytesValue": "//4A" } },
    ])
}

const LAST: &str = "18446744073709551615";

fn metric(metric: &Json) -> Json {
    json!({ "resourceMetrics": [{
        "resource": { "attributes": odd_attributes() },
        "scopeMetrics": [{ "scope": { "name": NO_TEXT, "attributes": odd_attributes() }, "metrics": [metric] }],
    }] })
}

fn metrics() -> Vec<Json> {
    let mut all = vec![
        json!({ "resourceMetrics": [{}] }),
        metric(&json!({})),
        metric(&json!({ "name": NO_TEXT, "unit": NO_TEXT, "description": NO_TEXT, "gauge": {} })),
        metric(
            &json!({ "name": "}{=\"\n", "gauge": { "dataPoints": [{}, { "asDouble": "NaN", "timeUnixNano": LAST }] } }),
        ),
    ];
    let times = [("0", "0"), (LAST, "1"), ("1", LAST), (LAST, LAST)];
    for (temporality, (start, time)) in [0, 1, 2, 99].into_iter().flat_map(|kind| times.map(|times| (kind, times))) {
        let with = |mut point: Json| {
            point["startTimeUnixNano"] = json!(start);
            point["timeUnixNano"] = json!(time);
            point["attributes"] = odd_attributes();
            point
        };
        let kinds = [
            json!({ "name": "sum", "sum": { "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [
                with(json!({ "asInt": "9223372036854775807" })), with(json!({ "asInt": "-9223372036854775808" })),
                with(json!({ "asDouble": "Infinity" })), with(json!({ "asDouble": "-Infinity" })), with(json!({})),
            ] } }),
            json!({ "name": "histogram", "histogram": { "aggregationTemporality": temporality, "dataPoints": [
                with(json!({ "count": LAST, "sum": "NaN", "bucketCounts": [LAST, LAST], "explicitBounds": [1] })),
                with(json!({ "count": "1", "bucketCounts": ["1"], "explicitBounds": [1, 2, 3] })),
                with(json!({ "count": "1", "bucketCounts": ["1", "2", "3", "4"], "explicitBounds": [1] })),
                with(json!({ "count": "0", "bucketCounts": ["5", "5"], "explicitBounds": ["NaN"], "min": 2, "max": 1 })),
                with(json!({ "count": "3", "bucketCounts": ["1", "1", "1"], "explicitBounds": [2, 1] })),
                with(json!({ "count": "3", "explicitBounds": [2, 1] })),
            ] } }),
            json!({ "name": "exponential", "exponentialHistogram": { "aggregationTemporality": temporality, "dataPoints": [
                with(json!({ "scale": 2147483647, "count": LAST, "zeroCount": LAST, "zeroThreshold": "NaN" })),
                with(json!({ "scale": -2147483648, "positive": { "offset": 2147483647, "bucketCounts": ["1", LAST, LAST] } })),
                with(json!({ "scale": 3, "positive": { "offset": -2147483648, "bucketCounts": ["1", "0", "2"] },
                    "negative": { "offset": 2147483647, "bucketCounts": [LAST, LAST] } })),
                with(json!({ "scale": -11, "positive": { "offset": 2147483646, "bucketCounts": ["1", "1", "1", "1"] } })),
                with(json!({ "scale": 20, "positive": { "offset": -1, "bucketCounts": [] }, "negative": { "offset": 7 } })),
            ] } }),
            json!({ "name": "summary", "summary": { "dataPoints": [
                with(json!({ "count": LAST, "sum": "-Infinity", "quantileValues": [
                    { "quantile": "NaN", "value": "NaN" }, { "quantile": -1, "value": 1 }, { "quantile": 2 }, {},
                ] })),
            ] } }),
        ];
        all.extend(kinds.iter().map(metric));
    }
    all
}

fn spans() -> Vec<Json> {
    let id = "5b8efff798038103d269b633813fc60c";
    let spans = [
        json!({}),
        json!({ "traceId": "", "spanId": "", "name": NO_TEXT, "kind": 99, "status": { "code": 99, "message": NO_TEXT } }),
        json!({ "traceId": id, "spanId": "eee19b7ec3c1b174", "parentSpanId": "eee19b7ec3c1b174", "kind": -5,
            "startTimeUnixNano": LAST, "endTimeUnixNano": "1", "traceState": NO_TEXT }),
        json!({ "traceId": id, "spanId": "eee19b7ec3c1b175", "startTimeUnixNano": "0", "endTimeUnixNano": LAST,
            "droppedAttributesCount": 4294967295_u32, "flags": 4294967295_u32 }),
        json!({ "traceId": "00000000000000000000000000000000", "spanId": "0000000000000000",
            "events": [{}, { "timeUnixNano": LAST, "name": NO_TEXT, "attributes": odd_attributes() }],
            "links": [{}, { "traceId": "", "attributes": odd_attributes() }] }),
    ];
    let with = |mut span: Json| {
        span["attributes"] = odd_attributes();
        json!({ "resourceSpans": [{
            "resource": { "attributes": odd_attributes() }, "schemaUrl": NO_TEXT,
            "scopeSpans": [{ "scope": { "name": NO_TEXT }, "spans": [span] }],
        }] })
    };
    [json!({ "resourceSpans": [{}] })].into_iter().chain(spans.into_iter().map(with)).collect()
}

fn records() -> Vec<Json> {
    let attributes = odd_attributes();
    let value = |key: &str| {
        let all = attributes.as_array().into_iter().flatten();
        all.filter(|pair| pair["key"] == key).map(|pair| pair["value"].clone()).next()
    };
    let (deep, map, bytes) = (value("deep"), value("map"), value("bytes"));
    let records = [
        json!({}),
        json!({ "timeUnixNano": LAST, "observedTimeUnixNano": LAST, "severityNumber": 99, "severityText": NO_TEXT }),
        json!({ "body": { "stringValue": NO_TEXT }, "severityNumber": -7, "traceId": "", "spanId": "" }),
        json!({ "body": deep }),
        json!({ "body": map, "eventName": NO_TEXT }),
        json!({ "body": bytes, "flags": 4294967295_u32 }),
        json!({ "body": {} }),
    ];
    let with = |mut record: Json| {
        record["attributes"] = odd_attributes();
        json!({ "resourceLogs": [{
            "resource": { "attributes": odd_attributes() },
            "scopeLogs": [{ "scope": { "name": NO_TEXT }, "logRecords": [record] }],
        }] })
    };
    [json!({ "resourceLogs": [{}] })].into_iter().chain(records.into_iter().map(with)).collect()
}
