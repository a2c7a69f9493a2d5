//! A batch of samples, put together to metrics by target, scope and family.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use sdk_histogram::NativeHistogram;
use sdk_labels::Labels;
use sdk_protocols_otlp::model::{Data, Map, Metric, Resource, ResourceGroup, Scope, ScopeGroup};
use sdk_signals::{About, HistogramSample, SampleBatch, is_stale};

use super::family::{Family, Unfit, trimmed};
use super::{native, resource};

/// What is known of families, by name.
pub(super) type Known = HashMap<Box<str>, Arc<About>>;

/// Samples that are in no metric, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Without `job` or `instance`: the resource would be nobody's.
    pub(super) no_target: u64,
    pub(super) no_name: u64,
    /// Of another time than the rest of their point.
    pub(super) inconsistent_time: u64,
    /// `le` or `quantile` is no number.
    pub(super) bad_bound: u64,
    /// Native histograms of a family whose other ones have bounds of another kind.
    pub(super) mixed_kinds: u64,
    /// Native histograms of more buckets than a point may have.
    pub(super) too_many_buckets: u64,
}

/// What is told of one target.
struct Target {
    resource: Resource,
    scopes: Vec<Families>,
    by_scope: HashMap<ScopeId, usize>,
    scope_attributes: HashMap<ScopeId, Map>,
}

/// The instrumentation scope that labels name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct ScopeId {
    name: String,
    version: String,
    schema_url: String,
}

/// The families of one scope.
#[derive(Default)]
struct Families {
    scope: ScopeId,
    list: Vec<Family>,
    by_name: HashMap<String, usize>,
    /// Of native histograms, which share their name with what else is told of a family, and no metric.
    native_by_name: HashMap<String, usize>,
}

/// Families that every scrape adds; nobody tells what they are.
const OF_SCRAPES: [(&str, &str, &str); 5] = [
    ("up", "", "The scraping was successful"),
    ("scrape_duration_seconds", "seconds", "Duration of the scrape"),
    ("scrape_samples_scraped", "", "The number of samples the target exposed"),
    ("scrape_series_added", "", "The approximate number of new series in this scrape"),
    (
        "scrape_samples_post_metric_relabeling",
        "",
        "The number of samples remaining after metric relabeling was applied",
    ),
];

/// The metrics of a batch.
pub(super) fn metrics(batch: &SampleBatch, known: &Known) -> (Data<Metric>, Dropped) {
    let (mut targets, mut places, mut dropped) = (Vec::new(), HashMap::new(), Dropped::default());
    for (row, (series, time, value)) in batch.rows().enumerate() {
        let (labels, start) = (series.labels(), batch.starts.get(row).copied().unwrap_or_default());
        let Some(target) = target(&mut targets, &mut places, labels) else {
            dropped.no_target += 1;
            continue;
        };
        match labels.get("__name__").unwrap_or_default() {
            "" => dropped.no_name += 1,
            "target_info" => told(labels).for_each(|(name, value)| target.resource.attributes.set(name, value)),
            "otel_scope_info" => target.add_scope_info(labels),
            name if is_stale(value) && is_native(name, known) => {
                let ended = Arc::new(native::ended());
                let family = target.families(labels).native_family(name, known, &ended);
                dropped.count(family.add_native(labels, start, time, &ended));
            }
            name => dropped.count(target.families(labels).family(name, known).add(name, labels, start, time, value)),
        }
    }
    for HistogramSample { series, timestamp, start, value } in &batch.histograms {
        let labels = series.labels();
        let name = labels.get("__name__").unwrap_or_default();
        match target(&mut targets, &mut places, labels) {
            None => dropped.no_target += 1,
            Some(_) if name.is_empty() => dropped.no_name += 1,
            Some(target) => {
                let family = target.families(labels).native_family(name, known, value);
                dropped.count(family.add_native(labels, *start, *timestamp, value));
            }
        }
    }
    for exemplar in &batch.exemplars {
        let labels = exemplar.series.labels();
        let name = labels.get("__name__").unwrap_or_default();
        if let Some(target) = target(&mut targets, &mut places, labels) {
            target.families(labels).family_with_point(name, known, labels).add_exemplar(labels, exemplar);
        }
    }
    let resources = targets.into_iter().filter_map(Target::into_group).collect();
    (Data { resources, ..Data::default() }, dropped)
}

/// Whether a series that only says that it has ended was one of native histograms: what is not one has a suffix.
fn is_native(name: &str, known: &Known) -> bool {
    known.get(name).is_some_and(|about| &*about.kind == "histogram")
}

fn target<'t>(
    targets: &'t mut Vec<Target>,
    places: &mut HashMap<(String, String), usize>,
    labels: &Labels,
) -> Option<&'t mut Target> {
    let [job, instance] = ["job", "instance"].map(|name| labels.get(name).unwrap_or_default());
    if job.is_empty() || instance.is_empty() {
        return None;
    }
    let place = *places.entry((job.to_owned(), instance.to_owned())).or_insert_with(|| {
        targets.push(Target {
            resource: resource::of_target(job, instance),
            scopes: Vec::new(),
            by_scope: HashMap::new(),
            scope_attributes: HashMap::new(),
        });
        targets.len() - 1
    });
    targets.get_mut(place)
}

/// The labels of an information series that do not say whose it is.
fn told(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(name, _)| !["job", "instance", "__name__"].contains(name))
}

// === impl Target ===

impl Target {
    fn families(&mut self, labels: &Labels) -> &mut Families {
        let scope = ScopeId::of(labels);
        let place = *self.by_scope.entry(scope.clone()).or_insert_with(|| {
            self.scopes.push(Families { scope, ..Families::default() });
            self.scopes.len() - 1
        });
        &mut self.scopes[place]
    }

