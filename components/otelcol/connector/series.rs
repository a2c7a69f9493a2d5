//! The series of a metric: as many as there is room for, and one for all others.

use std::time::Duration;

use hashbrown::HashMap;
use sdk_protocols_otlp::model::{Exemplar, Map};
use tokio::time::Instant;

/// What tells that a point stands for all series that are not told apart.
pub(crate) const OVERFLOW: &str = "otel.metric.overflow";

/// Series by what tells them apart.
pub(crate) struct Table<V> {
    series: HashMap<Vec<u8>, Series<V>>,
    /// All that found no room.
    overflow: Option<Series<V>>,
    /// Series that ever were.
    numbered: u64,
}

/// One series.
pub(crate) struct Series<V> {
    pub attributes: Map,
    /// When it was first seen, in nanoseconds since 1970.
    pub start: u64,
    /// Without times, which they get when they are told.
    pub exemplars: Vec<Exemplar>,
    pub value: V,
    /// In this order they are told.
    number: u64,
    last_seen: Instant,
}

/// When something is counted.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    /// Nanoseconds since 1970.
    pub time: u64,
    pub instant: Instant,
}

/// A series that was asked for.
pub(crate) struct Found<'a, V> {
    pub series: &'a mut Series<V>,
    /// It is the one of all that found no room.
    pub overflowed: bool,
    /// It was not there before.
    pub new: bool,
}

// === impl Now ===

impl Now {
    pub(crate) fn read() -> Now {
        Now { time: base_sys::clock::now_ns() as u64, instant: Instant::now() }
    }
}

// === impl Table ===

impl<V> Table<V> {
    pub(crate) fn new() -> Table<V> {
        Table { series: HashMap::new(), overflow: None, numbered: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len() + usize::from(self.overflow.is_some())
    }

    /// The series of a key; a new one as long as there are fewer than `most`.
    pub(crate) fn find(
        &mut self,
        key: &[u8],
        most: usize,
        now: Now,
        attributes: impl FnOnce() -> Map,
        empty: impl FnOnce() -> V,
    ) -> Found<'_, V> {
        let number = self.numbered;
        let series = |attributes, value| Series {
            attributes,
            start: now.time,
            exemplars: Vec::new(),
            value,
            number,
            last_seen: now.instant,
        };
        let known = self.series.contains_key(key);
        if !known && self.len() >= most {
            let new = self.overflow.is_none();
            let overflow =
                self.overflow.get_or_insert_with(|| series([(OVERFLOW, true)].into_iter().collect(), empty()));
            overflow.last_seen = now.instant;
            return Found { series: overflow, overflowed: true, new };
        }
        let series = self.series.entry_ref(key).or_insert_with(|| series(attributes(), empty()));
        series.last_seen = now.instant;
        self.numbered += u64::from(!known);
        Found { series, overflowed: false, new: !known }
    }

    /// Every series with its key, in the order in which they came.
    pub(crate) fn all(&mut self) -> Vec<(&[u8], &mut Series<V>)> {
        let mut all: Vec<(&[u8], &mut Series<V>)> =
            self.series.iter_mut().map(|(key, series)| (&key[..], series)).collect();
        all.sort_by_key(|(_, series)| series.number);
        // No key of a series is that short.
        all.extend(self.overflow.iter_mut().map(|series| (&[][..], series)));
        all
    }

    /// Forgets the series that were not seen for so long.
    pub(crate) fn expire(&mut self, after: Duration, now: Instant) {
        let stays = |series: &Series<V>| now.duration_since(series.last_seen) < after;
        self.series.retain(|_, series| stays(series));
        self.overflow.take_if(|series| !stays(series));
    }
}
