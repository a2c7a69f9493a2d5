//! The registry: what `/metrics` shows, in parts that come and go with their owners.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::family::{Bounds, Constant, CounterVec, GaugeVec, HistogramVec, Instrument, Labelled};
use crate::page::{FamilyWriter, Kind, Losses, Page};
use crate::text::is_metric_name;
use crate::values::{Counter, Gauge, Histogram};

/// All metrics of the process. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Scopes>);

#[derive(Default)]
struct Scopes {
    /// In the order they were made.
    live: Mutex<BTreeMap<u64, Arc<Contents>>>,
    next: AtomicU64,
    losses: Arc<Losses>,
}

/// The part of a registry that belongs to one owner, with labels that say whose it is. When the last clone goes, its
/// families leave the page.
#[derive(Clone)]
pub struct Scope(Arc<Membership>);

struct Membership {
    scopes: Weak<Scopes>,
    id: u64,
    contents: Arc<Contents>,
    /// A child lives in its parent, too.
    _parent: Option<Scope>,
}

struct Contents {
    constant: Arc<Constant>,
    families: Mutex<BTreeMap<Box<str>, Registered>>,
    collectors: Mutex<Vec<Arc<Collector>>>,
    losses: Arc<Losses>,
}

type Collector = dyn Fn(&mut FamilyWriter<'_>) + Send + Sync;

struct Registered {
    help: Box<str>,
    family: Family,
}

enum Family {
    Counters(CounterVec),
    Gauges(GaugeVec),
    Histograms(HistogramVec),
}

// === impl Registry ===

impl Registry {
    /// An empty registry.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A part of the registry whose metrics all carry `labels`.
    pub fn scope(&self, labels: &[(&str, &str)]) -> Scope {
        self.add(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), None)
    }

    fn add(&self, constant: Vec<(String, String)>, parent: Option<Scope>) -> Scope {
        let contents = Arc::new(Contents {
            constant: Arc::new(Constant::new(constant)),
            families: Mutex::default(),
            collectors: Mutex::default(),
            losses: self.0.losses.clone(),
        });
        let id = self.0.next.fetch_add(1, Relaxed);
        lock(&self.0.live).insert(id, contents.clone());
        Scope(Arc::new(Membership { scopes: Arc::downgrade(&self.0), id, contents, _parent: parent }))
    }

    /// Writes every family into `page`.
    pub fn write(&self, page: &mut Page) {
        let live: Vec<Arc<Contents>> = lock(&self.0.live).values().cloned().collect();
        for contents in live {
            contents.write(page);
        }
        let mut writer = page.writer();
        let mut losses = writer.family(
            "ferroalloy_metrics_dropped_total",
            "Families, series and collectors left out of the metrics page, by reason.",
            Kind::Counter,
        );
        for (reason, count) in [
            ("collector_panicked", &self.0.losses.panicked_collectors),
            ("duplicate_series", &self.0.losses.duplicate_series),
            ("inconsistent_family", &self.0.losses.inconsistent_families),
            ("too_many_series", &self.0.losses.too_many_series),
        ] {
            losses.sample(&[("reason", reason)], count.get());
        }
    }

    /// The whole page, sorted by family.
    pub fn text(&self) -> String {
        let (mut page, mut out) = (Page::new(), String::new());
        self.write(&mut page);
        page.encode(&mut out, &self.0.losses);
        out
    }

    /// Where this registry counts what it left out; give it to [`Page::encode`].
    pub fn losses(&self) -> &Losses {
        &self.0.losses
    }

    /// The sum over all samples of that exact name that carry all of `labels`; none when there is no such sample.
    /// Meant for tests and for sums over components: it writes the whole page to find out.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(name, value)| {
                let mut text = format!("{name}=\"");
                crate::write_escaped_label(&mut text, value);
                text.push('"');
                text
            })
            .collect();
        let page = self.text();
        let samples = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (series, value) = rest.rsplit_once(' ')?;
            let given = match series.strip_prefix('{') {
                Some(given) => given.strip_suffix('}')?,
                None if series.is_empty() => "",
                None => return None,
            };
            let carries = |label: &String| {
                given.match_indices(label.as_str()).any(|(at, _)| at == 0 || given.as_bytes()[at - 1] == b',')
            };
            wanted.iter().all(carries).then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.reduce(|sum, value| sum + value)
    }
}

// === impl Scope ===

impl Scope {
    /// A scope that no page shows: for tests, and for what is built without a registry.
    pub fn detached() -> Scope {
        Registry::new().scope(&[])
    }

    /// A part of this part: with more labels, leaving the page when its last clone goes. It keeps its parent.
    pub fn child(&self, labels: &[(&str, &str)]) -> Scope {
        let given = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let constant = self.labels().iter().cloned().chain(given).collect();
        match self.0.scopes.upgrade() {
            Some(scopes) => Registry(scopes).add(constant, Some(self.clone())),
            None => Registry::new().add(constant, Some(self.clone())),
        }
    }

