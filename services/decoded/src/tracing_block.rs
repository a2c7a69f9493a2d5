//! `tracing`: spans of our own work.

use std::sync::Arc;

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};
use sdk_signals::OtelConsumer;

/// Which of our own work is traced, and where the spans go.
#[derive(Block)]
#[block(validate)]
pub struct Arguments {
    /// The part of root spans that is kept, from 0 to 1.
    #[attr(default = 0.1)]
    pub sampling_fraction: f64,
    /// Who gets the spans.
    #[attr(optional)]
    pub write_to: Vec<OtelConsumer>,
    /// Outgoing requests carry a `traceparent` header.
    #[attr(default = false)]
    pub send_traceparent: bool,
    /// Asks somebody else what to sample.
    #[block]
    pub sampler: Option<Sampler>,
}

/// Asks somebody else what to sample.
#[derive(Block)]
pub struct Sampler {
    /// A Jaeger collector.
    #[block]
    pub jaeger_remote: Option<JaegerRemote>,
}

/// A Jaeger collector that knows what to sample.
#[derive(Block)]
pub struct JaegerRemote {
    /// Where it answers.
    #[attr(default = "http://127.0.0.1:5778/sampling".to_owned())]
    pub url: String,
    /// How many operations are kept apart.
    #[attr(default = 256)]
    pub max_operations: i64,
    /// How often it is asked.
    #[attr(default = GoDuration::from_secs(60))]
    pub refresh_interval: GoDuration,
}

pub struct Tracing;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if (0.0..=1.0).contains(&self.sampling_fraction) {
            return Ok(());
        }
        Err(Invalid::field("sampling_fraction", "sampling_fraction must be between 0 and 1, inclusive"))
    }
}

// === impl Tracing ===

impl Service for Tracing {
    const NAME: &'static str = "tracing";
    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        Ok(Update::then(move || {
            if !arguments.write_to.is_empty() {
                tracing::warn!(service = "tracing", "own traces are not made yet; the block has no effect");
            }
        }))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