    fn add_scope_info(&mut self, labels: &Labels) {
        let mut attributes = Map::default();
        for (name, value) in told(labels).filter(|(name, _)| !ScopeId::NAMES.contains(name)) {
            attributes.set(name, value);
        }
        self.scope_attributes.insert(ScopeId::of(labels), attributes);
    }

    fn into_group(mut self) -> Option<ResourceGroup<Metric>> {
        let scopes: Vec<_> = self
            .scopes
            .into_iter()
            .filter_map(|families| {
                let items: Vec<Metric> = families.list.into_iter().filter_map(Family::into_metric).collect();
                let attributes = self.scope_attributes.remove(&families.scope).unwrap_or_default();
                (!items.is_empty()).then(|| families.scope.group(items, attributes))
            })
            .collect();
        let group = ResourceGroup { resource: self.resource, scopes, ..ResourceGroup::default() };
        (!group.scopes.is_empty()).then_some(group)
    }
}

// === impl ScopeId ===

impl ScopeId {
    const NAMES: [&str; 3] = ["otel_scope_name", "otel_scope_version", "otel_scope_schema_url"];

    fn of(labels: &Labels) -> ScopeId {
        let [name, version, schema_url] = Self::NAMES.map(|name| labels.get(name).unwrap_or_default().to_owned());
        ScopeId { name, version, schema_url }
    }

    fn group(self, items: Vec<Metric>, attributes: Map) -> ScopeGroup<Metric> {
        let scope = if self == ScopeId::default() {
            let version = concat!("v", env!("CARGO_PKG_VERSION"));
            Scope { name: "otelcol/prometheusreceiver".into(), version: version.into(), ..Scope::default() }
        } else {
            Scope { name: self.name.into(), version: self.version.into(), attributes, ..Scope::default() }
        };
        ScopeGroup { scope, items, schema_url: self.schema_url.into(), ..ScopeGroup::default() }
    }
}

// === impl Dropped ===

impl Dropped {
    fn count(&mut self, added: Result<(), Unfit>) {
        match added {
            Ok(()) => {}
            Err(Unfit::Time) => self.inconsistent_time += 1,
            Err(Unfit::Bound) => self.bad_bound += 1,
            Err(Unfit::Kind) => self.mixed_kinds += 1,
            Err(Unfit::TooWide) => self.too_many_buckets += 1,
        }
    }
}

// === impl Families ===

impl Families {
    /// The family of the native histograms of a series.
    fn native_family(&mut self, name: &str, known: &Known, first: &NativeHistogram) -> &mut Family {
        let place = self.native_place(name, known).unwrap_or_else(|| {
            let family = new_family(name, known);
            let family = Family::native(family.name, &family.about, first);
            self.native_by_name.insert(family.name.clone(), self.list.len());
            self.list.push(family);
            self.list.len() - 1
        });
        &mut self.list[place]
    }

    fn native_place(&self, name: &str, known: &Known) -> Option<usize> {
        let by_name = |name: &str| self.native_by_name.get(name).copied();
        by_name(name).or_else(|| {
            let family = if known.contains_key(name) { name } else { trimmed(name) };
            by_name(family).filter(|place| self.list[*place].includes(name))
        })
    }

    /// The family of a series that has a point here, if it has.
    fn family_with_point(&mut self, name: &str, known: &Known, labels: &Labels) -> &mut Family {
        match self.native_place(name, known).filter(|place| self.list[*place].has(labels)) {
            Some(place) => &mut self.list[place],
            None => self.family(name, known),
        }
    }

    /// The family of a series: the one of its name, or the one that its name without suffix names.
    fn family(&mut self, name: &str, known: &Known) -> &mut Family {
        // A counter's start belongs to the counter; Alloy makes a metric of its own of it, whose value is always 0.
        let counter =
            name.strip_suffix("_created").filter(|family| is_counter(known.get(*family).map(|about| &**about)));
        let name = &*counter.map_or(Cow::Borrowed(name), |family| Cow::Owned(format!("{family}_total")));
        let found = self.by_name.get(name).copied().or_else(|| {
            let family = if known.contains_key(name) { name } else { trimmed(name) };
            self.by_name.get(family).copied().filter(|place| self.list[*place].includes(name))
        });
        let place = found.unwrap_or_else(|| {
            let family = new_family(name, known);
            self.by_name.insert(family.name.clone(), self.list.len());
            self.list.push(family);
            self.list.len() - 1
        });
        &mut self.list[place]
    }
}

fn new_family(name: &str, known: &Known) -> Family {
    let about = |family: &str, kind: &str, unit: &str, help: &str| {
        Arc::new(About { family: family.into(), kind: kind.into(), unit: unit.into(), help: help.into() })
    };
    if let Some((name, unit, help)) = OF_SCRAPES.iter().find(|(known, ..)| *known == name) {
        return Family::new((*name).to_owned(), about(name, "gauge", unit, help));
    }
    if let Some(known) = known.get(name) {
        return Family::new(name.to_owned(), known.clone());
    }
    let family = trimmed(name);
    match known.get(family) {
        // OpenMetrics names a counter without the suffix that its series have.
        Some(known) if is_counter(Some(&**known)) => Family::new(name.to_owned(), known.clone()),
        Some(known) => Family::new(family.to_owned(), known.clone()),
        None => Family::new(name.to_owned(), about(name, "unknown", "", "")),
    }
}

fn is_counter(about: Option<&About>) -> bool {
    about.is_some_and(|about| &*about.kind == "counter")
}
