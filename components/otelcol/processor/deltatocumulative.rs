//! `otelcol.processor.deltatocumulative`: differences become running totals.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::{CounterVec, Gauge};
use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem, Stability, Stop};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    Buckets, CUMULATIVE, DELTA, Data, ExponentialHistogramPoint, HistogramPoint, Map, Message as _, Metric, MetricData,
    Number, NumberPoint,
};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::time::Instant;

use crate::exponential;
use crate::identity::{Digest, Key};
use crate::processing::{Processing, Processor, Site};

/// How often silent series are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Turns differences into running totals: each point tells what came since the series began.
///
/// Delta sums and histograms are converted, all else passes. A point that is not newer than the last one of its series, or
/// that began before the series did, is dropped and counted, and so is a new series beyond `max_streams`.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How long a series that gets no points is remembered; its next point begins it anew.
    #[attr(default = GoDuration::from_secs(300))]
    pub max_stale: GoDuration,
    /// How many series there may be; 0 is no limit.
    #[attr(default = i64::MAX)]
    pub max_streams: i64,
    /// Where to send what was converted, and what was not.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The arguments, and the totals.
pub struct DeltaToCumulative {
    max_stale: Duration,
    max_streams: usize,
    series: Mutex<HashMap<Digest, Series>>,
    points: CounterVec,
    tracked: Gauge,
}

/// The total of one series.
struct Series {
    start: u64,
    time: u64,
    total: Total,
    touched: Instant,
}

enum Total {
    Number(Number),
    Histogram(HistogramPoint),
    Exponential(Box<ExponentialHistogramPoint>),
}

/// A point that can be added up.
trait Point: Sized {
    fn attributes(&self) -> &Map;
    fn start(&mut self) -> &mut u64;
    fn time(&self) -> u64;
    /// What is kept of the first point of a series.
    fn total(&self) -> Total;
    /// Adds the point to the total; answers whether the series begins anew with it.
    fn add_to(&self, total: &mut Total) -> bool;
    /// Makes it tell the total.
    fn tell(&mut self, total: &Total);
}

/// `otelcol.processor.deltatocumulative`.
pub type Component = Processing<DeltaToCumulative>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_stale.0 <= 0 {
            let message = format!("max_stale must be a positive duration (got {})", self.max_stale);
            return Err(Invalid::field("max_stale", message));
        }
        if self.max_streams < 0 {
            let message = format!("max_streams must be a positive number or zero (got {})", self.max_streams);
            return Err(Invalid::field("max_streams", message));
        }
        Ok(())
    }
}

// === impl DeltaToCumulative ===

impl Processor for DeltaToCumulative {
    const NAME: &'static str = "otelcol.processor.deltatocumulative";
    const STABILITY: Stability = Stability::Experimental;
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Metrics];
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let gauge = |name: &str, help: &str| context.metrics().gauge_vec(name, help, &[]).with(&[]);
        let max_stale = arguments.max_stale.to_std().unwrap_or_default();
        let max_streams = match usize::try_from(arguments.max_streams) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        gauge("otelcol_deltatocumulative_streams_limit", "upper limit of tracked streams")
            .set(arguments.max_streams as f64);
        gauge(
            "otelcol_deltatocumulative_streams_max_stale_seconds",
            "duration after which streams inactive streams are dropped",
        )
        .set(max_stale.as_secs_f64());
        Ok(DeltaToCumulative {
            max_stale,
            max_streams,
            series: Mutex::default(),
            points: context.metrics().counter_vec(
                "otelcol_deltatocumulative_datapoints_total",
                "total number of datapoints processed. may have 'error' attribute, if processing failed",
                &["error"],
            ),
            tracked: gauge("otelcol_deltatocumulative_streams_tracked", "number of streams tracked"),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let mut series = self.series();
        let mut items = 0;
        for payload in &mut batch.payload {
            let mut data = Data::<Metric>::decode(payload);
            data.retain(|resource, scope, metric| {
                let key = Key::of_resource(resource).scope(scope).metric(metric);
                match &mut metric.data {
                    MetricData::Sum(data) if data.temporality == DELTA => {
                        data.temporality = CUMULATIVE;
                        self.convert(&mut series, &key, &mut data.points)
                    }
                    MetricData::Histogram(data) if data.temporality == DELTA => {
                        data.temporality = CUMULATIVE;
                        self.convert(&mut series, &key, &mut data.points)
                    }
                    MetricData::ExponentialHistogram(data) if data.temporality == DELTA => {
                        data.temporality = CUMULATIVE;
                        self.convert(&mut series, &key, &mut data.points)
                    }
                    _ => true,
                }
            });
            items += data.count();
            *payload = data.encode().into();
        }
        self.tracked.set_u64(series.len() as u64);
        batch.items = u32::try_from(items).unwrap_or(u32::MAX);
        Ok(batch)
    }

    async fn run(&self, _: &Site, stop: Stop) {
        let mut ticks = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let mut series = self.series();
                    series.retain(|_, series| series.touched.elapsed() <= self.max_stale);
                    self.tracked.set_u64(series.len() as u64);
                }
                () = stop.stopped() => return,
            }
        }
    }
}

