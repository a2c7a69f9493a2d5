//! The `output` block, and handing a batch to what it lists.

use std::sync::{Arc, PoisonError, RwLock};

use language_eval::Block;
use sdk_signals::{Delivery, FanOut, OtelConsumer, OtlpBatch, OtlpSignal, Refused};

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
pub struct Outputs(Arc<RwLock<Arc<Lists>>>);

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

    fn lists(&self) -> Arc<Lists> {
        let list = |consumers: &[OtelConsumer]| FanOut::new(consumers.iter().map(|consumer| consumer.0.clone()));
        Arc::new(Lists { traces: list(&self.traces), metrics: list(&self.metrics), logs: list(&self.logs) })
    }
}

// === impl Outputs ===

impl Outputs {
    /// To these.
    #[must_use]
    pub fn new(output: &Output) -> Outputs {
        Outputs(Arc::new(RwLock::new(output.lists())))
    }

    /// From now on to these.
    pub fn replace(&self, output: &Output) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = output.lists();
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
        list.consume(batch).await
    }

    fn lists(&self) -> Arc<Lists> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
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
