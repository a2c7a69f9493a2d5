//! `otelcol.processor.attributes`: changes attributes of spans, log records and data points, on the wire.

mod action;
mod filter;

use std::sync::{Arc, PoisonError, RwLock};

use base_metrics::Counter;
use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_otlp::edit;
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};

pub use action::Action;
use action::Program;
use filter::Filter;
pub use filter::{AttributeMatch, LibraryMatch, Match, RegexpCache, SeverityMatch};

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

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct AttributesExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct Attributes {
    context: Context,
    input: Arc<Input>,
}

struct Input {
    work: RwLock<Arc<Work>>,
    outputs: Outputs,
    incoming: [Counter; 3],
    outgoing: [Counter; 3],
}

/// The arguments, ready to be applied.
struct Work {
    program: Program,
    include: Option<Filter>,
    exclude: Option<Filter>,
}

// === impl Attributes ===

impl Component for Attributes {
    const NAME: &'static str = "otelcol.processor.attributes";
    type Arguments = Arguments;
    type Exports = AttributesExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let processor = format!("attributes/{}", context.id());
        let counters = |name: &str, help: &str| {
            let family = context.metrics().counter_vec(name, help, &["processor", "otel_signal"]);
            [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs].map(|s| family.with(&[&processor, s.name()]))
        };
        let input = Arc::new(Input {
            work: RwLock::new(Arc::new(Work::new(&arguments)?)),
            outputs: Outputs::new(context, &arguments.output),
            incoming: counters("otelcol_processor_incoming_items_total", "Number of items passed to the processor."),
            outgoing: counters("otelcol_processor_outgoing_items_total", "Number of items emitted from the processor."),
        });
        let consumer = OtelConsumer(Receiver::new(context.id(), input.clone()));
        context.publish(&AttributesExports { input: consumer });
        Ok(Attributes { context: context.clone(), input })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (input, work) = (self.input.clone(), Arc::new(Work::new(&arguments)?));
        Ok(Update::then(move || {
            input.outputs.replace(&arguments.output);
            *input.work.write().unwrap_or_else(PoisonError::into_inner) = work;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.context.healthy("started");
        stop.stopped().await;
        Ok(())
    }
}

// === impl Work ===

impl Work {
    fn new(arguments: &Arguments) -> Result<Work, Problem> {
        let filter = |name: &'static str, given: &Option<Match>| {
            let Some(given) = given else { return Ok(None) };
            for signal in OtlpSignal::ALL.into_iter().filter(|signal| !arguments.output.of(*signal).is_empty()) {
                given.check(signal).map_err(|message| Problem::at(name, message))?;
            }
            Filter::new(given).map(Some).map_err(|message| Problem::at(name, message))
        };
        Ok(Work {
            program: Program::new(&arguments.action).map_err(|message| Problem::at("action", message))?,
            include: filter("include", &arguments.include)?,
            exclude: filter("exclude", &arguments.exclude)?,
        })
    }

    fn apply(&self, batch: &mut OtlpBatch) {
        let program = self.program.for_origin(batch.origin.as_deref());
        let signal = batch.signal;
        for payload in &mut batch.payload {
            let mut include = self.include.as_ref().map(|filter| filter.on(signal));
            let mut exclude = self.exclude.as_ref().map(|filter| filter.on(signal));
            let edited = edit::items(signal, payload, |item, attributes| {
                let included = include.as_mut().is_none_or(|filter| filter.matches(item, attributes));
                if included && !exclude.as_mut().is_some_and(|filter| filter.matches(item, attributes)) {
                    program.apply(attributes);
                }
            });
            if let Some(edited) = edited {
                *payload = edited.into();
            }
        }
    }
}

// === impl Input ===

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, mut batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let work = self.work.read().unwrap_or_else(PoisonError::into_inner).clone();
            let (signal, items) = (batch.signal as usize, u64::from(batch.items));
            self.incoming[signal].add(items);
            work.apply(&mut batch);
            let delivery = self.outputs.consume(batch).await?;
            self.outgoing[signal].add(items);
            Ok(delivery)
        })
    }
}

#[cfg(test)]
mod tests;