impl DeltaToCumulative {
    fn series(&self) -> MutexGuard<'_, HashMap<Digest, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any point is left.
    fn convert<P: Point>(&self, series: &mut HashMap<Digest, Series>, metric: &Key, points: &mut Vec<P>) -> bool {
        points.retain_mut(|point| {
            let key = metric.clone().attributes(point.attributes()).digest();
            let full = series.len() >= self.max_streams;
            let error = match series.get_mut(&key) {
                Some(series) => series.take(point).err(),
                None if full => Some("limit"),
                None => {
                    let (start, time, total) = (*point.start(), point.time(), point.total());
                    series.insert(key, Series { start, time, total, touched: Instant::now() });
                    None
                }
            };
            self.points.with(&[error.unwrap_or_default()]).inc();
            error.is_none()
        });
        !points.is_empty()
    }
}

// === impl Series ===

impl Series {
    /// Adds a point, and makes it tell the total; or says why it cannot be.
    fn take<P: Point>(&mut self, point: &mut P) -> Result<(), &'static str> {
        self.touched = Instant::now();
        // The words are those that the Collector's metric has.
        if *point.start() < self.start {
            return Err("delta.ErrOlderStart");
        }
        if point.time() <= self.time {
            return Err("delta.ErrOutOfOrder");
        }
        if point.add_to(&mut self.total) {
            self.start = *point.start();
        }
        self.time = point.time();
        *point.start() = self.start;
        point.tell(&self.total);
        Ok(())
    }
}

// === impl Point ===

impl Point for NumberPoint {
    fn attributes(&self) -> &Map {
        &self.attributes
    }

    fn start(&mut self) -> &mut u64 {
        &mut self.start_time_unix_nano
    }

    fn time(&self) -> u64 {
        self.time_unix_nano
    }

    fn total(&self) -> Total {
        Total::Number(self.value)
    }

    fn add_to(&self, total: &mut Total) -> bool {
        let Total::Number(total) = total else { return false };
        *total = match (*total, self.value) {
            (_, Number::None) => *total,
            (Number::Double(total), Number::Double(value)) => Number::Double(total + value),
            (Number::Int(total), Number::Int(value)) => Number::Int(total.wrapping_add(value)),
            // Of another kind than before: what was before reads as 0, as for the Collector.
            (_, value) => value,
        };
        false
    }

    fn tell(&mut self, total: &Total) {
        if let Total::Number(total) = total {
            self.value = *total;
        }
    }
}

impl Point for HistogramPoint {
    fn attributes(&self) -> &Map {
        &self.attributes
    }

    fn start(&mut self) -> &mut u64 {
        &mut self.start_time_unix_nano
    }

    fn time(&self) -> u64 {
        self.time_unix_nano
    }

    /// Without what holds the payload.
    fn total(&self) -> Total {
        Total::Histogram(HistogramPoint {
            count: self.count,
            sum: self.sum,
            bucket_counts: self.bucket_counts.clone(),
            explicit_bounds: self.explicit_bounds.clone(),
            min: self.min,
            max: self.max,
            ..HistogramPoint::default()
        })
    }

    fn add_to(&self, total: &mut Total) -> bool {
        match total {
            Total::Histogram(total) if total.explicit_bounds == self.explicit_bounds => {
                for (total, count) in total.bucket_counts.iter_mut().zip(&self.bucket_counts) {
                    *total = total.saturating_add(*count);
                }
                total.count = total.count.saturating_add(self.count);
                total.sum = total.sum.zip(self.sum).map(|(a, b)| a + b);
                total.min = total.min.zip(self.min).map(|(a, b)| a.min(b));
                total.max = total.max.zip(self.max).map(|(a, b)| a.max(b));
                false
            }
            total => {
                *total = self.total();
                true
            }
        }
    }

    fn tell(&mut self, total: &Total) {
        let Total::Histogram(total) = total else { return };
        (self.count, self.sum, self.min, self.max) = (total.count, total.sum, total.min, total.max);
        self.bucket_counts.clone_from(&total.bucket_counts);
    }
}

impl Point for ExponentialHistogramPoint {
    fn attributes(&self) -> &Map {
        &self.attributes
    }

    fn start(&mut self) -> &mut u64 {
        &mut self.start_time_unix_nano
    }

    fn time(&self) -> u64 {
        self.time_unix_nano
    }

    fn total(&self) -> Total {
        let bare = |buckets: &Buckets| Buckets { unknown: Vec::new(), ..buckets.clone() };
        Total::Exponential(Box::new(ExponentialHistogramPoint {
            count: self.count,
            sum: self.sum,
            scale: self.scale,
            zero_count: self.zero_count,
            zero_threshold: self.zero_threshold,
            positive: bare(&self.positive),
            negative: bare(&self.negative),
            min: self.min,
            max: self.max,
            ..ExponentialHistogramPoint::default()
        }))
    }

    fn add_to(&self, total: &mut Total) -> bool {
        if let (Total::Exponential(total), Total::Exponential(point)) = (total, self.total()) {
            exponential::add(total, *point);
        }
        false
    }

    fn tell(&mut self, total: &Total) {
        let Total::Exponential(total) = total else { return };
        let (attributes, exemplars) = (std::mem::take(&mut self.attributes), std::mem::take(&mut self.exemplars));
        let (start_time_unix_nano, time_unix_nano, flags) =
            (self.start_time_unix_nano, self.time_unix_nano, self.flags);
        let unknown = std::mem::take(&mut self.unknown);
        *self = ExponentialHistogramPoint {
            attributes,
            exemplars,
            start_time_unix_nano,
            time_unix_nano,
            flags,
            unknown,
            ..(**total).clone()
        };
    }
}

#[cfg(test)]
mod tests;
