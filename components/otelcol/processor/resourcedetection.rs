//! `otelcol.processor.resourcedetection`: finds out where it runs, and says so in every resource.

mod arguments;
mod attributes;
mod chosen;
mod detectors;
mod world;

use std::sync::Arc;
use std::time::Duration;

use base_metrics::CounterVec;
use futures_util::future::join_all;
use sdk_component::{Context, Problem, Stop};
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit;
use sdk_protocols_otlp::model::{AnyValue, KeyValue, Message as _};
use sdk_protocols_otlp::walk::{Attribute, Message};
use sdk_protocols_otlp::wire::{Fields, put_bytes, put_message};
use sdk_signals::{OtlpBatch, Refused};
use tokio::sync::watch;

pub use arguments::Arguments;
use detectors::Found;
use world::World;

use crate::processing::{Processing, Processor, Site};

/// The version of the names that detectors use.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.40.0";

/// The pause after a detector has failed; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The arguments, and what was found.
pub struct ResourceDetection {
    arguments: Arguments,
    world: World,
    state: watch::Sender<State>,
    results: CounterVec,
}

/// How far detection is.
#[derive(Clone)]
enum State {
    Looking,
    /// It is tried again.
    Failed(String),
    Found(Arc<Resource>),
}

/// What every resource is told.
struct Resource {
    /// Keys and encoded values.
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    schema: Option<&'static str>,
}

/// `otelcol.processor.resourcedetection`.
pub type Component = Processing<ResourceDetection>;

// === impl ResourceDetection ===

impl Processor for ResourceDetection {
    const NAME: &'static str = "otelcol.processor.resourcedetection";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let timeout = arguments.timeout.to_std().unwrap_or_default();
        Ok(ResourceDetection {
            arguments: arguments.clone(),
            world: World::real(timeout).map_err(Problem::new)?,
            state: watch::Sender::new(State::Looking),
            results: context.metrics().counter_vec(
                "otelcol_resourcedetection_detector_results_total",
                "Number of detections by detector and outcome.",
                &["detector", "outcome"],
            ),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| !matches!(state, State::Looking)).await;
        let resource = match state.as_deref() {
            Ok(State::Found(resource)) => resource.clone(),
            Ok(State::Failed(reason)) => {
                return Err(Refused::retryable(format!("resource detection failed: {reason}")));
            }
            Ok(State::Looking) | Err(_) => return Err(Refused::retryable("resource detection has not ended")),
        };
        for payload in &mut batch.payload {
            if let Some(told) = resource.tell(payload, self.arguments.r#override) {
                *payload = told.into();
            }
        }
        Ok(batch)
    }

    async fn run(&self, site: &Site, stop: Stop) {
        let mut pause = FIRST_PAUSE;
        loop {
            let detected = tokio::select! {
                detected = self.detect() => detected,
                () = stop.stopped() => return,
            };
            match detected {
                Ok(resource) => {
                    self.state.send_replace(State::Found(Arc::new(resource)));
                    site.context.healthy("started");
                    return stop.stopped().await;
                }
                Err(reason) => {
                    tracing::error!(reason, "resource detection failed; trying again");
                    site.context.unhealthy(format!("resource detection failed: {reason}"));
                    self.state.send_replace(State::Failed(reason));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = stop.stopped() => return,
            }
        }
    }
}

impl ResourceDetection {
    /// Asks all detectors at once; what the first of them found counts.
    async fn detect(&self) -> Result<Resource, String> {
        let timeout = self.arguments.timeout.to_std().unwrap_or_default();
        let ask = async |name: &String| {
            let asked = tokio::time::timeout(timeout, detectors::detect(name, &self.arguments, &self.world)).await;
            let found = asked.unwrap_or_else(|_| Err(format!("{name}: no result within {timeout:?}")));
            self.results.with(&[name, if found.is_ok() { "success" } else { "failure" }]).inc();
            found
        };
        let mut merged: Found = Vec::new();
        let mut failed = Vec::new();
        let mut schema = None;
        for (name, found) in
            self.arguments.detectors.iter().zip(join_all(self.arguments.detectors.iter().map(ask)).await)
        {
            match found {
                Ok(found) => {
                    if !found.is_empty() && detectors::has_schema(name) {
                        schema = Some(SCHEMA);
                    }
                    for (key, value) in found {
                        if merged.iter().all(|(other, _)| *other != key) {
                            merged.push((key, value));
                        }
                    }
                }
                Err(reason) => failed.push(reason),
            }
        }
        if !failed.is_empty() {
            return Err(failed.join("; "));
        }
        Ok(Resource { attributes: merged.into_iter().map(|(key, value)| encoded(key, value)).collect(), schema })
    }
}

/// An attribute as it is written.
fn encoded(key: String, value: AnyValue) -> (Vec<u8>, Vec<u8>) {
    let pair = KeyValue::new(key, value).encode();
    let Attribute { key, value } = Attribute::of(&Message::whole(&pair));
    (key.to_vec(), value.0.to_vec())
}

// === impl Resource ===

impl Resource {
    /// The payload with what we found in every resource; `None` when nothing changes.
    fn tell(&self, payload: &[u8], replace: bool) -> Option<Vec<u8>> {
        let told = edit::resources(payload, |_, attributes| {
            for (key, value) in &self.attributes {
                if replace { attributes.upsert(key, value) } else { attributes.insert(key, value) }
            }
        });
        let Some(schema) = self.schema else { return told };
        Some(with_schema(told.as_deref().unwrap_or(payload), schema))
    }
}

/// The payload with a schema for the resources that have none.
fn with_schema(payload: &[u8], schema: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    for field in Fields::of(payload) {
        let body = field.body();
        if field.number != 1 || !Message::at(payload, body.clone()).bytes(3).is_empty() {
            out.extend_from_slice(&payload[field.start..field.end]);
            continue;
        }
        put_message(&mut out, 1, |out| {
            out.extend_from_slice(&payload[body]);
            put_bytes(out, 3, schema.as_bytes());
        });
    }
    out
}

#[cfg(test)]
mod tests;
