//! `otelcol.processor.groupbyattrs`: moves attributes from items to their resource, and merges what is the same then.

use base_metrics::{Counter, Histogram};
use language_eval::Block;
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    Data, Item, LogRecord, Map, Message as _, Metric, MetricData, ResourceGroup, ScopeGroup, Span,
};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::groups::Groups;
use crate::identity::Key;
use crate::processing::{Processing, Processor};

/// Moves attributes from spans, log records and data points to their resource, and merges what is the same then.
///
/// Without `keys` it only merges: requests with many small groups become fewer large ones.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// The attributes to move; what an item says counts more than what its resource says.
    #[attr]
    pub keys: Option<Vec<String>>,
    /// Where to send what was grouped.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The arguments, ready to be applied.
pub struct GroupByAttrs {
    keys: Vec<String>,
    /// By signal.
    counters: [Counters; 3],
}

struct Counters {
    grouped: Counter,
    non_grouped: Counter,
    groups: Histogram,
}

/// `otelcol.processor.groupbyattrs`.
pub type Component = Processing<GroupByAttrs>;

/// Bounds of the numbers of groups: those that the Collector's library takes when nobody says.
const GROUPS: &[f64] = &[0., 5., 10., 25., 50., 75., 100., 250., 500., 750., 1000., 2500., 5000., 7500., 10000.];

// === impl GroupByAttrs ===

impl Processor for GroupByAttrs {
    const NAME: &'static str = "otelcol.processor.groupbyattrs";
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        let counters = |many: &str, one: &str| {
            let counter = |what: &str, help: &str| {
                let name = format!("otelcol_processor_groupbyattrs_num_{what}_{many}_total");
                context.metrics().counter_vec(&name, &format!("Number of {many} that {help}"), &[]).with(&[])
            };
            let groups = format!("otelcol_processor_groupbyattrs_{one}_groups");
            let help = format!("Distribution of groups extracted for {many}");
            Counters {
                grouped: counter("grouped", "had attributes grouped"),
                non_grouped: counter("non_grouped", "did not have attributes grouped"),
                groups: context.metrics().histogram_vec(&groups, &help, GROUPS, &[]).with(&[]),
            }
        };
        // In the order of `Signal`.
        let counters = [counters("spans", "span"), counters("metrics", "metric"), counters("logs", "log")];
        Ok(GroupByAttrs { keys: arguments.keys.clone().unwrap_or_default(), counters })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        // Groups of several payloads may be the same.
        let OtlpBatch { signal, items, .. } = batch;
        let origin = batch.origin.clone();
        let whole = batch.into_bytes();
        let grouped = match signal {
            OtlpSignal::Traces => self.group::<Span>(&whole, |groups, mut span| {
                let moved = self.take(signal, &mut span.attributes);
                groups.scope(moved).items.push(span);
            }),
            OtlpSignal::Logs => self.group::<LogRecord>(&whole, |groups, mut record| {
                let moved = self.take(signal, &mut record.attributes);
                groups.scope(moved).items.push(record);
            }),
            OtlpSignal::Metrics => self.group::<Metric>(&whole, |groups, metric| self.group_metric(groups, metric)),
        };
        Ok(OtlpBatch { signal, payload: vec![grouped.into()], items, origin })
    }
}

impl GroupByAttrs {
    fn group<I: Item>(&self, whole: &bytes::Bytes, put: impl Fn(&mut Groups<I>, I)) -> Vec<u8> {
        let data = Data::<I>::decode(whole);
        let mut groups = Groups::default();
        for group in data.resources {
            let ResourceGroup { resource, scopes, schema_url, unknown } = group;
            let bare = ResourceGroup { resource, scopes: Vec::new(), schema_url, unknown };
            for scope in scopes {
                let ScopeGroup { scope, items, schema_url, unknown } = scope;
                groups.enter(&bare, ScopeGroup { scope, items: Vec::new(), schema_url, unknown });
                items.into_iter().for_each(|item| put(&mut groups, item));
            }
        }
        self.counters[I::SIGNAL as usize].groups.observe(groups.resources.len() as f64);
        Data { resources: groups.resources, unknown: data.unknown }.encode()
    }

    /// Takes the attributes out that are to be moved.
    fn take(&self, signal: OtlpSignal, attributes: &mut Map) -> Map {
        let mut moved = Map::default();
        for key in &self.keys {
            if let Some(value) = attributes.remove(key) {
                moved.set(key.as_str(), value);
            }
        }
        let counters = &self.counters[signal as usize];
        if moved.0.is_empty() {
            counters.non_grouped.inc()
        } else {
            counters.grouped.inc()
        }
        moved
    }

    /// Each point finds its own group, and there the metric that it belongs to.
    fn group_metric(&self, groups: &mut Groups<Metric>, mut bare: Metric) {
        let key = Key::default().metric(&bare);
        macro_rules! group {
            ($variant:ident) => {{
                let MetricData::$variant(data) = &mut bare.data else { return };
                for mut point in std::mem::take(&mut data.points) {
                    let moved = self.take(OtlpSignal::Metrics, &mut point.attributes);
                    let place = groups.metric(moved, &key, &bare);
                    if let MetricData::$variant(data) = &mut groups.metric_at(place).data {
                        data.points.push(point);
                    }
                }
            }};
        }
        match bare.data {
            // A metric without points is in no group.
            MetricData::None => {}
            MetricData::Gauge(_) => group!(Gauge),
            MetricData::Sum(_) => group!(Sum),
            MetricData::Histogram(_) => group!(Histogram),
            MetricData::ExponentialHistogram(_) => group!(ExponentialHistogram),
            MetricData::Summary(_) => group!(Summary),
        }
    }
}

#[cfg(test)]
mod tests;
