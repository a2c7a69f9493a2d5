//! `otelcol.processor.cumulativetodelta`: running totals become differences.

mod matching;
mod tracker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::{CounterVec, Gauge};
use base_stdx::GoDuration;
use base_sys::clock;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem, Stability, Stop};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    CUMULATIVE, DELTA, Data, Map, Message as _, Metric, MetricData, NO_RECORDED_VALUE, Number, Resource, Scope,
};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::time::Instant;

use matching::Filter;
pub use matching::Match;
use tracker::{Change, Tracker, Value};

use crate::identity::Key;
use crate::processing::{Processing, Processor, Site};

/// Turns running totals into differences: each point tells what came since the one before.
///
/// Monotonic cumulative sums and cumulative histograms are converted, all else passes. A series that starts anew (its total
/// falls) has a point without difference, which is dropped and counted.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How long a series that gets no points is remembered; 0 is for ever.
    #[attr(optional)]
    pub max_staleness: GoDuration,
    /// What becomes of the first point of a series: `auto` sends it if it started after the component did, `keep` sends it,
    /// `drop` does not.
    #[attr(default = "auto".to_owned())]
    pub initial_value: String,
    /// Converts only what matches.
    #[block(optional)]
    pub include: Match,
    /// Does not convert what matches.
    #[block(optional)]
    pub exclude: Match,
    /// Where to send what was converted, and what was not.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The arguments, and the last point of each series.
pub struct CumulativeToDelta {
    include: Filter,
    exclude: Filter,
    max_staleness: Duration,
    tracker: Mutex<Tracker>,
    converted: CounterVec,
    dropped: CounterVec,
    streams: Gauge,
}

/// What becomes of the first point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initial {
    Auto,
    Keep,
    Drop,
}

/// `otelcol.processor.cumulativetodelta`.
pub type Component = Processing<CumulativeToDelta>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_staleness.0 < 0 {
            let message = format!("max_staleness must be a non-negative duration (got {})", self.max_staleness);
            return Err(Invalid::field("max_staleness", message));
        }
        if !["auto", "keep", "drop"].contains(&&self.initial_value[..]) {
            let message = "initial_value must be one of \"auto\", \"keep\", \"drop\"";
            return Err(Invalid::field("initial_value", message));
        }
        for (field, given) in [("include", &self.include), ("exclude", &self.exclude)] {
            given.check().map_err(|message| Invalid::field(field, message))?;
        }
        Ok(())
    }
}

// === impl CumulativeToDelta ===

impl Processor for CumulativeToDelta {
    const NAME: &'static str = "otelcol.processor.cumulativetodelta";
    const STABILITY: Stability = Stability::PublicPreview;
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Metrics];
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let filter = |name: &'static str, given: &Match| Filter::new(given).map_err(|error| Problem::at(name, error));
        let initial = match &arguments.initial_value[..] {
            "keep" => Initial::Keep,
            "drop" => Initial::Drop,
            _ => Initial::Auto,
        };
        let metrics = context.metrics();
        Ok(CumulativeToDelta {
            include: filter("include", &arguments.include)?,
            exclude: filter("exclude", &arguments.exclude)?,
            max_staleness: arguments.max_staleness.to_std().unwrap_or_default(),
            tracker: Mutex::new(Tracker::new(initial, clock::now_ns().unsigned_abs())),
            converted: metrics.counter_vec(
                "otelcol_cumulativetodelta_datapoints_total",
                "Number of datapoints converted from cumulative to delta temporality.",
                &["metric_type"],
            ),
            dropped: metrics.counter_vec(
                "otelcol_cumulativetodelta_datapoints_dropped_total",
                "Number of datapoints dropped instead of being converted.",
                &["metric_type", "reason"],
            ),
            streams: metrics
                .gauge_vec(
                    "otelcol_cumulativetodelta_streams_tracked",
                    "Number of metric streams currently tracked in memory for cumulative-to-delta conversion.",
                    &[],
                )
                .with(&[]),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let mut tracker = self.tracker();
        let mut items = 0;
        for payload in &mut batch.payload {
            let mut data = Data::<Metric>::decode(payload);
            data.retain(|resource, scope, metric| {
                !self.is_converted(metric) || self.convert(&mut tracker, resource, scope, metric)
            });
            items += data.count();
            *payload = data.encode().into();
        }
        self.streams.set_u64(tracker.len() as u64);
        batch.items = u32::try_from(items).unwrap_or(u32::MAX);
        Ok(batch)
    }

    async fn run(&self, _: &Site, stop: Stop) {
        if self.max_staleness.is_zero() {
            return stop.stopped().await;
        }
        let mut ticks = tokio::time::interval_at(Instant::now() + self.max_staleness, self.max_staleness);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let age = i64::try_from(self.max_staleness.as_nanos()).unwrap_or(i64::MAX);
                    let mut tracker = self.tracker();
                    tracker.forget_before(clock::now_ns().saturating_sub(age).unsigned_abs());
                    self.streams.set_u64(tracker.len() as u64);
                }
                () = stop.stopped() => return,
            }
        }
    }
}

