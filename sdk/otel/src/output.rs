//! The `output` block, and handing a batch to what it lists.

use std::sync::{Arc, PoisonError, RwLock};

use base_metrics::Scope;
use language_eval::Block;
use sdk_component::{Context, Tap};
use sdk_signals::{Delivery, FanOut, OtelConsumer, OtlpBatch, OtlpSignal, Refused};

use crate::describe;

/// Where to send what comes out.
#[derive(Clone, Debug, Default, Block)]
pub struct Output {
    /// Consumers of metrics.
    #[attr(optional)]
    pub metrics: Vec<OtelConsumer>,
    /// Consumers of logs.
    #[attr(optional)]
    pub logs: Vec<OtelConsumer>,
    /// Consumers of traces.
    #[attr(optional)]
    pub traces: Vec<OtelConsumer>,
}

/// The consumers of an `output` block, changed as a whole by an update. Clones are the same.
#[derive(Clone)]
pub struct Outputs {
    lists: Arc<RwLock<Arc<Lists>>>,
    tap: Tap,
    metrics: Scope,
}

struct Lists {
    traces: FanOut<OtlpBatch>,
    metrics: FanOut<OtlpBatch>,
    logs: FanOut<OtlpBatch>,
}

// === impl Output ===

impl Output {
    /// The consumers of one signal.
    #[must_use]
    pub fn of(&self, signal: OtlpSignal) -> &[OtelConsumer] {
        match signal {
            OtlpSignal::Traces => &self.traces,
            OtlpSignal::Metrics => &self.metrics,
            OtlpSignal::Logs => &self.logs,
        }
    }

    fn lists(&self, metrics: &Scope) -> Arc<Lists> {
        let list = |consumers: &[OtelConsumer]| {
            FanOut::new(consumers.iter().map(|consumer| consumer.0.clone())).counted(metrics)
        };
        Arc::new(Lists { traces: list(&self.traces), metrics: list(&self.metrics), logs: list(&self.logs) })
    }
}

// === impl Outputs ===

impl Outputs {
    /// To these. What the component sends can be looked at.
    #[must_use]
    pub fn new(context: &Context, output: &Output) -> Outputs {
        let metrics = context.metrics().clone();
        Outputs { lists: Arc::new(RwLock::new(output.lists(&metrics))), tap: context.tap(), metrics }
    }

    /// From now on to these.
    pub fn replace(&self, output: &Output) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = output.lists(&self.metrics);
    }

    /// Whether anybody takes this signal.
    #[must_use]
    pub fn take(&self, signal: OtlpSignal) -> bool {
        !self.lists().of(signal).receivers().is_empty()
    }

    /// Hands a batch to every consumer of its signal.
    ///
    /// # Errors
    /// A consumer refused it, or the signal has none (as Alloy: "signal not supported").
    pub async fn consume(&self, batch: OtlpBatch) -> Result<Delivery, Refused> {
        let lists = self.lists();
        let list = lists.of(batch.signal);
        if list.receivers().is_empty() {
            return Err(Refused::permanent("telemetry type is not supported"));
        }
        let shown = self.tap.look().map(|_| batch.clone());
        let delivery = list.consume(batch).await?;
        if let Some(batch) = shown {
            self.show(&batch, list);
        }
        Ok(delivery)
    }

    /// Shows a batch that was taken to those who look.
    fn show(&self, batch: &OtlpBatch, list: &FanOut<OtlpBatch>) {
        let Some(look) = self.tap.look() else { return };
        let signal = match batch.signal {
            OtlpSignal::Traces => "otel_trace",
            OtlpSignal::Metrics => "otel_metric",
            OtlpSignal::Logs => "otel_log",
        };
        let to: Vec<Arc<str>> = list.receivers().iter().map(|receiver| receiver.component().into()).collect();
        let count = match batch.signal {
            // Metrics are counted, not their points, as Alloy does.
            OtlpSignal::Metrics => batch.payload.iter().map(|payload| describe::records(payload)).sum(),
            _ => u64::from(batch.items),
        };
        look.count_to(signal, count, &to);
        if look.wants_text() {
            look.show(|| batch.payload.iter().map(|payload| describe::text(batch.signal, payload)).collect());
        }
    }

    fn lists(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lists {
    fn of(&self, signal: OtlpSignal) -> &FanOut<OtlpBatch> {
        match signal {
            OtlpSignal::Traces => &self.traces,
            OtlpSignal::Metrics => &self.metrics,
            OtlpSignal::Logs => &self.logs,
        }
    }
}
