//! What is counted for a resource, and how a span is added to it.

use base_metrics::Counter;
use bytes::Bytes;
use hashbrown::HashMap;
use sdk_protocols_otlp::model::{Exemplar, Number, Resource};
use sdk_protocols_otlp::walk::Attribute;
use tokio::time::Instant;

use super::dimensions::Dimensions;
use super::settings::{Place, Settings, push, put_dimensions};
use crate::distribution::Distribution;
use crate::series::{Found, Now, OVERFLOW, Series, Table};
use crate::span::is_empty;

/// Series in all, of all resources and metrics; beyond, spans are not told apart.
pub(super) const MOST_SERIES: usize = 200_000;
/// Between two flushes there may be so many resources more than are remembered.
pub(super) const MORE_RESOURCES: usize = 10_000;

/// Every resource of which spans came.
pub(super) struct Resources {
    pub by_key: HashMap<Vec<u8>, Counted>,
    /// Series in all.
    pub series: usize,
    /// Resources that ever were.
    numbered: u64,
    /// Kept for its memory.
    key: Vec<u8>,
    overflowed: Counter,
}

/// What was counted for one resource.
pub(super) struct Counted {
    pub resource: Resource,
    pub calls: Table<Count>,
    pub durations: Table<Distribution>,
    pub events: Table<Count>,
    /// In this order they are told.
    pub number: u64,
    pub last_seen: Instant,
}

/// A number of calls or events.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub count: u64,
    /// It was told before, if only as 0.
    pub told: bool,
}

/// Where the spans of one resource are counted.
pub(super) struct Counting<'a> {
    settings: &'a Settings,
    counted: &'a mut Counted,
    /// Its spans are told apart.
    room: bool,
    series: &'a mut usize,
    key: &'a mut Vec<u8>,
    overflowed: &'a Counter,
    now: Now,
}

// === impl Resources ===

impl Resources {
    pub(super) fn new(overflowed: Counter) -> Resources {
        Resources { by_key: HashMap::new(), series: 0, numbered: 0, key: Vec::new(), overflowed }
    }

    /// Where the spans of this resource are counted.
    pub(super) fn counting<'a>(
        &'a mut self,
        settings: &'a Settings,
        attributes: &[Attribute<'_>],
        now: Now,
        resource: impl FnOnce() -> Resource,
    ) -> Counting<'a> {
        let Resources { by_key, series, numbered, key, overflowed } = self;
        let keys = &settings.resource_keys;
        let counts = |pair: &&Attribute<'_>| keys.is_empty() || keys.iter().any(|key| key.as_bytes() == pair.key);
        let mut pairs: Vec<&Attribute<'_>> = attributes.iter().filter(counts).collect();
        pairs.sort_by_key(|pair| pair.key);
        key.clear();
        // One byte more than the key of those that find no room.
        key.push(0);
        for pair in pairs {
            push(key, pair.key);
            push(key, pair.value.0);
        }
        let room =
            by_key.contains_key(&key[..]) || by_key.len() < settings.most_resources.saturating_add(MORE_RESOURCES);
        if !room {
            key.clear();
        }
        let counted = by_key.entry_ref(&key[..]).or_insert_with(|| {
            *numbered += 1;
            Counted::new(if room { resource() } else { overflow() }, *numbered, now.instant)
        });
        counted.last_seen = now.instant;
        Counting { settings, counted, room, series, key, overflowed, now }
    }
}

/// Stands for all resources that are not told apart.
fn overflow() -> Resource {
    Resource { attributes: [(OVERFLOW, true)].into_iter().collect(), ..Resource::default() }
}

// === impl Count ===

impl Count {
    pub(super) fn add(&mut self, times: u64) {
        self.count = self.count.saturating_add(times);
    }
}

// === impl Counted ===

impl Counted {
    fn new(resource: Resource, number: u64, last_seen: Instant) -> Counted {
        let (calls, durations, events) = (Table::new(), Table::new(), Table::new());
        Counted { resource, calls, durations, events, number, last_seen }
    }

    pub(super) fn series(&self) -> usize {
        self.calls.len() + self.durations.len() + self.events.len()
    }
}

// === impl Counting ===

/// A table of what is counted for a resource.
type Choose<V> = fn(&mut Counted) -> &mut Table<V>;

impl Counting<'_> {
    /// Adds a span that stands for so many.
    pub(super) fn span(&mut self, place: &Place<'_>, around: &[Attribute<'_>], times: u64) {
        let settings = self.settings;
        settings.put_key(place, around, self.key);
        let base = self.key.len();
        let calls = self.series(|counted| &mut counted.calls, place, around, &settings.calls, Count::default);
        calls.value.add(times);
        if let Some(shape) = &settings.shape {
            self.key.truncate(base);
            let empty = || shape.empty();
            let durations = self.series(|counted| &mut counted.durations, place, around, &settings.durations, empty);
            shape.observe(&mut durations.value, settings.duration(place), times);
        }
        let Some(dimensions) = &settings.events else { return };
        for event in place.span.events() {
            // The event's own come before the resource's.
            let around: Vec<Attribute<'_>> = event.attributes(3).chain(around.iter().cloned()).collect();
            settings.put_key(place, &around, self.key);
            let events = self.series(|counted| &mut counted.events, place, &around, dimensions, Count::default);
            events.value.add(times);
        }
    }

    /// The series of a span in a table, whose dimensions are added to the key; the span becomes an example of it.
    fn series<V>(
        &mut self,
        choose: Choose<V>,
        place: &Place<'_>,
        around: &[Attribute<'_>],
        dimensions: &Dimensions,
        empty: impl FnOnce() -> V,
    ) -> &mut Series<V> {
        let settings = self.settings;
        put_dimensions(dimensions, place, around, self.key);
        let table = choose(self.counted);
        let free = MOST_SERIES.saturating_sub(*self.series);
        let most = if self.room { settings.most_series.min(table.len() + free) } else { 0 };
        let attributes = || settings.attributes(place, around, dimensions);
        let Found { series, overflowed, new } = table.find(self.key, most, self.now, attributes, empty);
        *self.series += usize::from(new);
        let span = place.span;
        if overflowed {
            self.overflowed.inc();
        } else if series.exemplars.len() < settings.exemplars && !is_empty(span.trace_id) {
            series.exemplars.push(Exemplar {
                value: Number::Double(settings.duration(place)),
                trace_id: Bytes::copy_from_slice(span.trace_id),
                span_id: Bytes::copy_from_slice(span.span_id),
                ..Exemplar::default()
            });
        }
        series
    }
}
