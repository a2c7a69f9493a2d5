//! `otelcol.processor.groupbyattrs`: moves attributes from items to their resource, and merges what is the same then.

use std::collections::HashMap;

use base_metrics::{Counter, Histogram};
use language_eval::Block;
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{
    Data, Item, LogRecord, Map, Message as _, Metric, MetricData, ResourceGroup, ScopeGroup, Span,
};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use crate::identity::Key;
use crate::processing::{Processing, Processor};

/// Moves attributes from spans, log records and data points to their resource, and merges what is the same then.
///
/// Without `keys` it only merges: requests with many small groups become fewer large ones.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// The attributes to move; what an item says counts more than what its resource says.
    #[attr(optional)]
    pub keys: Vec<String>,
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
        Ok(GroupByAttrs { keys: arguments.keys.clone(), counters })
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
                    let metric = groups.metric(moved, &key, &bare);
                    if let MetricData::$variant(data) = &mut metric.data {
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

// === groups ===

/// What has been grouped, and the way to it.
struct Groups<I: Item> {
    resources: Vec<ResourceGroup<I>>,
    by_resource: HashMap<Key, usize>,
    by_scope: HashMap<(usize, Key), usize>,
    by_metric: HashMap<(usize, usize, Key), usize>,
    /// The groups that an item comes from, without items, ...
    resource: ResourceGroup<I>,
    scope: ScopeGroup<I>,
    /// ... and the places where its neighbours have gone, by the attributes that were moved.
    places: HashMap<Key, (usize, usize)>,
}

impl<I: Item> Default for Groups<I> {
    fn default() -> Self {
        Groups {
            resources: Vec::new(),
            by_resource: HashMap::new(),
            by_scope: HashMap::new(),
            by_metric: HashMap::new(),
            resource: ResourceGroup::default(),
            scope: ScopeGroup::default(),
            places: HashMap::new(),
        }
    }
}

impl<I: Item> Groups<I> {
    fn enter(&mut self, resource: &ResourceGroup<I>, scope: ScopeGroup<I>) {
        self.resource = resource.clone();
        self.scope = scope;
        self.places.clear();
    }

    /// Where an item of the group that was entered goes, with these attributes moved to its resource.
    fn place(&mut self, moved: Map) -> (usize, usize) {
        let key = Key::default().attributes(&moved);
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let mut group = self.resource.clone();
        for pair in moved.0 {
            group.resource.attributes.set(pair.key, pair.value.unwrap_or_default());
        }
        let resource = Key::of_resource(&group.resource).text(&group.schema_url);
        let at = *self.by_resource.entry(resource).or_insert(self.resources.len());
        if at == self.resources.len() {
            self.resources.push(group);
        }
        let scope = Key::default().scope(&self.scope.scope).text(&self.scope.schema_url);
        let scopes = &mut self.resources[at].scopes;
        let scope = *self.by_scope.entry((at, scope)).or_insert(scopes.len());
        if scope == scopes.len() {
            scopes.push(self.scope.clone());
        }
        self.places.insert(key, (at, scope));
        (at, scope)
    }

    fn scope(&mut self, moved: Map) -> &mut ScopeGroup<I> {
        let (resource, scope) = self.place(moved);
        &mut self.resources[resource].scopes[scope]
    }
}

impl Groups<Metric> {
    /// The metric for a point; made out of `bare` when there is none yet.
    fn metric(&mut self, moved: Map, key: &Key, bare: &Metric) -> &mut Metric {
        let (resource, scope) = self.place(moved);
        let items = &mut self.resources[resource].scopes[scope].items;
        let at = *self.by_metric.entry((resource, scope, key.clone())).or_insert(items.len());
        if at == items.len() {
            items.push(bare.clone());
        }
        &mut items[at]
    }
}

#[cfg(test)]
mod tests;
