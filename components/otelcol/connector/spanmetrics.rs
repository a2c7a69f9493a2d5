//! `otelcol.connector.spanmetrics`: how many requests there were, how many failed, how long they took, as metrics.

mod arguments;
mod counting;
mod dimensions;
mod sampled;
mod settings;
mod telling;

use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use sdk_component::{Context, Problem};
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{Data, Message as _, Metric, Resource};
use sdk_protocols_otlp::walk::{self, Any, Attribute};
use tokio::time::Instant;

pub use arguments::Arguments;
use counting::{Counted, Resources};
use sampled::Sampled;
use settings::{Place, Settings};
use telling::Telling;

use crate::aggregating::{Aggregating, Aggregation};
use crate::series::Now;
use crate::span::{Span, value};

/// `otelcol.connector.spanmetrics`.
pub type Component = Aggregating<SpanMetrics>;

/// The arguments, and what was counted.
pub struct SpanMetrics {
    settings: Settings,
    resources: Resources,
    /// With delta temporality: when series were told last, by resource and series.
    told_at: HashMap<Vec<u8>, u64>,
    sampled: Sampled,
}

// === impl SpanMetrics ===

impl Aggregation for SpanMetrics {
    const NAME: &'static str = "otelcol.connector.spanmetrics";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let overflowed = context.metrics().counter(
            "ferroalloy_otelcol_connector_spanmetrics_overflowed_total",
            "Times that something was counted in a series of all that are not told apart.",
        );
        Ok(SpanMetrics {
            settings: Settings::new(arguments)?,
            resources: Resources::new(overflowed),
            told_at: HashMap::new(),
            sampled: Sampled::default(),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn interval(&self) -> Duration {
        self.settings.interval
    }

    fn count(&mut self, payload: &[u8]) {
        let (settings, now) = (&self.settings, Now::read());
        for group in walk::resources(payload) {
            let attributes: Vec<Attribute<'_>> = group.attributes().collect();
            let Some(service) = value(attributes.iter().cloned(), "service.name") else { continue };
            let service = if let Any::Text(text) = service.get() { text } else { &[] };
            let resource = || Resource::decode(&Bytes::copy_from_slice(group.0.bytes(1)));
            let mut counting = self.resources.counting(settings, &attributes, now, resource);
            for scope_group in group.scopes() {
                let scope = scope_group.scope();
                let (name, version) = (scope.bytes(1), scope.bytes(2));
                let scope = settings.is_dimension(name).then_some((name, version));
                for record in scope_group.records() {
                    let span = &Span::read(record);
                    let times = self.sampled.count(span.trace_state);
                    counting.span(&Place { span, service, scope }, &attributes, times);
                }
            }
        }
    }

    fn metrics(&mut self, last: bool) -> Data<Metric> {
        let now = Now::read();
        let mut resources: Vec<(&Vec<u8>, &mut Counted)> = self.resources.by_key.iter_mut().collect();
        resources.sort_by_key(|(_, counted)| counted.number);
        let mut data = Data::default();
        for (resource, counted) in resources {
            let (settings, told_at) = (&self.settings, &mut self.told_at);
            data.resources.push(Telling { resource, settings, told_at, now, last }.tell(counted));
        }
        self.forget(now.instant);
        data
    }
}

impl SpanMetrics {
    /// After a flush: what has become too old or too much goes.
    fn forget(&mut self, now: Instant) {
        let (settings, resources) = (&self.settings, &mut self.resources.by_key);
        if settings.is_delta() {
            resources.clear();
        }
        if let Some(after) = settings.forget_resources {
            resources.retain(|_, counted| now.duration_since(counted.last_seen) < after);
        }
        keep_newest(resources, settings.most_resources, |counted| counted.last_seen);
        keep_newest(&mut self.told_at, settings.most_told_at, |time| *time);
        if let Some(after) = settings.forget_series {
            for counted in resources.values_mut() {
                counted.calls.expire(after, now);
                counted.durations.expire(after, now);
                counted.events.expire(after, now);
            }
        }
        self.resources.series = resources.values().map(Counted::series).sum();
    }
}

/// Removes what is oldest, until there are no more than `most`.
fn keep_newest<V, T: Ord>(map: &mut HashMap<Vec<u8>, V>, most: usize, time: impl Fn(&V) -> T) {
    let Some(excess) = map.len().checked_sub(most).filter(|excess| *excess > 0) else { return };
    let mut keys: Vec<(T, Vec<u8>)> = map.iter().map(|(key, value)| (time(value), key.clone())).collect();
    keys.sort_unstable();
    keys.iter().take(excess).for_each(|(_, key)| _ = map.remove(key));
}

#[cfg(test)]
mod tests;
