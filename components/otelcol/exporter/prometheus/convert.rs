//! From data points to samples.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use sdk_histogram::NativeHistogram;
use sdk_labels::{Labels, LabelsBuilder, METRIC_NAME};
use sdk_otel::describe::hex;
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{
    Attribute, Message, PointKind, ResourceGroup, doubles, fixed64s, metric_data, resources,
};
use sdk_protocols_otlp::wire::put_bytes;
use sdk_series::Series;
use sdk_signals::{About, Exemplar, HistogramSample, MetricMetadata, STALE, SampleBatch, Samples, Times};
use tokio::time::Instant;

use super::memory::{Memory, Resource, Slot};
use super::{names, native};

/// What the arguments say of the conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) target_info: bool,
    pub(super) scope_info: bool,
    pub(super) suffixes: bool,
    pub(super) resource_labels: bool,
    pub(super) metadata: bool,
    pub(super) keep_identifying: bool,
    pub(super) zero_at_start: bool,
    /// Histograms with explicit bounds become native ones.
    pub(super) custom_buckets: bool,
}

/// What a payload became.
pub(super) struct Converted {
    pub(super) batch: SampleBatch,
    pub(super) dropped: Dropped,
}

/// Points that no receiver gets, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Not cumulative: Prometheus has no such series.
    pub(super) delta: u64,
    /// Older than one of the same series that was written before.
    pub(super) out_of_order: u64,
    /// Histograms that no native histogram can hold: too coarse, or with buckets that the bounds do not fit.
    pub(super) unfit: u64,
}

/// Converts payloads one after another.
struct Conversion<'m> {
    options: Options,
    memory: &'m mut Memory,
    now: Instant,
    /// Milliseconds since 1970.
    now_ms: i64,
    /// Of the point at hand: resource, metric, attributes.
    key: Vec<u8>,
    bounds: Vec<f64>,
    counts: Vec<u64>,
    slots: Vec<Slot>,
    times: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<HistogramSample>,
    exemplars: Vec<Exemplar>,
    metadata: Vec<MetricMetadata>,
    dropped: Dropped,
}

/// A metric of a resource: what its points have in common.
struct Family<'a> {
    resource: &'a Resource,
    /// Attributes of the resource that all points get too.
    resource_labels: Option<&'a ResourceGroup<'a>>,
    name: &'a str,
    kind: PointKind,
    /// How much of the key is the family's.
    key: usize,
    /// A counter, which other series of a sum are not.
    counter: bool,
}

/// What every kind of point has.
#[derive(Default)]
struct Head {
    start: i64,
    time: i64,
    no_value: bool,
}

/// The bit of a point's flags that says that the series has ended.
const NO_RECORDED_VALUE: u64 = 1;

/// The temporality whose points go on from a start.
const CUMULATIVE: u64 = 2;

/// Names of the resource that say which target it is.
const IDENTIFYING: [&[u8]; 3] = [b"service.name", b"service.namespace", b"service.instance.id"];

/// What the payloads say, as samples.
pub(super) fn convert(options: Options, memory: &mut Memory, payloads: &[Bytes]) -> Converted {
    memory.bound();
    let mut conversion = Conversion {
        options,
        memory,
        now: Instant::now(),
        now_ms: base_sys::clock::now_ms(),
        key: Vec::new(),
        bounds: Vec::new(),
        counts: Vec::new(),
        slots: Vec::new(),
        times: Vec::new(),
        values: Vec::new(),
        histograms: Vec::new(),
        exemplars: Vec::new(),
        metadata: Vec::new(),
        dropped: Dropped::default(),
    };
    payloads.iter().for_each(|payload| conversion.payload(payload));
    let samples = Samples {
        series: conversion.memory.list(&conversion.slots),
        times: Times::Each(conversion.times),
        values: conversion.values,
        histograms: conversion.histograms,
        exemplars: conversion.exemplars,
        metadata: conversion.metadata.into(),
        ..Samples::default()
    };
    Converted { batch: SampleBatch::new(samples), dropped: conversion.dropped }
}

