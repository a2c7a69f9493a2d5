//! `otelcol.connector.spanlogs`: a log line for each span, root, process or event.

mod lines;

use std::sync::{Arc, PoisonError, RwLock};

use base_metrics::Counter;
use language_eval::Block;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::output::{Output, Outputs};
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tracing::warn;

use crate::aggregating::ConnectorExports;
use lines::{Lines, Settings};

/// Writes log lines of spans, in logfmt: the name, how long it took, the status unless it is unset, the attributes that are
/// asked for, the service and the trace id.
///
/// Each record has an attribute `traces`, which is `span`, `root`, `process` or `event`, and of the line those that `labels`
/// names. Nothing is held: spans are delivered when their lines are, and refused when these are refused.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// A line for each span.
    #[attr(optional)]
    pub spans: bool,
    /// A line for each span without parent.
    #[attr(optional)]
    pub roots: bool,
    /// A line for each trace that a resource has spans of, as often as these follow others.
    #[attr(optional)]
    pub processes: bool,
    /// A line for each event of a span.
    #[attr(optional)]
    pub events: bool,
    /// Attributes of spans to write.
    #[attr(optional)]
    pub span_attributes: Vec<String>,
    /// Attributes of resources to write.
    #[attr(optional)]
    pub process_attributes: Vec<String>,
    /// Attributes of events to write.
    #[attr(optional)]
    pub event_attributes: Vec<String>,
    /// Other names for what is written.
    #[block(optional)]
    pub overrides: Overrides,
    /// What of the line becomes attributes of the record, by its name there.
    #[attr(optional)]
    pub labels: Vec<String>,
    /// Where the log records go.
    #[block(required)]
    pub output: Output,
}

/// Other names for what is written.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Overrides {
    /// The attribute that says what the line is of.
    #[attr(default = "traces".to_owned())]
    pub logs_instance_tag: String,
    /// The service.
    #[attr(default = "svc".to_owned())]
    pub service_key: String,
    /// The name of the span.
    #[attr(default = "span".to_owned())]
    pub span_name_key: String,
    /// The status.
    #[attr(default = "status".to_owned())]
    pub status_key: String,
    /// How long the span took.
    #[attr(default = "dur".to_owned())]
    pub duration_key: String,
    /// The trace id.
    #[attr(default = "tid".to_owned())]
    pub trace_id_key: String,
}

/// The component.
pub struct SpanLogs(Arc<Input>);

/// The consumer behind the exported input.
struct Input {
    context: Context,
    outputs: Outputs,
    settings: RwLock<Arc<Settings>>,
    incoming: Counter,
    outgoing: Counter,
}

// === impl SpanLogs ===

impl Component for SpanLogs {
    const NAME: &'static str = "otelcol.connector.spanlogs";
    type Arguments = Arguments;
    type Exports = ConnectorExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let counter = |name: &str, help: &str| context.metrics().counter(name, help);
        let outputs = Outputs::new(context, &arguments.output);
        let input = Arc::new(Input {
            context: context.clone(),
            outputs,
            settings: RwLock::new(Arc::new(Settings::new(arguments))),
            incoming: counter(
                "ferroalloy_otelcol_connector_incoming_spans_total",
                "Number of spans passed to the connector.",
            ),
            outgoing: counter(
                "ferroalloy_otelcol_connector_outgoing_records_total",
                "Number of log records that the next component has taken.",
            ),
        });
        context.publish(&ConnectorExports { input: OtelConsumer(Receiver::new(context.id(), input.clone())) });
        Ok(SpanLogs(input))
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let input = self.0.clone();
        Ok(Update::then(move || {
            input.outputs.replace(&arguments.output);
            input.warn_of_others();
            *input.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Settings::new(arguments));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.0.warn_of_others();
        self.0.context.healthy("started");
        stop.stopped().await;
        Ok(())
    }
}

// === impl Input ===

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.signal != OtlpSignal::Traces {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
            self.incoming.add(batch.items.into());
            let mut lines = Lines::new(&settings);
            batch.payload.iter().for_each(|payload| lines.write(payload));
            let (payload, items) = lines.finish();
            // Alloy also sends payloads without records.
            if items == 0 || !self.outputs.take(OtlpSignal::Logs) {
                return Ok(Delivery::delivered());
            }
            let (signal, payload) = (OtlpSignal::Logs, vec![payload.into()]);
            let delivery = self.outputs.consume(OtlpBatch { signal, payload, items, origin: batch.origin }).await?;
            self.outgoing.add(items.into());
            Ok(delivery)
        })
    }
}

impl Input {
    fn warn_of_others(&self) {
        if self.outputs.take(OtlpSignal::Traces) || self.outputs.take(OtlpSignal::Metrics) {
            warn!("non-log output detected; this component only works for log outputs and trace inputs");
        }
    }
}

#[cfg(test)]
mod tests;
