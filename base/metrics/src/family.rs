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
    constant: Arc<Constant>,
    /// The names of the values given to `with`.
    given: Box<[Box<str>]>,
    /// All labels in the order shown, which is by name; empty when none are given.
    order: Box<[Source]>,
    settings: M::Settings,
    members: Mutex<Members<M>>,
    losses: Arc<Losses>,
}

/// The labels that all families of a scope have. There are many scopes, and many families in each: these are written out once.
#[derive(Debug, Default)]
pub(crate) struct Constant {
    /// Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    rendered: Box<str>,
}

#[derive(Debug)]
struct Members<M> {
    /// Where no values are given there is one at most.
    alone: Option<M>,
    /// By the rendered labels, which are also what the page shows.
    several: BTreeMap<Box<str>, M>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Constant(usize),
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
        constant: Arc<Constant>,
        names: &[&str],
        settings: M::Settings,
        losses: Arc<Losses>,
    ) -> Labelled<M> {
        let given: Box<[Box<str>]> = names.iter().map(|name| (*name).into()).collect();
        let mut order = Vec::new();
        if !given.is_empty() {
            order.extend((0..constant.labels.len()).map(Source::Constant));
            order.extend((0..given.len()).map(Source::Given));
            order.sort_by_key(|source| match source {
                Source::Constant(at) => constant.labels[*at].0.as_str(),
                Source::Given(at) => &given[*at],
            });
        }
        let order = order.into();
        let members = Mutex::new(Members { alone: None, several: BTreeMap::new() });
        Labelled(Arc::new(Shared { constant, given, order, settings, members, losses }))
    }

    /// A family that belongs to no registry.
    pub fn detached(names: &[&str]) -> Labelled<M> {
        Labelled::new(Arc::default(), names, M::Settings::default(), Arc::default())
    }

    /// The member with these values, one for each label name in the order of registration; made when new. Keep it:
    /// this takes a lock and writes the labels out.
    ///
    /// # Panics
    /// When the number of values differs from the number of label names: a mistake of the caller, not of its input.
    pub fn with(&self, values: &[&str]) -> M {
        let Some(rendered) = self.render(values) else {
            let mut members = self.lock();
            return members.alone.get_or_insert_with(|| M::create(&self.0.settings)).clone();
        };
        let several = &mut self.lock().several;
        if let Some(member) = several.get(rendered.as_str()) {
            return member.clone();
        }
        let member = M::create(&self.0.settings);
        if several.len() < MAX_SERIES_PER_FAMILY {
            several.insert(rendered.into(), member.clone());
        } else {
            self.0.losses.too_many_series.inc();
        }
        member
    }

    /// Takes the member with these values off the page; true when there was one.
    pub fn remove(&self, values: &[&str]) -> bool {
        match self.render(values) {
            None => self.lock().alone.take().is_some(),
            Some(rendered) => self.lock().several.remove(rendered.as_str()).is_some(),
        }
    }

    /// Takes all members off the page.
    pub fn clear(&self) {
        let mut members = self.lock();
        members.alone = None;
        members.several.clear();
    }

    /// How many members the page shows.
    pub fn len(&self) -> usize {
        let members = self.lock();
        usize::from(members.alone.is_some()) + members.several.len()
    }

    /// Whether the page shows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn write(&self, samples: &mut Samples<'_>) {
        let members = self.lock();
        if let Some(member) = &members.alone {
            member.write(&self.0.constant.rendered, samples);
        }
        for (rendered, member) in &members.several {
            member.write(rendered, samples);
        }
    }

    /// Whether a second registration in the same scope asks for the same thing.
    pub(crate) fn same_shape(&self, other: &Labelled<M>) -> bool {
        self.0.given == other.0.given && self.0.settings == other.0.settings
    }

    /// The labels with these values; none where none are given, and the constant ones are all.
    fn render(&self, values: &[&str]) -> Option<String> {
        let Shared { constant, given, order, .. } = &*self.0;
        assert_eq!(values.len(), given.len(), "one value for each label name of {given:?}");
        if given.is_empty() {
            return None;
        }
        let mut rendered = String::with_capacity(constant.rendered.len() + 32 * given.len());
        for source in order {
            match *source {
                Source::Constant(at) => {
                    let (name, value) = &constant.labels[at];
                    push_label(&mut rendered, name, value);
                }
                Source::Given(at) => push_label(&mut rendered, &given[at], values[at]),
            }
        }
        Some(rendered)
    }

    fn lock(&self) -> MutexGuard<'_, Members<M>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Constant ===

impl Constant {
    pub(crate) fn new(mut labels: Vec<(String, String)>) -> Constant {
        labels.sort();
        let mut rendered = String::new();
        for (name, value) in &labels {
            push_label(&mut rendered, name, value);
        }
        Constant { labels, rendered: rendered.into() }
    }
}

/// One more label behind others.
fn push_label(rendered: &mut String, name: &str, value: &str) {
    if !rendered.is_empty() {
        rendered.push(',');
    }
    rendered.push_str(name);
    rendered.push_str("=\"");
    write_escaped_label(rendered, value);
    rendered.push('"');
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
        let family: GaugeVec = Labelled::new(Arc::default(), &["path"], (), losses.clone());
        for n in 0..MAX_SERIES_PER_FAMILY + 3 {
            family.with(&[&n.to_string()]).set(1.0);
        }
        assert_eq!(family.len(), MAX_SERIES_PER_FAMILY);
        assert_eq!(losses.too_many_series.get(), 3.0);
    }
}