// === impl Conversion ===

impl Conversion<'_> {
    fn payload(&mut self, payload: &[u8]) {
        for group in resources(payload) {
            let keep = self.options.keep_identifying;
            let resource =
                self.memory.resource(group.0.bytes(1), self.now, |number| Resource::of(number, &group, keep));
            if self.options.target_info {
                self.key.clear();
                self.key.push(b't');
                self.key.extend(resource.number.to_le_bytes());
                self.info(|| resource.info.clone());
                self.tell("target_info", "gauge", "Target metadata", "");
            }
            for scope_group in group.scopes() {
                if self.options.scope_info {
                    let scope = scope_group.scope();
                    self.key.clear();
                    self.key.push(b's');
                    self.key.extend(resource.number.to_le_bytes());
                    self.key.extend_from_slice(scope_group.0.bytes(1));
                    self.info(|| scope_labels(&resource, &scope));
                    self.tell("otel_scope_info", "gauge", "", "");
                }
                for metric in scope_group.records() {
                    self.metric(&group, &resource, &metric);
                }
            }
        }
    }

    /// A series that is 1 now; `key` says which.
    fn info(&mut self, labels: impl FnOnce() -> Labels) {
        let now = self.now;
        let slots = self.memory.point(&self.key, now, |memory| vec![memory.slot(&labels(), now)]);
        self.push(slots[0], self.now_ms, 1.0);
    }

    fn metric(&mut self, group: &ResourceGroup<'_>, resource: &Resource, metric: &Message<'_>) {
        let Some((kind, data)) = metric_data(metric) else { return };
        let monotonic = kind == PointKind::Sum && data.number(3) != 0;
        let has_temporality = !matches!(kind, PointKind::Gauge | PointKind::Summary);
        if has_temporality && data.number(2) != CUMULATIVE {
            self.dropped.delta += data.messages(1).count() as u64;
            return;
        }
        self.key.clear();
        self.key.extend([kind as u8, u8::from(monotonic)]);
        put_bytes(&mut self.key, 1, metric.bytes(1));
        put_bytes(&mut self.key, 2, metric.bytes(3));
        let suffixes = self.options.suffixes;
        let name = self
            .memory
            .name(&self.key, self.now, || names::metric(&metric.text(1), &metric.text(3), kind, monotonic, suffixes));
        self.key.clear();
        self.key.push(b'p');
        self.key.extend(resource.number.to_le_bytes());
        self.key.extend(name.number.to_le_bytes());
        let family = Family {
            resource,
            resource_labels: self.options.resource_labels.then_some(group),
            name: &name.text,
            kind,
            key: self.key.len(),
            counter: monotonic,
        };
        for point in data.messages(1) {
            self.key.truncate(family.key);
            match kind {
                PointKind::Gauge | PointKind::Sum => self.number(&family, &point),
                PointKind::Histogram => self.histogram(&family, &point),
                PointKind::Summary => self.summary(&family, &point),
                PointKind::ExponentialHistogram => self.exponential(&family, &point),
            }
        }
        let type_name = match kind {
            PointKind::Sum if monotonic => "counter",
            PointKind::Gauge | PointKind::Sum => "gauge",
            PointKind::Histogram | PointKind::ExponentialHistogram => "histogram",
            PointKind::Summary => "summary",
        };
        self.tell(&name.text, type_name, &metric.text(2), &metric.text(3));
    }

    fn number(&mut self, family: &Family<'_>, point: &Message<'_>) {
        let (mut head, mut value, mut has_exemplars) = (Head::default(), 0.0, false);
        for field in point.fields() {
            match field.number {
                2 => head.start = field.value.number() as i64,
                3 => head.time = field.value.number() as i64,
                4 => value = field.value.double(),
                5 => has_exemplars = true,
                6 => value = field.value.number() as i64 as f64,
                7 => put_bytes(&mut self.key, 1, field.value.bytes()),
                8 => head.no_value = field.value.number() & NO_RECORDED_VALUE != 0,
                _ => {}
            }
        }
        let now = self.now;
        let slots = self.memory.point(&self.key, now, |memory| vec![family.slot(memory, now, point, "", None)]);
        let written = self.write(slots[0], &head, value, family.counter);
        self.dropped.out_of_order += u64::from(!written);
        if has_exemplars && family.counter {
            point.messages(5).for_each(|exemplar| self.exemplar(slots[0], &exemplar));
        }
    }

    fn histogram(&mut self, family: &Family<'_>, point: &Message<'_>) {
        let head = self.head(family, point, 10);
        self.bounds.clear();
        self.bounds.extend(doubles(point, 7));
        self.counts.clear();
        self.counts.extend(fixed64s(point, 6));
        let buckets = self.bounds.len().min(self.counts.len());
        self.bounds.truncate(buckets);
        if self.options.custom_buckets {
            // Every count: the last bucket has no bound.
            let counts: Vec<u64> = fixed64s(point, 6).collect();
            let bounds: Vec<f64> = doubles(point, 7).collect();
            return self.native(family, point, &head, native::of_explicit(point, &bounds, &counts), 8);
        }
        let sum = point.double(5);
        self.key.push(u8::from(sum.is_some()));
        self.bounds.iter().for_each(|bound| self.key.extend(bound.to_bits().to_le_bytes()));
        let (now, bounds) = (self.now, &self.bounds);
        let slots = self.memory.point(&self.key, now, |memory| {
            let mut slots = Vec::with_capacity(buckets + 3);
            if sum.is_some() {
                slots.push(family.slot(memory, now, point, "_sum", None));
            }
            slots.push(family.slot(memory, now, point, "_count", None));
            let infinity = std::iter::once(f64::INFINITY);
            for bound in bounds.iter().copied().chain(infinity) {
                slots.push(family.slot(memory, now, point, "_bucket", Some(("le", &number_text(bound)))));
            }
            slots
        });
        let count = point.number(4) as f64;
        let (buckets_at, mut written) = (usize::from(sum.is_some()) + 1, false);
        if let Some(sum) = sum {
            written |= self.write(slots[0], &head, sum, true);
        }
        written |= self.write(slots[buckets_at - 1], &head, count, true);
        let cumulative = self.cumulative();
        for (slot, value) in slots[buckets_at..].iter().zip(cumulative.into_iter().chain([count])) {
            written |= self.write(*slot, &head, value, true);
        }
        self.dropped.out_of_order += u64::from(!written);

        // Each goes to the first bucket above it, in the order of the bounds as they were sent.
        let mut exemplars: Vec<(f64, Message<'_>)> =
            point.messages(8).map(|exemplar| (exemplar.double(3).unwrap_or(0.0), exemplar)).collect();
        exemplars.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut bucket = 0;
        for (value, exemplar) in exemplars {
            while self.bounds.get(bucket).is_some_and(|bound| value.partial_cmp(bound) != Some(Ordering::Less)) {
                bucket += 1;
            }
            self.exemplar(slots[buckets_at + bucket], &exemplar);
        }
    }

    /// How many observations are at or below each bound, whatever the order of the bounds.
    fn cumulative(&self) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.bounds.len()).collect();
        order.sort_by(|a, b| self.bounds[*a].total_cmp(&self.bounds[*b]));
        let (mut sum, mut cumulative) = (0u64, vec![0.0; order.len()]);
        for bucket in order {
            sum = sum.saturating_add(self.counts[bucket]);
            cumulative[bucket] = sum as f64;
        }
        cumulative
    }

    fn exponential(&mut self, family: &Family<'_>, point: &Message<'_>) {
        let head = self.head(family, point, 10);
        self.native(family, point, &head, native::of_exponential(point), 11);
    }

    /// A histogram in one sample; `exemplars` is the field of the point's.
    fn native(
        &mut self,
        family: &Family<'_>,
        point: &Message<'_>,
        head: &Head,
        histogram: Option<NativeHistogram>,
        exemplars: u32,
    ) {
        let Some(histogram) = histogram else {
            self.dropped.unfit += 1;
            return;
        };
        let now = self.now;
        let slot = self.memory.point(&self.key, now, |memory| vec![family.slot(memory, now, point, "", None)])[0];
        if head.time < self.memory.state(slot).newest {
            self.dropped.out_of_order += 1;
            return;
        }
        if let Some(start) = self.start(slot, head) {
            self.push_histogram(slot, start, native::empty_like(&histogram, 0.0));
        }
        self.memory.state(slot).newest = head.time;
        let value = if head.no_value { native::empty_like(&histogram, STALE) } else { histogram };
        self.push_histogram(slot, milliseconds(head.time), value);
        point.messages(exemplars).for_each(|exemplar| self.exemplar(slot, &exemplar));
    }

    fn push_histogram(&mut self, slot: Slot, timestamp: i64, value: NativeHistogram) {
        let series = self.memory.state(slot).series().clone();
        self.histograms.push(HistogramSample { series, timestamp, start: 0, value: Arc::new(value) });
    }

    fn summary(&mut self, family: &Family<'_>, point: &Message<'_>) {
        let head = self.head(family, point, 8);
        let quantiles = || point.messages(6).map(|at| [1, 2].map(|field| at.double(field).unwrap_or(0.0)));
        quantiles().for_each(|[quantile, _]| self.key.extend(quantile.to_bits().to_le_bytes()));
        let now = self.now;
        let slots = self.memory.point(&self.key, now, |memory| {
            let mut slots: Vec<Slot> =
                ["_sum", "_count"].map(|suffix| family.slot(memory, now, point, suffix, None)).into();
            for [quantile, _] in quantiles() {
                slots.push(family.slot(memory, now, point, "", Some(("quantile", &number_text(quantile)))));
            }
            slots
        });
        let mut written = self.write(slots[0], &head, point.double(5).unwrap_or(0.0), true);
        written |= self.write(slots[1], &head, point.number(4) as f64, true);
        for (slot, [_, value]) in slots[2..].iter().zip(quantiles()) {
            written |= self.write(*slot, &head, value, false);
        }
        self.dropped.out_of_order += u64::from(!written);
    }

    /// Reads what all kinds of points but numbers have in the same fields, and adds the attributes to the key.
    fn head(&mut self, family: &Family<'_>, point: &Message<'_>, flags: u32) -> Head {
        let mut head = Head::default();
        for field in point.fields() {
            match field.number {
                2 => head.start = field.value.number() as i64,
                3 => head.time = field.value.number() as i64,
                number if number == family.kind.attributes() => put_bytes(&mut self.key, 1, field.value.bytes()),
                number if number == flags => head.no_value = field.value.number() & NO_RECORDED_VALUE != 0,
                _ => {}
            }
        }
        head
    }

    /// A sample of a series, unless a later one was written. `counts_up` says that the series begins at zero.
    fn write(&mut self, slot: Slot, head: &Head, value: f64, counts_up: bool) -> bool {
        if let Some(start) = counts_up.then(|| self.start(slot, head)).flatten() {
            self.push(slot, start, 0.0);
        }
        let state = self.memory.state(slot);
        if head.time < state.newest {
            return false;
        }
        state.newest = head.time;
        self.push(slot, milliseconds(head.time), if head.no_value { STALE } else { value });
        true
    }

    /// When a series began to count, if that is to be told now: once, before its first sample.
    fn start(&mut self, slot: Slot, head: &Head) -> Option<i64> {
        if !self.options.zero_at_start || head.start == 0 {
            return None;
        }
        let start = milliseconds(head.start);
        let state = self.memory.state(slot);
        let is_late = state.newest != i64::MIN && start <= milliseconds(state.newest);
        if start <= state.zero_at || start >= milliseconds(head.time) || is_late {
            return None;
        }
        state.zero_at = start;
        Some(start)
    }

    fn push(&mut self, slot: Slot, time: i64, value: f64) {
        self.slots.push(slot);
        self.times.push(time);
        self.values.push(value);
    }

    fn exemplar(&mut self, slot: Slot, exemplar: &Message<'_>) {
        let time = exemplar.number(2) as i64;
        let state = self.memory.state(slot);
        if time < state.newest_exemplar {
            return;
        }
        state.newest_exemplar = time;
        let series = state.series().clone();
        let ids = [("span_id", exemplar.bytes(4)), ("trace_id", exemplar.bytes(5))];
        let ids = ids.into_iter().filter(|(_, id)| id.iter().any(|byte| *byte != 0));
        let value = exemplar.fields().fold(0.0, |value, field| match field.number {
            3 => field.value.double(),
            6 => field.value.number() as i64 as f64,
            _ => value,
        });
        self.exemplars.push(Exemplar {
            series,
            labels: Labels::from_pairs(ids.map(|(name, id)| (name, hex(id)))),
            value,
            timestamp: milliseconds(time),
        });
    }

    /// Tells what a metric is, when that is asked for and news.
    fn tell(&mut self, name: &str, kind: &str, help: &str, unit: &str) {
        if !self.options.metadata {
            return;
        }
        let about = About { family: name.into(), kind: kind.into(), help: help.into(), unit: unit.into() };
        if self.memory.is_news(name, &about, self.now) {
            // All series of the name, so none in particular: as Alloy tells it.
            let series = Series::of(&Labels::from_pairs([(METRIC_NAME, name)]));
            self.metadata.push(MetricMetadata { series, about: Arc::new(about) });
        }
    }
}

