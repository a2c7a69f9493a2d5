//! `otelcol.processor.filter`: drops telemetry for which conditions of OTTL hold.

use base_metrics::Counter;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context as Site, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_ottl::{Conditions, Context, ErrorMode};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::decoded::{each_payload, faults, filter};
use crate::processing::{Processing, Processor};
use crate::transform::context;

/// Drops spans, span events, metrics, data points and log records for which a condition of OTTL holds.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// What becomes of a condition that fails; it does not hold: `ignore` tells it in the log, `silent` does not,
    /// `propagate` refuses the payload.
    #[attr(default = "ignore".to_owned())]
    pub error_mode: String,
    /// Conditions on traces, in the older form.
    #[block(optional)]
    pub traces: Traces,
    /// Conditions on metrics, in the older form.
    #[block(optional)]
    pub metrics: Metrics,
    /// Conditions on logs, in the older form.
    #[block(optional)]
    pub logs: Logs,
    /// Conditions on traces.
    #[block]
    pub trace_conditions: Vec<ContextConditions>,
    /// Conditions on metrics.
    #[block]
    pub metric_conditions: Vec<ContextConditions>,
    /// Conditions on logs.
    #[block]
    pub log_conditions: Vec<ContextConditions>,
    /// Where to send what was not dropped.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Conditions on traces.
#[derive(Clone, Debug, Default, Block)]
pub struct Traces {
    /// Drops the span, with its events.
    #[attr(optional)]
    pub span: Vec<String>,
    /// Drops the event; its span stays.
    #[attr(optional)]
    pub spanevent: Vec<String>,
}

/// Conditions on metrics.
#[derive(Clone, Debug, Default, Block)]
pub struct Metrics {
    /// Drops the metric, with its points.
    #[attr(optional)]
    pub metric: Vec<String>,
    /// Drops the point, and with its last point the metric.
    #[attr(optional)]
    pub datapoint: Vec<String>,
}

/// Conditions on logs.
#[derive(Clone, Debug, Default, Block)]
pub struct Logs {
    /// Drops the record.
    #[attr(optional)]
    pub log_record: Vec<String>,
}

/// Conditions of one context, or of whatever contexts they name.
#[derive(Clone, Debug, Block)]
pub struct ContextConditions {
    /// What they are asked of: `resource`, `scope`, `span`, `spanevent`, `metric`, `datapoint` or `log`. Without one, the
    /// paths of each condition must say which they mean, such as `span.name`.
    #[attr(optional)]
    pub context: String,
    /// What is dropped: whatever one of them holds for.
    #[attr]
    pub conditions: Vec<String>,
}

/// The conditions, compiled, by signal; each block's conditions are asked after those of the one before.
pub struct Filter {
    traces: Vec<Vec<Conditions>>,
    metrics: Vec<Vec<Conditions>>,
    logs: Vec<Vec<Conditions>>,
    filtered: [Counter; 3],
}

/// `otelcol.processor.filter`.
pub type Component = Processing<Filter>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        let clashes = [
            (
                "trace_conditions",
                "traces",
                &self.trace_conditions,
                !(self.traces.span.is_empty() && self.traces.spanevent.is_empty()),
            ),
            (
                "metric_conditions",
                "metrics",
                &self.metric_conditions,
                !(self.metrics.metric.is_empty() && self.metrics.datapoint.is_empty()),
            ),
            ("log_conditions", "logs", &self.log_conditions, !self.logs.log_record.is_empty()),
        ];
        for (name, older, conditions, has_older) in clashes {
            if !conditions.is_empty() && has_older {
                let message = format!("{name} and {older} cannot be used at the same time");
                return Err(Invalid::field(name, message));
            }
        }
        Ok(())
    }
}

// === impl Filter ===

impl Processor for Filter {
    const NAME: &'static str = "otelcol.processor.filter";
    type Arguments = Arguments;

    fn new(site: &Site, arguments: &Arguments) -> Result<Filter, Problem> {
        let mode: ErrorMode =
            arguments.error_mode.parse().map_err(|message: String| Problem::at("error_mode", message))?;
        let compile = |signal, name: &'static str, blocks: &[ContextConditions], older: &[(Context, &[String])]| {
            let mut groups = Vec::new();
            for block in blocks {
                groups.push(block.compile(signal, mode).map_err(|message| Problem::at(name, message))?);
            }
            let mut group = Vec::new();
            for (context, conditions) in older.iter().filter(|(_, conditions)| !conditions.is_empty()) {
                let compiled = Conditions::new(*context, conditions, mode);
                group.push(compiled.map_err(|found| Problem::at(older_name(signal), faults(&found)))?);
            }
            if !group.is_empty() {
                groups.push(group);
            }
            Ok(groups)
        };
        let traces =
            [(Context::Span, &arguments.traces.span[..]), (Context::SpanEvent, &arguments.traces.spanevent[..])];
        let metrics =
            [(Context::Metric, &arguments.metrics.metric[..]), (Context::DataPoint, &arguments.metrics.datapoint[..])];
        let logs = [(Context::Log, &arguments.logs.log_record[..])];
        let counter = |signal: &str, what: &str| {
            let name = format!("otelcol_processor_filter_{signal}_filtered_total");
            let help = format!("Number of {what} dropped by the filter processor.");
            site.metrics().counter_vec(&name, &help, &["filter"]).with(&[&format!("filter/{}", site.id())])
        };
        Ok(Filter {
            traces: compile(OtlpSignal::Traces, "trace_conditions", &arguments.trace_conditions, &traces)?,
            metrics: compile(OtlpSignal::Metrics, "metric_conditions", &arguments.metric_conditions, &metrics)?,
            logs: compile(OtlpSignal::Logs, "log_conditions", &arguments.log_conditions, &logs)?,
            filtered: [counter("spans", "spans"), counter("datapoints", "metric data points"), counter("logs", "logs")],
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let (groups, filtered) = match batch.signal {
            OtlpSignal::Traces => (&self.traces, &self.filtered[0]),
            OtlpSignal::Metrics => (&self.metrics, &self.filtered[1]),
            OtlpSignal::Logs => (&self.logs, &self.filtered[2]),
        };
        if groups.is_empty() {
            return Ok(batch);
        }
        let before = batch.items;
        each_payload(&mut batch, |signal, payload| filter(signal, payload, groups))?;
        filtered.add(before.saturating_sub(batch.items).into());
        Ok(batch)
    }
}

fn older_name(signal: OtlpSignal) -> &'static str {
    match signal {
        OtlpSignal::Traces => "traces",
        OtlpSignal::Metrics => "metrics",
        OtlpSignal::Logs => "logs",
    }
}

// === impl ContextConditions ===

impl ContextConditions {
    fn compile(&self, signal: OtlpSignal, mode: ErrorMode) -> Result<Vec<Conditions>, String> {
        if !self.context.is_empty() {
            let context = context(signal, &self.context)?;
            return Conditions::new(context, &self.conditions, mode)
                .map(|one| vec![one])
                .map_err(|found| faults(&found));
        }
        let compiled = self.conditions.iter().map(|text| Conditions::inferred(signal, text, mode));
        let (good, bad): (Vec<_>, Vec<_>) = compiled.partition(Result::is_ok);
        let found: Vec<_> = bad.into_iter().filter_map(Result::err).flatten().collect();
        if found.is_empty() { Ok(good.into_iter().filter_map(Result::ok).collect()) } else { Err(faults(&found)) }
    }
}

#[cfg(test)]
mod tests;
