//! `otelcol.processor.interval`: sends the newest point of each series, once in an interval.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem, Stability, Stop};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{CUMULATIVE, Data, Map, Message, Metric, MetricData, ResourceGroup, ScopeGroup};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};
use tokio::time::{Instant, MissedTickBehavior};

use crate::groups::{Groups, MetricPlace};
use crate::identity::Key;
use crate::processing::{Processing, Processor, Site};

/// Sends the newest point of each series, once in an interval.
///
/// Of monotonic cumulative sums, cumulative histograms, gauges and summaries only the newest point is kept, and sent at the
/// end of the interval; everything else passes at once.
///
/// Data counts as delivered once it is kept: what is held here is lost when the process is killed. When the component stops
/// or gets new arguments it is sent. While the next component refuses it, it is offered again, and new data is refused. As
/// many points are held as there are series, each with the bytes of its own.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How often to send.
    #[attr(default = GoDuration::from_secs(60))]
    pub interval: GoDuration,
    /// What passes at once all the same.
    #[block(optional)]
    pub passthrough: Passthrough,
    /// Where to send the points.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What passes at once all the same.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Passthrough {
    /// Gauges.
    #[attr(optional)]
    pub gauge: bool,
    /// Summaries.
    #[attr(optional)]
    pub summary: bool,
}

/// The arguments, and the points of this interval.
pub struct Interval {
    interval: Duration,
    passthrough: Passthrough,
    /// `None` once all is sent at the end.
    held: Mutex<Option<Held>>,
}

/// The newest point of each series.
#[derive(Default)]
struct Held {
    groups: Groups<Metric>,
    points: HashMap<(MetricPlace, Key), usize>,
}

/// `otelcol.processor.interval`.
pub type Component = Processing<Interval>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        match self.interval.0 {
            1.. => Ok(()),
            _ => Err(Invalid::field("interval", "interval must be greater than 0")),
        }
    }
}

// === impl Interval ===

impl Processor for Interval {
    const NAME: &'static str = "otelcol.processor.interval";
    const STABILITY: Stability = Stability::Experimental;
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Metrics];
    type Arguments = Arguments;

    fn new(_: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        Ok(Interval {
            interval: arguments.interval.to_std().unwrap_or_default(),
            passthrough: arguments.passthrough.clone(),
            held: Mutex::new(Some(Held::default())),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        let mut held = self.held();
        let Some(held) = held.as_mut() else {
            return Err(Refused::retryable("the processor is stopping or gets new arguments"));
        };
        let mut items = 0;
        for payload in &mut batch.payload {
            let mut passing = Data::<Metric>::decode(payload);
            for group in &mut passing.resources {
                let bare = ResourceGroup { scopes: Vec::new(), ..group.clone() }.owned();
                for scope in &mut group.scopes {
                    held.groups.enter(&bare, ScopeGroup { items: Vec::new(), ..scope.clone() }.owned());
                    scope.items.retain_mut(|metric| {
                        let holds = self.is_held(&metric.data);
                        if holds {
                            held.take(metric);
                        }
                        !holds
                    });
                }
            }
            passing.retain(|_, _, _| true);
            items += passing.count();
            *payload = passing.encode().into();
        }
        batch.items = u32::try_from(items).unwrap_or(u32::MAX);
        Ok(batch)
    }

    async fn run(&self, site: &Site, stop: Stop) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopped = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.stopped() => true,
            };
            let taken = if stopped { self.held().take() } else { self.held().as_mut().map(std::mem::take) };
            site.insist(taken.and_then(Held::into_batch).into_iter().collect()).await;
            if stopped {
                return;
            }
        }
    }

    fn close(&self) -> u64 {
        let left = self.held().take().and_then(Held::into_batch);
        left.map_or(0, |batch| batch.items.into())
    }
}

impl Interval {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_held(&self, data: &MetricData) -> bool {
        match data {
            MetricData::None => false,
            MetricData::Gauge(_) => !self.passthrough.gauge,
            MetricData::Summary(_) => !self.passthrough.summary,
            MetricData::Sum(sum) => sum.is_monotonic && sum.temporality == CUMULATIVE,
            MetricData::Histogram(histogram) => histogram.temporality == CUMULATIVE,
            MetricData::ExponentialHistogram(histogram) => histogram.temporality == CUMULATIVE,
        }
    }
}

// === impl Held ===

impl Held {
    /// Keeps what is newer of the points of a metric of the group that was entered.
    fn take(&mut self, metric: &mut Metric) {
        let key = Key::default().metric(metric);
        macro_rules! take {
            ($variant:ident) => {{
                let MetricData::$variant(data) = &mut metric.data else { return };
                let points = std::mem::take(&mut data.points);
                let place = self.groups.metric(Map::default(), &key, &metric.owned());
                let MetricData::$variant(kept) = &mut self.groups.metric_at(place).data else { return };
                for point in points {
                    let series = Key::default().attributes(&point.attributes);
                    let at = *self.points.entry((place, series)).or_insert(kept.points.len());
                    match kept.points.get_mut(at) {
                        None => kept.points.push(point.owned()),
                        Some(old) if old.time_unix_nano < point.time_unix_nano => *old = point.owned(),
                        Some(_) => {}
                    }
                }
            }};
        }
        match metric.data {
            MetricData::None => {}
            MetricData::Gauge(_) => take!(Gauge),
            MetricData::Sum(_) => take!(Sum),
            MetricData::Histogram(_) => take!(Histogram),
            MetricData::ExponentialHistogram(_) => take!(ExponentialHistogram),
            MetricData::Summary(_) => take!(Summary),
        }
    }

    /// `None` when there is nothing.
    fn into_batch(self) -> Option<OtlpBatch> {
        let data = Data { resources: self.groups.resources, unknown: Vec::new() };
        let items = u32::try_from(data.count()).unwrap_or(u32::MAX);
        let batch =
            || OtlpBatch { signal: OtlpSignal::Metrics, payload: vec![data.encode().into()], items, origin: None };
        (items > 0).then(batch)
    }
}

#[cfg(test)]
mod tests;