// === impl Family ===

impl Family<'_> {
    /// The series of a point of this family.
    fn slot(
        &self,
        memory: &mut Memory,
        now: Instant,
        point: &Message<'_>,
        suffix: &str,
        extra: Option<(&str, &str)>,
    ) -> Slot {
        let mut labels = LabelsBuilder::default();
        labels.set("__name__", &format!("{}{suffix}", self.name));
        labels.set("job", &self.resource.job).set("instance", &self.resource.instance);
        if let Some((name, value)) = extra {
            labels.set(name, value);
        }
        set(&mut labels, point.attributes(self.kind.attributes()));
        if let Some(resource) = self.resource_labels {
            set(&mut labels, resource.attributes());
        }
        memory.slot(&labels.labels(), now)
    }
}

// === impl Resource ===

impl Resource {
    fn of(number: u64, group: &ResourceGroup<'_>, keep_identifying: bool) -> Resource {
        let find = |key: &[u8]| group.attributes().find(|pair| pair.key == key).map(|pair| text::of(pair.value));
        let [name, namespace, instance] = IDENTIFYING.map(find);
        let job = match (name, namespace) {
            (Some(name), Some(namespace)) => format!("{namespace}/{name}"),
            (Some(name), None) => name,
            (None, _) => String::new(),
        };
        let instance = instance.unwrap_or_default();
        let mut info = LabelsBuilder::default();
        info.set("__name__", "target_info").set("job", &job).set("instance", &instance);
        set(&mut info, group.attributes().filter(|pair| keep_identifying || !IDENTIFYING.contains(&pair.key)));
        Resource { number, info: info.labels(), job, instance }
    }
}

fn scope_labels(resource: &Resource, scope: &Message<'_>) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("__name__", "otel_scope_info").set("job", &resource.job).set("instance", &resource.instance);
    labels.set("otel_scope_name", &scope.text(1)).set("otel_scope_version", &scope.text(2));
    set(&mut labels, scope.attributes(3));
    labels.labels()
}

fn set<'a>(labels: &mut LabelsBuilder, attributes: impl Iterator<Item = Attribute<'a>>) {
    for pair in attributes {
        labels.set(&names::label(&pair.key()), &text::of(pair.value));
    }
}

/// The value of `le` or `quantile`: shortest digits, never an exponent.
fn number_text(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}

fn milliseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000_000)
}
