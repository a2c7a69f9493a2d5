//! A processor between OTLP/JSON going in and OTLP/JSON coming out, for tests.

use std::sync::Arc;

use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_component::Component;
use sdk_protocols_otlp::json::{from_json, to_json};
use sdk_protocols_otlp::{Signal, check};
use sdk_signals::{Delivery, Origin, OtelConsumer, OtlpBatch, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use serde_json::Value as Json;

pub struct Bench<C> {
    pub alone: Alone<C>,
    pub next: Arc<Collector<OtlpBatch>>,
    pub scope: Scope,
    input: OtelConsumer,
}

impl<C: Component> Bench<C> {
    /// Runs the component with the inside of its block; `next` is what its output may name.
    pub fn start(config: &str) -> Result<Bench<C>, String> {
        let (next, receiver) = Collector::new();
        let scope = scope([("next", OtelConsumer(receiver).to_value())]);
        let alone = Alone::<C>::start(config, &scope)?;
        let input = alone.export("input").ok_or("no input")?;
        let input = OtelConsumer::from_value(&input).map_err(|error| error.message)?;
        Ok(Bench { alone, next, scope, input })
    }

    pub async fn send(&self, payload: &Json) -> Result<Delivery, Refused> {
        self.send_from(payload, Origin::default()).await
    }

    pub async fn send_from(&self, payload: &Json, origin: Origin) -> Result<Delivery, Refused> {
        let signal = signal_of(payload);
        let bytes = from_json(signal, payload.to_string().as_bytes()).unwrap();
        let items = check(signal, &bytes).unwrap() as u32;
        let batch = OtlpBatch { signal, payload: vec![bytes.into()], items, origin: Some(Arc::new(origin)) };
        self.input.0.consume(batch).await
    }

    /// What has come out, in order.
    pub fn out(&self) -> Vec<Json> {
        self.next.batches().into_iter().map(json).collect()
    }
}

/// A batch as JSON; the number of items that it states must be true.
pub fn json(batch: OtlpBatch) -> Json {
    let (signal, items) = (batch.signal, batch.items as usize);
    let bytes = batch.into_bytes();
    assert_eq!(check(signal, &bytes), Ok(items));
    serde_json::from_slice(&to_json(signal, &bytes)).unwrap()
}

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

/// So many spans of one resource.
pub fn spans(count: usize) -> Json {
    let spans: Vec<Json> = (0..count).map(|i| serde_json::json!({ "name": format!("s{i}") })).collect();
    serde_json::json!({ "resourceSpans": [{ "resource": {}, "scopeSpans": [{ "scope": {}, "spans": spans }] }] })
}
