//! Rewriting the labels of samples, with what was made of each series remembered. `prometheus.relabel`,
//! `prometheus.enrich` and `prometheus.remote_write` stand on it.
//!
//! Two memories. A page that is scraped again has the very same list of series (see `sdk_signals::Samples`), so what was
//! made of a whole list is known by the list's address, and a sample costs nothing but the copy of its value. A series in
//! a new list is looked up by itself.
//!
//! The memory of series has two generations. A series that is seen moves to the young one; when that is full (or old
//! enough, with `cache_ttl`), it becomes the old one and the old one is forgotten. So it holds at most as many series as
//! allowed, and forgets about those that were not seen for longest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sdk_labels::{Labels, LabelsBuilder};
use sdk_relabel::Rules;
use sdk_series::Series;
use sdk_signals::{SampleBatch, Samples, Times, is_stale};
use tokio::time::Instant;

/// Lists are looked through for such that nobody uses any more when their number has doubled, from this number on.
const FEW_LISTS: usize = 16;

/// Makes other labels of the labels of a series; of the same ones always the same.
pub(crate) trait Rewriting: Send + Sync {
    /// Leaves the new labels in `builder`; false if the series is dropped.
    fn apply(&self, labels: &Labels, builder: &mut LabelsBuilder) -> bool;
}

/// What is done to the labels of a series by rules.
pub(crate) struct Rewrite {
    /// Set where the series has no such label, before the rules.
    pub(crate) external_labels: Labels,
    /// Applied from the first to the last.
    pub(crate) rules: Rules,
}

pub(crate) struct Cache {
    rewrite: Box<dyn Rewriting>,
    bound: Bound,
    young: HashMap<Series, Option<Series>>,
    old: HashMap<Series, Option<Series>>,
    young_since: Instant,
    lists: HashMap<usize, List>,
    /// Look through the lists when there are so many.
    sweep_at: usize,
    builder: LabelsBuilder,
}

#[derive(Clone, Copy)]
enum Bound {
    /// Series in one generation.
    Size(usize),
    /// The age at which the young generation becomes the old one.
    Age(Duration),
}

/// A list of series and what became of it.
struct List {
    /// Kept so that no other list comes to lie at this address.
    source: Arc<[Series]>,
    relabelled: Arc<[Series]>,
    /// The rows that were kept; None for all.
    kept: Option<Box<[u32]>>,
}

/// How the memory fared with a batch.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Looked {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) deletes: u64,
    pub(crate) expired: u64,
}

impl Rewrite {
    /// Rules alone.
    pub(crate) fn by(rules: Rules) -> Rewrite {
        Rewrite { external_labels: Labels::empty(), rules }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.external_labels.is_empty() && self.rules.is_empty()
    }
}

impl Rewriting for Rewrite {
    /// False if the series is dropped, as one without any label is, or with a label that has no name: a rule can make
    /// them, and no storage takes them.
    fn apply(&self, labels: &Labels, builder: &mut LabelsBuilder) -> bool {
        builder.reset(labels);
        for (name, value) in &self.external_labels {
            if builder.get(name).is_empty() {
                builder.set(name, value);
            }
        }
        self.rules.apply(builder) && !builder.is_empty() && builder.get("").is_empty()
    }
}

impl Cache {
    /// What becomes of these labels; nothing is remembered of it.
    pub(crate) fn preview(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = LabelsBuilder::default();
        self.rewrite.apply(labels, &mut builder).then(|| builder.labels())
    }

    /// Remembers so many series.
    pub(crate) fn of_size(rewrite: impl Rewriting + 'static, size: usize) -> Cache {
        Cache::new(Box::new(rewrite), Bound::Size((size / 2).max(1)))
    }

    /// Remembers a series for so long after it was seen last, and at most twice as long.
    pub(crate) fn for_time(rewrite: Rewrite, ttl: Duration) -> Cache {
        Cache::new(Box::new(rewrite), Bound::Age(ttl))
    }

    fn new(rewrite: Box<dyn Rewriting>, bound: Bound) -> Cache {
        Cache {
            rewrite,
            bound,
            young: HashMap::new(),
            old: HashMap::new(),
            young_since: Instant::now(),
            lists: HashMap::new(),
            sweep_at: FEW_LISTS,
            builder: LabelsBuilder::default(),
        }
    }

