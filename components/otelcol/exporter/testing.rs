//! An exporter between OTLP/JSON going in and batches of another kind coming out, for tests.

use std::sync::Arc;

use language_eval::{FromValue as _, Scope, Value};
use sdk_component::Component;
use sdk_signals::{Delivery, OtelConsumer, Receiver, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::otlp;
use serde_json::Value as Json;

pub struct Bench<C, B> {
    pub alone: Alone<C>,
    pub next: Arc<Collector<B>>,
    pub scope: Scope,
    pub input: OtelConsumer,
}

impl<C: Component, B: Clone + Send + 'static> Bench<C, B> {
    /// Runs the component with the inside of its block; `next` is what its `forward_to` may name.
    pub fn start(config: &str, next: impl FnOnce(Receiver<B>) -> Value) -> Result<Bench<C, B>, String> {
        let (collector, receiver) = Collector::new();
        let scope = scope([("next", next(receiver))]);
        let alone = Alone::start(config, &scope)?;
        let input = OtelConsumer::from_value(&alone.export("input").expect("an input")).expect("a consumer");
        Ok(Bench { alone, next: collector, scope, input })
    }

    pub async fn send(&self, payload: &Json) -> Result<Delivery, Refused> {
        self.input.0.consume(otlp::batch(payload)).await
    }
}