    /// The labels all metrics of this scope carry, sorted by name.
    pub fn labels(&self) -> &[(String, String)] {
        &self.0.contents.constant.labels
    }

    /// Registers a counter, or finds the one already registered under the name.
    ///
    /// This and its siblings never fail: what contradicts an earlier registration in the scope counts unseen, and
    /// that is counted in `ferroalloy_metrics_dropped_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    /// Registers a gauge, or finds the one already registered under the name.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    /// Registers a histogram with these upper bounds, or finds the one already registered under the name.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histogram_vec(name, help, bounds, &[]).with(&[])
    }

    /// Registers a family of counters, or finds it.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.register(name, help, labels, (), Family::Counters, |family| match family {
            Family::Counters(family) => Some(family),
            _ => None,
        })
    }

    /// Registers a family of gauges, or finds it.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(name, help, labels, (), Family::Gauges, |family| match family {
            Family::Gauges(family) => Some(family),
            _ => None,
        })
    }

    /// Registers a family of histograms with these upper bounds, or finds it.
    pub fn histogram_vec(&self, name: &str, help: &str, bounds: &[f64], labels: &[&str]) -> HistogramVec {
        self.register(name, help, labels, Bounds::of(bounds), Family::Histograms, |family| match family {
            Family::Histograms(family) => Some(family),
            _ => None,
        })
    }

    /// Registers a callback that writes families when somebody looks. Let it capture handles or a weak reference,
    /// never the scope itself: a scope that holds itself never goes.
    pub fn collect(&self, collector: Box<dyn Fn(&mut FamilyWriter<'_>) + Send + Sync>) {
        lock(&self.0.contents.collectors).push(collector.into());
    }

    /// Takes a family off the page; true when there was one.
    pub fn remove(&self, name: &str) -> bool {
        lock(&self.0.contents.families).remove(name).is_some()
    }

    /// Takes everything of this scope off the page now, whoever still holds a clone.
    pub fn unregister(&self) {
        self.0.unregister();
    }

    fn register<M: Instrument>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        settings: M::Settings,
        wrap: fn(Labelled<M>) -> Family,
        unwrap: fn(&Family) -> Option<&Labelled<M>>,
    ) -> Labelled<M> {
        let contents = &self.0.contents;
        let family = Labelled::new(contents.constant.clone(), labels, settings, contents.losses.clone());
        let mut families = lock(&contents.families);
        match families.get(name).map(|registered| unwrap(&registered.family)) {
            None if is_metric_name(name) => {
                families.insert(name.into(), Registered { help: help.into(), family: wrap(family.clone()) });
                family
            }
            Some(Some(earlier)) if earlier.same_shape(&family) => earlier.clone(),
            _ => {
                contents.losses.inconsistent_families.inc();
                family
            }
        }
    }
}

// === impl Membership ===

impl Membership {
    fn unregister(&self) {
        if let Some(scopes) = self.scopes.upgrade() {
            lock(&scopes.live).remove(&self.id);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.unregister();
    }
}

// === impl Contents ===

impl Contents {
    fn write(&self, page: &mut Page) {
        let mut writer = page.writer_with(&self.constant.labels);
        for (name, registered) in lock(&self.families).iter() {
            let mut samples = writer.family(name, &registered.help, registered.family.kind());
            match &registered.family {
                Family::Counters(family) => family.write(&mut samples),
                Family::Gauges(family) => family.write(&mut samples),
                Family::Histograms(family) => family.write(&mut samples),
            }
        }
        let collectors: Vec<Arc<Collector>> = lock(&self.collectors).clone();
        for collector in collectors {
            let mark = page.mark();
            let wrote = catch_unwind(AssertUnwindSafe(|| collector(&mut page.writer_with(&self.constant.labels))));
            if wrote.is_err() {
                page.truncate(mark);
                self.losses.panicked_collectors.inc();
            }
        }
    }
}

impl Family {
    fn kind(&self) -> Kind {
        match self {
            Family::Counters(_) => Counter::KIND,
            Family::Gauges(_) => Gauge::KIND,
            Family::Histograms(_) => Histogram::KIND,
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("scopes", &lock(&self.0.live).len()).finish()
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scope").field(&self.labels()).finish()
    }
}

/// A panic while somebody held the lock does not end counting: the maps are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page without the registry's own family.
    fn page(registry: &Registry) -> String {
        let text = registry.text();
        let lines = text.split_inclusive('\n').filter(|line| !line.contains("ferroalloy_metrics_dropped_total"));
        lines.collect()
    }

    fn dropped(registry: &Registry, reason: &str) -> f64 {
        registry.value("ferroalloy_metrics_dropped_total", &[("reason", reason)]).unwrap()
    }