    /// Series that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// The batch after the rules.
    pub(crate) fn relabel(&mut self, batch: &SampleBatch) -> (SampleBatch, Looked) {
        let mut looked = Looked::default();
        self.age(&mut looked);
        let address = Arc::as_ptr(&batch.series).addr();
        if !self.lists.contains_key(&address) {
            let list = self.list(&batch.series, &mut looked);
            self.sweep();
            self.lists.insert(address, list);
        } else {
            looked.hits += batch.series.len() as u64;
        }
        let list = &self.lists[&address];
        let (times, values, starts) = match &list.kept {
            None => (batch.times.clone(), batch.values.clone(), batch.starts.clone()),
            Some(kept) => {
                let times = match &batch.times {
                    Times::One(time) => Times::One(*time),
                    Times::Each(times) => Times::Each(kept.iter().map(|row| times[*row as usize]).collect()),
                };
                let starts = if batch.starts.is_empty() {
                    Vec::new()
                } else {
                    kept.iter().map(|row| batch.start(*row as usize)).collect()
                };
                (times, kept.iter().map(|row| batch.values[*row as usize]).collect(), starts)
            }
        };
        let series = list.relabelled.clone();
        let mut samples = Samples { series, times, values, starts, ..Samples::default() };
        for histogram in &batch.histograms {
            if let Some(series) = self.series(&histogram.series, &mut looked) {
                samples.histograms.push(sdk_signals::HistogramSample { series, ..histogram.clone() });
            }
        }
        let told = batch.metadata.iter().filter_map(|metadata| {
            let series = self.series(&metadata.series, &mut Looked::default())?;
            Some(sdk_signals::MetricMetadata { series, about: metadata.about.clone() })
        });
        if !batch.metadata.is_empty() {
            samples.metadata = told.collect();
        }
        for exemplar in &batch.exemplars {
            if let Some(series) = self.series(&exemplar.series, &mut Looked::default()) {
                samples.exemplars.push(sdk_signals::Exemplar { series, ..exemplar.clone() });
            }
        }
        for (series, _, value) in batch.rows() {
            // A series that has ended is not seen again.
            if is_stale(value) && (self.young.remove(series).is_some() | self.old.remove(series).is_some()) {
                looked.deletes += 1;
            }
        }
        (SampleBatch::new(samples), looked)
    }

    fn list(&mut self, source: &Arc<[Series]>, looked: &mut Looked) -> List {
        let relabelled: Vec<Option<Series>> = source.iter().map(|series| self.series(series, looked)).collect();
        let kept = if relabelled.iter().any(Option::is_none) {
            let rows = relabelled.iter().zip(0u32..).filter(|(series, _)| series.is_some());
            Some(rows.map(|(_, row)| row).collect())
        } else {
            None
        };
        List { source: source.clone(), relabelled: relabelled.into_iter().flatten().collect(), kept }
    }

    fn series(&mut self, series: &Series, looked: &mut Looked) -> Option<Series> {
        if let Some(known) = self.young.get(series) {
            looked.hits += 1;
            return known.clone();
        }
        let relabelled = match self.old.remove(series) {
            Some(known) => {
                looked.hits += 1;
                known
            }
            None => {
                looked.misses += 1;
                let kept = self.rewrite.apply(series.labels(), &mut self.builder);
                kept.then(|| Series::of(&self.builder.labels()))
            }
        };
        if let Bound::Size(half) = self.bound
            && self.young.len() >= half
        {
            self.turn();
        }
        self.young.insert(series.clone(), relabelled.clone());
        relabelled
    }

