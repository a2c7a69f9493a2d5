//! `otelcol.processor.transform`: changes telemetry by statements of OTTL.

use language_eval::Block;
use sdk_component::{Context as Site, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_ottl::{Context, ErrorMode, Statements};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::decoded::{each_payload, faults, transform};
use crate::processing::{Processing, Processor};

/// Changes telemetry by statements of OTTL, the OpenTelemetry Transformation Language.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// What becomes of a statement that fails: `ignore` tells it in the log, `silent` does not, `propagate` refuses the
    /// payload.
    #[attr(default = "ignore".to_owned())]
    pub error_mode: String,
    /// Statements whose paths say which context they mean, such as `span.name`. They run after those of the blocks below.
    #[block(optional)]
    pub statements: FlatStatements,
    /// Statements on traces.
    #[block]
    pub trace_statements: Vec<ContextStatements>,
    /// Statements on metrics.
    #[block]
    pub metric_statements: Vec<ContextStatements>,
    /// Statements on logs.
    #[block]
    pub log_statements: Vec<ContextStatements>,
    /// Where to send what was changed, and what was not.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// Statements whose paths say which context they mean.
#[derive(Clone, Debug, Default, Block)]
pub struct FlatStatements {
    /// On traces.
    #[attr(optional)]
    pub trace: Vec<String>,
    /// On metrics.
    #[attr(optional)]
    pub metric: Vec<String>,
    /// On logs.
    #[attr(optional)]
    pub log: Vec<String>,
}

/// Statements of one context.
#[derive(Clone, Debug, Block)]
pub struct ContextStatements {
    /// What they run on: `resource`, `scope`, `span`, `spanevent`, `metric`, `datapoint` or `log`.
    #[attr]
    pub context: String,
    /// They run only on items on which one of these holds.
    #[attr(optional)]
    pub conditions: Vec<String>,
    /// The statements.
    #[attr]
    pub statements: Vec<String>,
    /// See above; empty is as above.
    #[attr(optional)]
    pub error_mode: String,
}

/// The statements, compiled, by signal.
pub struct Transform {
    traces: Vec<Statements>,
    metrics: Vec<Statements>,
    logs: Vec<Statements>,
}

/// `otelcol.processor.transform`.
pub type Component = Processing<Transform>;

// === impl Transform ===

impl Processor for Transform {
    const NAME: &'static str = "otelcol.processor.transform";
    type Arguments = Arguments;

    fn new(_: &Site, arguments: &Arguments) -> Result<Transform, Problem> {
        let mode = arguments.error_mode.parse().map_err(|message: String| Problem::at("error_mode", message))?;
        let compile = |signal, name: &'static str, blocks: &[ContextStatements], flat: &[String]| {
            let mut compiled = Vec::new();
            for block in blocks {
                compiled.push(block.compile(signal, mode).map_err(|message| Problem::at(name, message))?);
            }
            if !flat.is_empty() {
                let statements = Statements::inferred(signal, flat, mode);
                compiled.push(statements.map_err(|found| Problem::at("statements", faults(&found)))?);
            }
            Ok(compiled)
        };
        let flat = &arguments.statements;
        Ok(Transform {
            traces: compile(OtlpSignal::Traces, "trace_statements", &arguments.trace_statements, &flat.trace)?,
            metrics: compile(OtlpSignal::Metrics, "metric_statements", &arguments.metric_statements, &flat.metric)?,
            logs: compile(OtlpSignal::Logs, "log_statements", &arguments.log_statements, &flat.log)?,
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let statements = match batch.signal {
            OtlpSignal::Traces => &self.traces,
            OtlpSignal::Metrics => &self.metrics,
            OtlpSignal::Logs => &self.logs,
        };
        if !statements.is_empty() {
            each_payload(&mut batch, |signal, payload| transform(signal, payload, statements))?;
        }
        Ok(batch)
    }
}

// === impl ContextStatements ===

impl ContextStatements {
    fn compile(&self, signal: OtlpSignal, mode: ErrorMode) -> Result<Statements, String> {
        let context = context(signal, &self.context)?;
        let mode = if self.error_mode.is_empty() { mode } else { self.error_mode.parse()? };
        Statements::new(context, &self.statements, &self.conditions, mode).map_err(|found| faults(&found))
    }
}

/// The context of a name, if the signal has it.
pub(crate) fn context(signal: OtlpSignal, name: &str) -> Result<Context, String> {
    let named = Context::named(name).filter(|context| Context::of(signal).contains(context));
    named.ok_or_else(|| {
        let names: Vec<&str> = Context::of(signal).iter().map(|context| context.name()).collect();
        format!("{} have no context {name:?}; there are {}", signal.name(), names.join(", "))
    })
}

#[cfg(test)]
mod tests;