    #[test]
    fn components_with_the_same_family_share_one_heading() {
        let registry = Registry::new();
        let a = registry.scope(&[("component_path", "/"), ("component_id", "loki.write.a")]);
        let b = registry.scope(&[("component_path", "/"), ("component_id", "loki.write.b")]);
        a.counter_vec("loki_write_sent_bytes_total", "Bytes sent.", &["host"]).with(&["h"]).add(3);
        b.counter_vec("loki_write_sent_bytes_total", "Bytes sent.", &["host"]).with(&["h"]).add(4);
        b.gauge("alive", "Whether.").set(1.0);
        assert_eq!(
            page(&registry),
            r#"# HELP alive Whether.
# TYPE alive gauge
alive{component_id="loki.write.b",component_path="/"} 1
# HELP loki_write_sent_bytes_total Bytes sent.
# TYPE loki_write_sent_bytes_total counter
loki_write_sent_bytes_total{component_id="loki.write.a",component_path="/",host="h"} 3
loki_write_sent_bytes_total{component_id="loki.write.b",component_path="/",host="h"} 4
"#
        );
    }

    #[test]
    fn a_component_takes_its_metrics_with_it() {
        let registry = Registry::new();
        let scope = registry.scope(&[("component_id", "a")]);
        let counter = scope.counter("lines_total", "Lines.");
        let child = scope.child(&[("stage", "0")]);
        child.counter("dropped_total", "Dropped.").inc();
        let clone = scope.clone();
        drop(scope);
        assert_eq!(registry.value("lines_total", &[]), Some(0.0));
        assert_eq!(registry.value("dropped_total", &[("component_id", "a"), ("stage", "0")]), Some(1.0));
        drop(clone);
        assert_eq!(registry.value("lines_total", &[]), Some(0.0), "the child keeps its parent");
        drop(child);
        counter.inc();
        assert_eq!(page(&registry), "");
    }

    #[test]
    fn registering_again_finds_the_same_counter() {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        scope.counter("a_total", "A.").inc();
        scope.counter("a_total", "A.").inc();
        assert_eq!(registry.value("a_total", &[]), Some(2.0));
        assert_eq!(dropped(&registry, "inconsistent_family"), 0.0);
    }

    #[test]
    fn a_contradiction_is_dropped_and_counted_and_never_blanks_the_page() {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        scope.counter("a", "A.").inc();
        scope.gauge("a", "A.").set(7.0);
        scope.counter_vec("a", "A.", &["x"]).with(&["y"]).inc();
        scope.histogram("h", "H.", &[1.0]).observe(1.0);
        scope.histogram("h", "H.", &[2.0]).observe(1.0);
        scope.counter("not a name", "N.").inc();
        registry.scope(&[("b", "c")]).gauge("unseen", "Its scope is gone.").set(1.0);
        let other = registry.scope(&[("b", "c")]);
        other.gauge("a", "A.").set(9.0);
        assert_eq!(dropped(&registry, "inconsistent_family"), 4.0, "as registered");
        assert_eq!(dropped(&registry, "inconsistent_family"), 5.0, "and as found by the page before");
        assert_eq!(
            page(&registry),
            "# HELP a A.\n# TYPE a counter\na 1\n\
             # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
        );
    }

    #[test]
    fn collectors_write_when_somebody_looks_and_may_panic() {
        let registry = Registry::new();
        let scope = registry.scope(&[("component_id", "c")]);
        scope.collect(Box::new(|writer| writer.gauge("queue_bytes", "Bytes held.", 12.0)));
        scope.collect(Box::new(|writer| {
            writer.gauge("half", "Written before the panic.", 1.0);
            panic!("a collector's mistake");
        }));
        assert_eq!(registry.value("queue_bytes", &[("component_id", "c")]), Some(12.0));
        assert_eq!(registry.value("half", &[]), None);
        assert_eq!(dropped(&registry, "collector_panicked"), 3.0, "once for each look");
    }

    #[test]
    fn values_are_summed_over_whom_they_name() {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        let family = scope.counter_vec("n_total", "N.", &["a", "ba"]);
        family.with(&["1", "x y"]).add(1);
        family.with(&["2", "x y"]).add(2);
        family.with(&["2", "}"]).add(4);
        assert_eq!(registry.value("n_total", &[]), Some(7.0));
        assert_eq!(registry.value("n_total", &[("ba", "x y")]), Some(3.0));
        assert_eq!(registry.value("n_total", &[("a", "2"), ("ba", "}")]), Some(4.0));
        assert_eq!(registry.value("n_total", &[("a", "3")]), None);
        assert_eq!(registry.value("n", &[]), None);
    }

    #[test]
    fn unregistering_takes_everything_at_once() {
        let registry = Registry::new();
        let scope = registry.scope(&[]);
        let clone = scope.clone();
        scope.counter("a_total", "A.");
        clone.unregister();
        assert_eq!(page(&registry), "");
    }
}
