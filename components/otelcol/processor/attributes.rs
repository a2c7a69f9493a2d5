//! `otelcol.processor.attributes`: changes attributes of spans, log records and data points, on the wire.

pub(crate) mod action;

use language_eval::Block;
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::edit;
use sdk_signals::{OtlpBatch, Refused};

pub use action::Action;
use action::Program;

use crate::matching::{Match, Selection};
use crate::processing::{Processing, Processor};

/// Changes attributes of spans, log records and data points.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// Changes only what matches.
    #[block]
    pub include: Option<Match>,
    /// Leaves alone what matches.
    #[block]
    pub exclude: Option<Match>,
    /// What to change, in this order.
    #[block]
    pub action: Vec<Action>,
    /// Where to send what was changed, and what was not.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The arguments, ready to be applied.
pub struct Attributes {
    program: Program,
    selection: Selection,
}

/// `otelcol.processor.attributes`.
pub type Component = Processing<Attributes>;

// === impl Attributes ===

impl Processor for Attributes {
    const NAME: &'static str = "otelcol.processor.attributes";
    type Arguments = Arguments;

    fn new(_: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let (include, exclude) = (arguments.include.as_ref(), arguments.exclude.as_ref());
        Ok(Attributes {
            program: Program::new(&arguments.action).map_err(|message| Problem::at("action", message))?,
            selection: Selection::new(include, exclude, Self::SIGNALS, &arguments.output)?,
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        self.apply(&mut batch);
        Ok(batch)
    }
}

impl Attributes {
    fn apply(&self, batch: &mut OtlpBatch) {
        let program = self.program.for_origin(batch.origin.as_deref());
        let signal = batch.signal;
        for payload in &mut batch.payload {
            let mut selected = self.selection.on(signal);
            let edited = edit::items(signal, payload, |item, attributes| {
                if selected.takes(item, attributes) {
                    program.apply(attributes);
                }
            });
            if let Some(edited) = edited {
                *payload = edited.into();
            }
        }
    }
}

#[cfg(test)]
mod tests;
