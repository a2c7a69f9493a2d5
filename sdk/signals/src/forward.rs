//! `forward_to` of whatever sends samples, with the two metrics that Alloy keeps about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::{Counter, Histogram, Scope};
use tokio::time::Instant;

use crate::consumer::Refused;
use crate::delivery::Delivery;
use crate::fan_out::FanOut;
use crate::metrics::{MetricsReceiver, SampleBatch};

const LATENCY_BOUNDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Hands batches to the receivers of a `forward_to` list, which an update may replace.
pub struct Forward {
    receivers: Mutex<Arc<FanOut<SampleBatch>>>,
    metrics: Scope,
    samples: Counter,
    latency: Histogram,
}

impl Forward {
    /// To these; both metrics go there.
    pub fn new(metrics: &Scope, receivers: Vec<MetricsReceiver>) -> Forward {
        Forward {
            receivers: Mutex::new(fan_out(metrics, receivers)),
            metrics: metrics.clone(),
            samples: metrics.counter(
                "prometheus_forwarded_samples_total",
                "Total number of samples sent to downstream components.",
            ),
            latency: metrics.histogram(
                "prometheus_fanout_latency",
                "Write latency for sending to direct and indirect components",
                &LATENCY_BOUNDS,
            ),
        }
    }

    /// From now on to these.
    pub fn replace(&self, receivers: Vec<MetricsReceiver>) {
        let receivers = fan_out(&self.metrics, receivers);
        *self.lock() = receivers;
    }

    /// See [`FanOut::consume`].
    ///
    /// # Errors
    /// No receiver took it.
    pub async fn consume(&self, batch: SampleBatch) -> Result<Delivery, Refused> {
        let receivers = self.lock().clone();
        self.samples.add((batch.len() * receivers.receivers().len()) as u64);
        let start = Instant::now();
        let taken = receivers.consume(batch).await;
        self.latency.observe(start.elapsed().as_secs_f64());
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Arc<FanOut<SampleBatch>>> {
        // The list is replaced whole, so a panic elsewhere leaves it good.
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fan_out(metrics: &Scope, receivers: Vec<MetricsReceiver>) -> Arc<FanOut<SampleBatch>> {
    Arc::new(FanOut::new(receivers.into_iter().map(|receiver| receiver.0)).counted(metrics))
}
