//! Families: one name, many label values. `with` finds or makes the handle of one set of values; callers keep it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::page::Samples;
use crate::text::write_escaped_label;
use crate::values::{Counter, Gauge, Histogram, tidy_bounds};
use crate::{Kind, Losses};

/// How many sets of label values one family shows. Beyond it `with` gives handles that count unseen, and the loss is
/// counted: label values that come from outside must not outgrow our memory.
pub const MAX_SERIES_PER_FAMILY: usize = 20_000;

/// Counters that differ in label values.
pub type CounterVec = Labelled<Counter>;
/// Gauges that differ in label values.
pub type GaugeVec = Labelled<Gauge>;
/// Histograms that differ in label values.
pub type HistogramVec = Labelled<Histogram>;

/// A family of one kind of metric.
#[derive(Debug)]
pub struct Labelled<M: Instrument>(Arc<Shared<M>>);

#[derive(Debug)]
struct Shared<M: Instrument> {
    /// All label names in the order shown (sorted), each with where its value comes from.
    labels: Vec<(String, Source)>,
    variable: usize,
    settings: M::Settings,
    /// By the rendered labels, which are also what the page shows.
    series: Mutex<BTreeMap<Box<str>, M>>,
    losses: Arc<Losses>,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Constant(String),
    /// The n-th value given to `with`.
    Given(usize),
}

/// What can be a member of a family.
pub trait Instrument: Clone + Send + Sync + 'static {
    /// What all members share, such as bucket bounds.
    type Settings: Clone + Default + PartialEq + std::fmt::Debug + Send + Sync;
    /// The type named on the page.
    const KIND: Kind;
    /// A new member at zero.
    fn create(settings: &Self::Settings) -> Self;
    /// Writes the member under already rendered labels.
    fn write(&self, rendered_labels: &str, samples: &mut Samples<'_>);
}

// === impl Labelled ===

impl<M: Instrument> Clone for Labelled<M> {
    fn clone(&self) -> Self {
        Labelled(self.0.clone())
    }
}

impl<M: Instrument> Labelled<M> {
    pub(crate) fn new(
        constant: &[(String, String)],
        names: &[&str],
        settings: M::Settings,
        losses: Arc<Losses>,
    ) -> Labelled<M> {
        let constant = constant.iter().map(|(name, value)| (name.clone(), Source::Constant(value.clone())));
        let given = names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), Source::Given(at)));
        let mut labels: Vec<_> = constant.chain(given).collect();
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        Labelled(Arc::new(Shared { labels, variable: names.len(), settings, series: Mutex::default(), losses }))
    }

    /// A family that belongs to no registry.
    pub fn detached(names: &[&str]) -> Labelled<M> {
        Labelled::new(&[], names, M::Settings::default(), Arc::default())
    }

    /// The member with these values, one for each label name in the order of registration; made when new. Keep it:
    /// this takes a lock and writes the labels out.
    ///
    /// # Panics
    /// When the number of values differs from the number of label names: a mistake of the caller, not of its input.
    pub fn with(&self, values: &[&str]) -> M {
        let rendered = self.render(values);
        let mut series = self.lock();
        if let Some(member) = series.get(rendered.as_str()) {
            return member.clone();
        }
        let member = M::create(&self.0.settings);
        if series.len() < MAX_SERIES_PER_FAMILY {
            series.insert(rendered.into(), member.clone());
        } else {
            self.0.losses.too_many_series.inc();
        }
        member
    }

    /// Takes the member with these values off the page; true when there was one.
    pub fn remove(&self, values: &[&str]) -> bool {
        let rendered = self.render(values);
        self.lock().remove(rendered.as_str()).is_some()
    }

    /// Takes all members off the page.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many members the page shows.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether the page shows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn write(&self, samples: &mut Samples<'_>) {
        for (rendered, member) in self.lock().iter() {
            member.write(rendered, samples);
        }
    }

    /// Whether a second registration asks for the same thing.
    pub(crate) fn same_shape(&self, other: &Labelled<M>) -> bool {
        self.0.labels == other.0.labels && self.0.settings == other.0.settings
    }

    fn render(&self, values: &[&str]) -> String {
        assert_eq!(values.len(), self.0.variable, "one value for each label name of {:?}", self.0.labels);
        let mut rendered = String::new();
        for (name, source) in &self.0.labels {
            if !rendered.is_empty() {
                rendered.push(',');
            }
            rendered.push_str(name);
            rendered.push_str("=\"");
            write_escaped_label(
                &mut rendered,
                match source {
                    Source::Constant(value) => value,
                    Source::Given(at) => values[*at],
                },
            );
            rendered.push('"');
        }
        rendered
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, M>> {
        self.0.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instrument for Counter {
    type Settings = ();
    const KIND: Kind = Kind::Counter;

    fn create((): &()) -> Counter {
        Counter::new()
    }

    fn write(&self, rendered_labels: &str, samples: &mut Samples<'_>) {
        samples.rendered("", rendered_labels, self.get());
    }
}

impl Instrument for Gauge {
    type Settings = ();
    const KIND: Kind = Kind::Gauge;

    fn create((): &()) -> Gauge {
        Gauge::new()
    }

    fn write(&self, rendered_labels: &str, samples: &mut Samples<'_>) {
        samples.rendered("", rendered_labels, self.get());
    }
}

/// Upper bounds of the buckets all members of a histogram family share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds(Option<Arc<[f64]>>);

impl Bounds {
    pub(crate) fn of(bounds: &[f64]) -> Bounds {
        Bounds(Some(tidy_bounds(bounds)))
    }
}

impl Instrument for Histogram {
    type Settings = Bounds;
    const KIND: Kind = Kind::Histogram;

    fn create(bounds: &Bounds) -> Histogram {
        Histogram::with_bounds(bounds.0.clone().unwrap_or_default())
    }

    fn write(&self, rendered_labels: &str, samples: &mut Samples<'_>) {
        let mut total = 0;
        self.cumulative(|bound, count| {
            samples.bucket(rendered_labels, bound, count);
            total = count;
        });
        samples.rendered("_sum", rendered_labels, self.sum());
        samples.rendered("_count", rendered_labels, total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_values_give_the_same_member() {
        let family = CounterVec::detached(&["reason", "host"]);
        family.with(&["late", "a"]).inc();
        family.with(&["late", "a"]).inc();
        family.with(&["full", "a"]).inc();
        assert_eq!(family.with(&["late", "a"]).get(), 2.0);
        assert_eq!(family.len(), 2);
        assert!(family.remove(&["late", "a"]));
        assert!(!family.remove(&["late", "a"]));
        assert_eq!(family.with(&["late", "a"]).get(), 0.0);
    }

    #[test]
    fn too_many_label_values_count_unseen_and_are_counted() {
        let losses: Arc<Losses> = Arc::default();
        let family: GaugeVec = Labelled::new(&[], &["path"], (), losses.clone());
        for n in 0..MAX_SERIES_PER_FAMILY + 3 {
            family.with(&[&n.to_string()]).set(1.0);
        }
        assert_eq!(family.len(), MAX_SERIES_PER_FAMILY);
        assert_eq!(losses.too_many_series.get(), 3.0);
    }
}