    fn age(&mut self, looked: &mut Looked) {
        if let Bound::Age(ttl) = self.bound
            && self.young_since.elapsed() >= ttl
        {
            looked.expired += self.old.len() as u64;
            self.turn();
            // A list is as good as its series.
            self.lists.clear();
        }
    }

    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
        self.young_since = Instant::now();
    }

    /// Forgets lists that nobody else holds: their pages have changed, or their targets are gone.
    fn sweep(&mut self) {
        if self.lists.len() >= self.sweep_at {
            self.lists.retain(|_, list| Arc::strong_count(&list.source) > 1);
            self.sweep_at = (self.lists.len() * 2).max(FEW_LISTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_labels::Labels;
    use sdk_relabel::{Action, NameRule, Rule, RuleRegex};
    use sdk_signals::{STALE, Sample};

    use super::*;

    fn rules() -> Rewrite {
        let drop = Rule {
            source_labels: vec!["__name__".into()],
            regex: RuleRegex::new("dropped_.*").expect("a good expression"),
            action: Action::Drop,
            ..Rule::default()
        };
        let constant = Rule { target_label: "team".into(), replacement: "core".into(), ..Rule::default() };
        Rewrite::by(Rules::new([drop, constant], NameRule::Legacy))
    }

    fn page(names: &[&str]) -> Arc<[Series]> {
        names.iter().map(|name| Series::of(&Labels::from_pairs([("__name__", *name)]))).collect()
    }

    fn batch(series: &Arc<[Series]>, values: &[f64]) -> SampleBatch {
        let (series, times, values) = (series.clone(), Times::One(7), values.to_vec());
        SampleBatch::new(Samples { series, times, values, ..Samples::default() })
    }

    fn shown(batch: &SampleBatch) -> Vec<String> {
        batch.rows().map(|(series, time, value)| format!("{series:?} {time} {value}")).collect()
    }

    #[test]
    fn values_follow_their_series_when_rows_are_dropped() {
        let mut cache = Cache::of_size(rules(), 10);
        let page = page(&["a", "dropped_b", "c"]);
        let expect = [r#"{__name__="a", team="core"} 7 1"#, r#"{__name__="c", team="core"} 7 3"#];
        assert_eq!(shown(&cache.relabel(&batch(&page, &[1.0, 2.0, 3.0])).0), expect);

        let (again, looked) = cache.relabel(&batch(&page, &[1.0, 2.0, 3.0]));
        assert_eq!(looked, Looked { hits: 3, ..Looked::default() });
        let (third, _) = cache.relabel(&batch(&page, &[4.0, 5.0, 6.0]));
        assert!(Arc::ptr_eq(&again.series, &third.series), "who comes after us may know our list again, too");
        assert_eq!(third.values, [4.0, 6.0]);
    }

    #[test]
    fn external_labels_stand_back_behind_the_series_own() {
        let external_labels = Labels::from_pairs([("zone", "eu"), ("job", "external")]);
        let rewrite = Rewrite { external_labels, rules: Rules::new([], NameRule::Legacy) };
        let mut builder = LabelsBuilder::default();
        assert!(rewrite.apply(&Labels::from_pairs([("job", "own")]), &mut builder));
        assert_eq!(builder.labels().to_string(), r#"{job="own", zone="eu"}"#);
        assert!(!rewrite.apply(&Labels::from_pairs([("", "nameless")]), &mut builder));
    }

    #[test]
    fn rows_with_their_own_times_keep_them() {
        let mut cache = Cache::of_size(rules(), 10);
        let sample = |name: &str, timestamp| Sample { series: page(&[name])[0].clone(), timestamp, value: 1.0 };
        let mixed: SampleBatch = [sample("dropped_a", 1), sample("b", 2)].into_iter().collect();
        assert_eq!(shown(&cache.relabel(&mixed).0), [r#"{__name__="b", team="core"} 2 1"#]);
    }

    #[test]
    fn the_memory_is_bounded_and_a_series_that_has_ended_leaves_it() {
        let mut cache = Cache::of_size(rules(), 4);
        let pages: Vec<_> = (0..100).map(|i| page(&[&format!("m{i}"), "always"])).collect();
        for page in &pages {
            cache.relabel(&batch(page, &[1.0, 1.0]));
            assert!(cache.len() <= 4, "{}", cache.len());
        }
        let (_, looked) = cache.relabel(&batch(&pages[99], &[STALE, 1.0]));
        assert_eq!(looked.deletes, 1);
        drop(pages);
        cache.sweep_at = 0;
        cache.sweep();
        assert!(cache.lists.is_empty(), "lists that nobody holds are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_time_to_live_a_series_is_forgotten_when_it_is_not_seen() {
        let mut cache = Cache::for_time(rules(), Duration::from_secs(60));
        let page = page(&["a"]);
        let mut misses = 0;
        for _ in 0..10 {
            misses += cache.relabel(&batch(&page, &[1.0])).1.misses;
            tokio::time::advance(Duration::from_secs(45)).await;
        }
        assert_eq!(misses, 1, "it is seen all the time");
        tokio::time::advance(Duration::from_secs(60)).await;
        cache.relabel(&SampleBatch::default());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(cache.relabel(&SampleBatch::default()).1.expired, 1);
        assert_eq!(cache.relabel(&batch(&page, &[1.0])).1.misses, 1);
    }
}
