//! What is remembered of series between payloads: what a data point's bytes stand for, and how far each series has come.
//!
//! A point that comes again costs one look-up by its bytes; labels are only built for what was not seen before.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sdk_labels::Labels;
use sdk_series::Series;
use sdk_signals::About;
use tokio::time::Instant;

/// Series remembered at most. Beyond, all is forgotten and learned again.
const MOST_SERIES: usize = 1 << 20;

/// Lists of series remembered at most.
const MOST_LISTS: usize = 256;

/// Where the state of a series stands; good until [`Memory::forget`].
pub(super) type Slot = u32;

#[derive(Default)]
pub(super) struct Memory {
    /// By the bytes that say which resource, metric and attributes.
    points: HashMap<Box<[u8]>, Remembered<Arc<[Slot]>>>,
    /// By the bytes of the resource.
    resources: HashMap<Box<[u8]>, Remembered<Arc<Resource>>>,
    /// By name, unit and kind.
    names: HashMap<Box<[u8]>, Remembered<Arc<Name>>>,
    slots: HashMap<Series, Slot>,
    states: Vec<State>,
    lists: HashMap<u64, List>,
    metadata: HashMap<String, Remembered<About>>,
    last_number: u64,
}

/// How far a series has come.
pub(super) struct State {
    series: Series,
    /// The latest point, in nanoseconds since 1970.
    pub(super) newest: i64,
    /// The latest exemplar, likewise.
    pub(super) newest_exemplar: i64,
    /// The latest start of the series that was marked by a zero, in milliseconds.
    pub(super) zero_at: i64,
    seen: Instant,
}

/// A resource as the labels of its points.
pub(super) struct Resource {
    /// No other resource has or had it.
    pub(super) number: u64,
    pub(super) job: String,
    pub(super) instance: String,
    /// `target_info`.
    pub(super) info: Labels,
}

/// What a metric is called.
pub(super) struct Name {
    /// No other name has or had it.
    pub(super) number: u64,
    pub(super) text: String,
}

struct Remembered<T> {
    what: T,
    seen: Instant,
}

/// Payloads that hold the same series in the same order hand on the very same list.
struct List {
    slots: Box<[Slot]>,
    series: Arc<[Series]>,
}

// === impl Memory ===

impl Memory {
    /// The series of a point, made by `make` when its bytes were not seen before.
    pub(super) fn point(
        &mut self,
        key: &[u8],
        now: Instant,
        make: impl FnOnce(&mut Memory) -> Vec<Slot>,
    ) -> Arc<[Slot]> {
        let slots = match self.points.get_mut(key) {
            Some(known) => {
                known.seen = now;
                known.what.clone()
            }
            None => {
                let slots: Arc<[Slot]> = make(self).into();
                self.points.insert(key.into(), Remembered { what: slots.clone(), seen: now });
                slots
            }
        };
        for slot in &*slots {
            self.states[*slot as usize].seen = now;
        }
        slots
    }

    /// The resource of these bytes.
    pub(super) fn resource(&mut self, key: &[u8], now: Instant, make: impl FnOnce(u64) -> Resource) -> Arc<Resource> {
        remembered(&mut self.resources, &mut self.last_number, key, now, make)
    }

    /// The name of a metric.
    pub(super) fn name(&mut self, key: &[u8], now: Instant, make: impl FnOnce() -> String) -> Arc<Name> {
        remembered(&mut self.names, &mut self.last_number, key, now, |number| Name { number, text: make() })
    }

    /// The place of a series.
    pub(super) fn slot(&mut self, labels: &Labels, now: Instant) -> Slot {
        let series = Series::of(labels);
        if let Some(slot) = self.slots.get(&series) {
            self.states[*slot as usize].seen = now;
            return *slot;
        }
        let slot = self.states.len() as Slot;
        self.states.push(State::new(series.clone(), now));
        self.slots.insert(series, slot);
        slot
    }

    pub(super) fn state(&mut self, slot: Slot) -> &mut State {
        &mut self.states[slot as usize]
    }

    /// The series in these places.
    pub(super) fn list(&mut self, slots: &[Slot]) -> Arc<[Series]> {
        let hash = FixedState::default().hash_one(slots);
        if let Some(list) = self.lists.get(&hash)
            && *list.slots == *slots
        {
            return list.series.clone();
        }
        if self.lists.len() >= MOST_LISTS {
            self.lists.clear();
        }
        let series: Arc<[Series]> = slots.iter().map(|slot| self.states[*slot as usize].series.clone()).collect();
        self.lists.insert(hash, List { slots: slots.into(), series: series.clone() });
        series
    }

    /// Whether this is news of a metric.
    pub(super) fn is_news(&mut self, name: &str, about: &About, now: Instant) -> bool {
        if let Some(known) = self.metadata.get_mut(name) {
            known.seen = now;
            if known.what == *about {
                return false;
            }
        }
        self.metadata.insert(name.to_owned(), Remembered { what: about.clone(), seen: now });
        true
    }

    /// Receivers are to be told again.
    pub(super) fn forget_metadata(&mut self) {
        self.metadata.clear();
    }

    /// Labels are to be made anew; how far the series have come is kept.
    pub(super) fn forget_labels(&mut self) {
        self.points.clear();
        self.resources.clear();
        self.names.clear();
    }

    /// Forgets what was not seen for longer than `stale`.
    pub(super) fn forget(&mut self, stale: Duration, now: Instant) {
        let fresh = |seen: Instant| now.saturating_duration_since(seen) <= stale;
        self.resources.retain(|_, known| fresh(known.seen));
        self.names.retain(|_, known| fresh(known.seen));
        self.metadata.retain(|_, known| fresh(known.seen));
        self.points.retain(|_, known| fresh(known.seen));
        if self.states.iter().all(|state| fresh(state.seen)) {
            return;
        }
        // The series that stay move together; a point that stays names none that goes, as it was seen when they were.
        let mut moved = vec![Slot::MAX; self.states.len()];
        let mut kept = Vec::new();
        for (state, to) in std::mem::take(&mut self.states).into_iter().zip(&mut moved) {
            if fresh(state.seen) {
                *to = kept.len() as Slot;
                kept.push(state);
            }
        }
        self.states = kept;
        self.slots = self.states.iter().enumerate().map(|(slot, state)| (state.series.clone(), slot as Slot)).collect();
        for known in self.points.values_mut() {
            known.what = known.what.iter().map(|slot| moved[*slot as usize]).collect();
        }
        self.lists.clear();
    }

    /// Keeps the number of series within its bound.
    pub(super) fn bound(&mut self) {
        if self.states.len() > MOST_SERIES || self.points.len() > MOST_SERIES {
            *self = Memory { last_number: self.last_number, ..Memory::default() };
        }
    }

    /// How many series are remembered.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }
}

fn remembered<T>(
    map: &mut HashMap<Box<[u8]>, Remembered<Arc<T>>>,
    last_number: &mut u64,
    key: &[u8],
    now: Instant,
    make: impl FnOnce(u64) -> T,
) -> Arc<T> {
    if let Some(known) = map.get_mut(key) {
        known.seen = now;
        return known.what.clone();
    }
    *last_number += 1;
    let what = Arc::new(make(*last_number));
    map.insert(key.into(), Remembered { what: what.clone(), seen: now });
    what
}

// === impl State ===

impl State {
    fn new(series: Series, seen: Instant) -> State {
        State { series, newest: i64::MIN, newest_exemplar: i64::MIN, zero_at: 0, seen }
    }

    pub(super) fn series(&self) -> &Series {
        &self.series
    }
}
