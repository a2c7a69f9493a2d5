//! `otelcol.exporter.prometheus`: hands metrics of OTLP on as samples of Prometheus.

mod convert;
mod memory;
mod names;
mod native;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Block, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_signals::{
    BoxFuture, Consumer, Delivery, Forward, MetricsReceiver, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused,
};
use tokio::sync::watch;

use convert::{Dropped, Options, convert};
use memory::Memory;

/// Series that were not seen for so long are forgotten.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Hands metrics on as samples.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Adds a series `target_info` with the attributes of each resource.
    #[attr(default = true)]
    pub include_target_info: bool,
    /// Adds a series `otel_scope_info` with the attributes of each instrumentation scope.
    #[attr(default = false)]
    pub include_scope_info: bool,
    /// Accepted and without effect, as in Alloy: no series gets labels of its scope.
    #[attr(default = true)]
    pub include_scope_labels: bool,
    /// How often series are forgotten that were not seen for five minutes.
    #[attr(default = GoDuration::from_secs(5 * 60))]
    pub gc_frequency: GoDuration,
    /// Where the samples go.
    #[attr]
    pub forward_to: Vec<MetricsReceiver>,
    /// Adds units and kinds to the names of metrics.
    #[attr(default = true)]
    pub add_metric_suffixes: bool,
    /// Gives the attributes of the resource to all its series as labels.
    #[attr(default = false)]
    pub resource_to_telemetry_conversion: bool,
    /// Hands on what metrics are, beside their samples.
    #[attr(default = false)]
    pub honor_metadata: bool,
    /// Makes native histograms of histograms with explicit bounds.
    #[attr(default = false)]
    pub convert_classic_histograms_to_nhcb: bool,
    /// Leaves the attributes that name the service in `target_info`, beside `job` and `instance`.
    #[attr(default = false)]
    pub keep_identifying_resource_attributes: bool,
    /// Adds a zero at the start of each series that counts.
    #[attr(default = false)]
    pub start_timestamp_zero_ingestion: bool,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct PrometheusExports {
    /// Takes metrics.
    pub input: OtelConsumer,
}

/// The component.
pub struct Prometheus {
    context: Context,
    converter: Arc<Converter>,
    gc_frequency: watch::Sender<Duration>,
}

/// The consumer behind the exported input.
struct Converter {
    component: String,
    forward: Forward,
    state: Mutex<State>,
    delta: Counter,
    out_of_order: Counter,
    unfit: Counter,
    ended: AtomicBool,
}

struct State {
    options: Options,
    memory: Memory,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.gc_frequency <= GoDuration::ZERO {
            return Err(Invalid::field("gc_frequency", "gc_frequency must be greater than 0"));
        }
        Ok(())
    }
}

impl Arguments {
    fn options(&self, context: &Context) -> Result<Options, Problem> {
        for (used, argument) in [
            (self.start_timestamp_zero_ingestion, "start_timestamp_zero_ingestion"),
            (self.convert_classic_histograms_to_nhcb, "convert_classic_histograms_to_nhcb"),
        ] {
            if used {
                context.require(Stability::Experimental, argument)?;
            }
        }
        Ok(Options {
            target_info: self.include_target_info,
            scope_info: self.include_scope_info,
            suffixes: self.add_metric_suffixes,
            resource_labels: self.resource_to_telemetry_conversion,
            metadata: self.honor_metadata,
            keep_identifying: self.keep_identifying_resource_attributes,
            zero_at_start: self.start_timestamp_zero_ingestion,
            custom_buckets: self.convert_classic_histograms_to_nhcb,
        })
    }

    fn gc_frequency(&self) -> Duration {
        self.gc_frequency.to_std().unwrap_or(STALE_AFTER)
    }
}

// === impl Prometheus ===

impl Component for Prometheus {
    const NAME: &'static str = "otelcol.exporter.prometheus";
    type Arguments = Arguments;
    type Exports = PrometheusExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let options = arguments.options(context)?;
        let metrics = context.metrics();
        let dropped = metrics.counter_vec(
            "ferroalloy_otelcol_exporter_prometheus_dropped_points_total",
            "Data points that became no sample.",
            &["reason"],
        );
        let gc_frequency = watch::Sender::new(arguments.gc_frequency());
        let converter = Arc::new(Converter {
            component: context.local_id().to_owned(),
            forward: Forward::new(metrics, arguments.forward_to),
            state: Mutex::new(State { options, memory: Memory::default() }),
            delta: dropped.with(&["not_cumulative"]),
            out_of_order: dropped.with(&["out_of_order"]),
            unfit: dropped.with(&["unfit_histogram"]),
            ended: AtomicBool::new(false),
        });
        let held = Arc::downgrade(&converter);
        metrics.collect(Box::new(move |page| {
            let series = held.upgrade().map_or(0, |converter| converter.lock().memory.len());
            let name = "ferroalloy_otelcol_exporter_prometheus_series";
            page.gauge(name, "Series remembered, to know older points and to build labels once.", series as f64);
        }));
        context.publish(&PrometheusExports { input: OtelConsumer(Receiver::new(context.id(), converter.clone())) });
        Ok(Prometheus { context: context.clone(), converter, gc_frequency })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let options = arguments.options(&self.context)?;
        let (converter, gc_frequency) = (self.converter.clone(), self.gc_frequency.clone());
        Ok(Update::then(move || {
            gc_frequency.send_replace(arguments.gc_frequency());
            let mut state = converter.lock();
            state.memory.forget_metadata();
            if state.options != options {
                state.memory.forget_labels();
                state.options = options;
            }
            drop(state);
            converter.forward.replace(arguments.forward_to);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.converter.ended.store(false, Ordering::Relaxed);
        self.context.healthy("started");
        let mut frequency = self.gc_frequency.subscribe();
        loop {
            let pause = *frequency.borrow_and_update();
            tokio::select! {
                () = stop.stopped() => break,
                _ = frequency.changed() => {}
                () = tokio::time::sleep(pause) => {
                    self.converter.lock().memory.forget(STALE_AFTER, tokio::time::Instant::now());
                }
            }
        }
        self.converter.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

// === impl Converter ===

impl Consumer<OtlpBatch> for Converter {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.signal != OtlpSignal::Metrics {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let converted = {
                let State { options, memory } = &mut *self.lock();
                convert(*options, memory, &batch.payload)
            };
            let samples = converted.batch;
            let taken = if samples.is_empty() { Ok(Delivery::dropped()) } else { self.forward.consume(samples).await };
            match &taken {
                Ok(_) => self.count(converted.dropped),
                // The same points come again, and what they are is then news once more.
                Err(_) => self.lock().memory.forget_metadata(),
            }
            taken
        })
    }
}

impl Converter {
    fn count(&self, dropped: Dropped) {
        self.delta.add(dropped.delta);
        self.out_of_order.add(dropped.out_of_order);
        self.unfit.add(dropped.unfit);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic leaves half remembered is remembered again by the next payload.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
