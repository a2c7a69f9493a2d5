//! Payloads of OTLP as JSON, which is how the recordings have them.

use std::sync::Arc;

use sdk_protocols_otlp::json::{from_json, to_json};
use sdk_protocols_otlp::{Signal, check};
use sdk_signals::{Origin, OtlpBatch};
use serde_json::Value as Json;

/// The batch of a payload in JSON.
#[track_caller]
pub fn batch(payload: &Json) -> OtlpBatch {
    batch_from(payload, Origin::default())
}

/// [`batch`], from somebody.
#[track_caller]
pub fn batch_from(payload: &Json, origin: Origin) -> OtlpBatch {
    let signal = signal_of(payload);
    let bytes = from_json(signal, payload.to_string().as_bytes()).expect("OTLP/JSON");
    let items = check(signal, &bytes).expect("OTLP") as u32;
    OtlpBatch { signal, payload: vec![bytes.into()], items, origin: Some(Arc::new(origin)) }
}

/// A batch as JSON; the number of items that it states must be true.
#[track_caller]
pub fn json(batch: OtlpBatch) -> Json {
    let (signal, items) = (batch.signal, batch.items as usize);
    let bytes = batch.into_bytes();
    assert_eq!(check(signal, &bytes), Ok(items));
    serde_json::from_slice(&to_json(signal, &bytes)).expect("JSON")
}

/// What a payload in JSON holds.
pub fn signal_of(payload: &Json) -> Signal {
    match payload.as_object().and_then(|payload| payload.keys().next()).map(String::as_str) {
        Some("resourceSpans") => Signal::Traces,
        Some("resourceMetrics") => Signal::Metrics,
        _ => Signal::Logs,
    }
}

/// The inside of a recorded block: without its first and last line, `@next@` named.
pub fn inside(config: &str) -> String {
    let start = config.find('{').map_or(0, |at| at + 1);
    let end = config.rfind('}').unwrap_or(config.len());
    config[start..end].replace("@next@", "next")
}

/// JSON to compare: attribute lists as sets, 1 and 1.0 one number.
pub fn comparable(json: &Json) -> Json {
    match json {
        Json::Number(number) => Json::from(number.as_f64()),
        Json::Array(list) => {
            let mut list: Vec<Json> = list.iter().map(comparable).collect();
            if list.iter().all(|item| item.get("key").is_some()) {
                list.sort_by_key(Json::to_string);
            }
            Json::Array(list)
        }
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), comparable(value))).collect(),
        other => other.clone(),
    }
}

/// Every list as a set.
pub fn as_sets(json: &mut Json) {
    match json {
        Json::Array(list) => {
            list.iter_mut().for_each(as_sets);
            list.sort_by_key(Json::to_string);
        }
        Json::Object(map) => map.values_mut().for_each(as_sets),
        _ => {}
    }
}