impl CumulativeToDelta {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_converted(&self, metric: &Metric) -> bool {
        let (kind, cumulative) = match &metric.data {
            MetricData::Sum(sum) => ("sum", sum.temporality == CUMULATIVE && sum.is_monotonic),
            MetricData::Histogram(histogram) => {
                ("histogram", histogram.temporality == CUMULATIVE && !histogram.points.is_empty())
            }
            MetricData::ExponentialHistogram(histogram) => {
                ("exponentialhistogram", histogram.temporality == CUMULATIVE && !histogram.points.is_empty())
            }
            _ => return false,
        };
        cumulative
            && self.include.includes(metric.name.as_bytes(), kind)
            && !self.exclude.excludes(metric.name.as_bytes(), kind)
    }

    /// Whether anything is left of the metric.
    fn convert(&self, tracker: &mut Tracker, resource: &Resource, scope: &Scope, metric: &mut Metric) -> bool {
        let base = Key::of_resource(resource).scope(scope).metric(metric);
        let key = |attributes: &Map, start: u64, kind: u8| {
            base.clone().attributes(attributes).number(start).number(kind.into()).digest()
        };
        let counted = |kind: &str, change: Option<Change>| match change {
            Some(Change::Delta(value, since)) => {
                self.converted.with(&[kind]).inc();
                Some((value, since))
            }
            Some(Change::None(reason)) => {
                self.dropped.with(&[kind, reason]).inc();
                None
            }
            None => None,
        };
        match &mut metric.data {
            MetricData::Sum(sum) => {
                sum.points.retain_mut(|point| {
                    if point.flags & NO_RECORDED_VALUE != 0 {
                        return false;
                    }
                    let (value, kind) = match point.value {
                        Number::Double(value) if value.is_nan() => return true,
                        Number::Double(value) => (Value::Double(value), 2),
                        Number::Int(value) => (Value::Int(value), 1),
                        Number::None => (Value::Int(0), 0),
                    };
                    let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                    let change = tracker.change(key(&point.attributes, start, kind), start, time, value);
                    let Some((value, since)) = counted("sum", Some(change)) else { return false };
                    point.start_time_unix_nano = since;
                    point.value = match value {
                        Value::Double(value) => Number::Double(value),
                        Value::Int(value) => Number::Int(value),
                        Value::Histogram(_) | Value::Exponential(_) => point.value,
                    };
                    true
                });
                sum.temporality = DELTA;
            }
            MetricData::Histogram(histogram) => {
                histogram.points.retain_mut(|point| {
                    if point.flags & NO_RECORDED_VALUE != 0 {
                        return false;
                    }
                    let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                    let value = Value::Histogram(tracker::Histogram::of(point));
                    let change = tracker.change(key(&point.attributes, start, 0), start, time, value);
                    let Some((Value::Histogram(delta), since)) = counted("histogram", Some(change)) else {
                        return false;
                    };
                    point.start_time_unix_nano = since;
                    delta.put(point);
                    true
                });
                histogram.temporality = DELTA;
            }
            MetricData::ExponentialHistogram(histogram) => {
                histogram.points.retain_mut(|point| {
                    if point.flags & NO_RECORDED_VALUE != 0 {
                        return false;
                    }
                    let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                    let value = Value::Exponential(tracker::Exponential::of(point));
                    let change = tracker.change(key(&point.attributes, start, 0), start, time, value);
                    let Some((Value::Exponential(delta), since)) = counted("exponential_histogram", Some(change))
                    else {
                        return false;
                    };
                    point.start_time_unix_nano = since;
                    delta.put(point);
                    true
                });
                histogram.temporality = DELTA;
            }
            MetricData::None | MetricData::Gauge(_) | MetricData::Summary(_) => {}
        }
        !metric.data.is_empty()
    }
}

#[cfg(test)]
mod tests;
