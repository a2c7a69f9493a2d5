//! `otelcol.receiver.prometheus`: hands samples of Prometheus on as metrics of OTLP.
//!
//! The samples of a batch are put together by target (`job` and `instance`), scope and family. Without metadata every
//! series is a gauge of its own; with it, counters are sums, and buckets, sums and counts are histograms. Native histograms
//! are exponential ones, or, with bounds of their own, histograms; with or without metadata.

mod family;
mod native;
mod page;
mod resource;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base_metrics::CounterVec;
use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_otlp::model::Message as _;
use sdk_signals::{
    BoxFuture, Consumer, Delivery, MetricsReceiver, OtlpBatch, OtlpSignal, Receiver, Refused, SampleBatch,
};

use page::{Dropped, Known};

/// Families of which it is remembered what they are, at most. Beyond, all are forgotten and learned again.
const MOST_FAMILIES: usize = 100_000;

/// Hands samples on as metrics.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// Where the metrics go.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct PrometheusExports {
    /// Takes samples.
    pub receiver: MetricsReceiver,
}

/// The component.
pub struct Prometheus {
    context: Context,
    converter: Arc<Converter>,
}

/// The consumer behind the exported receiver.
struct Converter {
    component: String,
    outputs: Outputs,
    /// What was told of families, as that is told once and the samples come again and again.
    known: Mutex<Known>,
    dropped: CounterVec,
    ended: AtomicBool,
}

// === impl Prometheus ===

impl Component for Prometheus {
    const NAME: &'static str = "otelcol.receiver.prometheus";
    type Arguments = Arguments;
    type Exports = PrometheusExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let converter = Arc::new(Converter {
            component: context.local_id().to_owned(),
            outputs: Outputs::new(context, &arguments.output),
            known: Mutex::default(),
            dropped: context.metrics().counter_vec(
                "ferroalloy_otelcol_receiver_prometheus_dropped_samples_total",
                "Samples that are in no metric.",
                &["reason"],
            ),
            ended: AtomicBool::new(false),
        });
        context
            .publish(&PrometheusExports { receiver: MetricsReceiver(Receiver::new(context.id(), converter.clone())) });
        Ok(Prometheus { context: context.clone(), converter })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let outputs = self.converter.outputs.clone();
        Ok(Update::then(move || outputs.replace(&arguments.output)))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.converter.ended.store(false, Ordering::Relaxed);
        self.context.healthy("started");
        stop.stopped().await;
        self.converter.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

// === impl Converter ===

impl Consumer<SampleBatch> for Converter {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            if !self.outputs.take(OtlpSignal::Metrics) {
                return Ok(Delivery::dropped());
            }
            let (data, dropped) = {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() + batch.metadata.len() > MOST_FAMILIES {
                    known.clear();
                }
                let told = batch.metadata.iter().map(|metadata| &metadata.about);
                known.extend(told.map(|about| (about.family.clone(), about.clone())));
                page::metrics(&batch, &known)
            };
            let items = data.count() as u32;
            let delivery = if items == 0 {
                Delivery::dropped()
            } else {
                let payload = vec![data.encode().into()];
                self.outputs.consume(OtlpBatch { signal: OtlpSignal::Metrics, payload, items, origin: None }).await?
            };
            self.count(dropped);
            Ok(delivery)
        })
    }
}

impl Converter {
    fn count(&self, dropped: Dropped) {
        for (reason, count) in [
            ("no_job_or_instance", dropped.no_target),
            ("no_name", dropped.no_name),
            ("inconsistent_time", dropped.inconsistent_time),
            ("bad_bound", dropped.bad_bound),
            ("mixed_kinds", dropped.mixed_kinds),
            ("too_many_buckets", dropped.too_many_buckets),
        ] {
            if count > 0 {
                self.dropped.with(&[reason]).add(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
