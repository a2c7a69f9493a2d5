//! A component of OTLP between JSON going in and JSON coming out.

use std::sync::Arc;

use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_component::Component;
use sdk_signals::{Delivery, Origin, OtelConsumer, OtlpBatch, Refused};
use serde_json::Value as Json;

use crate::collector::Collector;
use crate::component::{Alone, scope};
use crate::otlp;

/// A component whose output is looked at.
pub struct Bench<C> {
    /// The component.
    pub alone: Alone<C>,
    /// What its output may name as `next`.
    pub next: Arc<Collector<OtlpBatch>>,
    /// What its block may refer to.
    pub scope: Scope,
    input: OtelConsumer,
}

impl<C: Component> Bench<C> {
    /// Runs the component with the inside of its block; `next` is what its output may name.
    ///
    /// # Errors
    /// It does not load.
    pub fn start(config: &str) -> Result<Bench<C>, String> {
        let (next, receiver) = Collector::new();
        let scope = scope([("next", OtelConsumer(receiver).to_value())]);
        let alone = Alone::<C>::start(config, &scope)?;
        let input = alone.export("input").ok_or("no input")?;
        let input = OtelConsumer::from_value(&input).map_err(|error| error.message)?;
        Ok(Bench { alone, next, scope, input })
    }

    /// Hands a payload to the exported input.
    ///
    /// # Errors
    /// It was refused.
    pub async fn send(&self, payload: &Json) -> Result<Delivery, Refused> {
        self.send_from(payload, Origin::default()).await
    }

    /// [`Bench::send`], from somebody.
    ///
    /// # Errors
    /// It was refused.
    pub async fn send_from(&self, payload: &Json, origin: Origin) -> Result<Delivery, Refused> {
        self.input.0.consume(otlp::batch_from(payload, origin)).await
    }

    /// What has come out, in order.
    pub fn out(&self) -> Vec<Json> {
        self.next.batches().into_iter().map(otlp::json).collect()
    }
}
