//! Which exemplars have been sent: a page shows an exemplar until its bucket gets another one, and once is enough.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use sdk_signals::{Exemplar, SampleBatch, Samples, Times};
use tokio::time::{Duration, Instant};

/// More series than this are not remembered in one period: what was heard before is then forgotten sooner.
const MOST_REMEMBERED: usize = 1 << 18;

/// The last exemplar of each series, of this period and of the one before. A period is `truncate_frequency` long, as it is
/// for series: who has shown no exemplar in one is forgotten.
pub(crate) struct Exemplars {
    now: HashMap<u64, Last>,
    before: HashMap<u64, Last>,
    since: Instant,
    hashes: RandomState,
}

#[derive(Clone, Copy)]
struct Last {
    timestamp: i64,
    /// Of its labels and its value.
    content: u64,
}

// === impl Exemplars ===

impl Exemplars {
    pub(crate) fn new() -> Exemplars {
        Exemplars { now: HashMap::new(), before: HashMap::new(), since: Instant::now(), hashes: RandomState::new() }
    }

    /// The batch without exemplars that have been sent; `period` is how long a period lasts.
    pub(crate) fn only_new(&mut self, batch: SampleBatch, period: Duration) -> SampleBatch {
        if self.since.elapsed() >= period || self.now.len() >= MOST_REMEMBERED {
            self.before = std::mem::take(&mut self.now);
            self.since = Instant::now();
        }
        // A native histogram has several, in the order of its buckets.
        let mut in_time: Vec<&Exemplar> = batch.exemplars.iter().collect();
        in_time.sort_by_key(|exemplar| exemplar.timestamp);
        in_time.retain(|exemplar| self.is_new(exemplar, &batch.times));
        if in_time.len() == batch.exemplars.len() {
            return batch;
        }
        let exemplars = in_time.into_iter().cloned().collect();
        SampleBatch::new(Samples {
            series: batch.series.clone(),
            times: batch.times.clone(),
            values: batch.values.clone(),
            starts: batch.starts.clone(),
            histograms: batch.histograms.clone(),
            exemplars,
            metadata: batch.metadata.clone(),
        })
    }

    /// Alloy's rule: one that is older than the last is late, and one with the labels and the value of the last is the
    /// last, unless it says itself that it is of another time.
    fn is_new(&mut self, exemplar: &Exemplar, times: &Times) -> bool {
        let Exemplar { series, labels, value, timestamp } = exemplar;
        let this = Last { timestamp: *timestamp, content: self.hashes.hash_one((labels, value.to_bits())) };
        let last = self.now.get(&series.id()).or_else(|| self.before.get(&series.id())).copied();
        // Without a time of its own it has that of the scrape.
        let is_of_scrape = matches!(times, Times::One(scrape) if scrape == timestamp);
        let is_new = last.is_none_or(|last| {
            let is_same = last.content == this.content && (is_of_scrape || last.timestamp == this.timestamp);
            this.timestamp >= last.timestamp && !is_same
        });
        // What is shown still is remembered still.
        self.now.insert(series.id(), if is_new { this } else { last.unwrap_or(this) });
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use sdk_labels::Labels;
    use sdk_series::Series;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    /// A scrape at `at` that shows these: of which series, with which trace and value, and when.
    fn scrape(at: i64, shown: &[(&str, &str, f64, i64)]) -> SampleBatch {
        // A page keeps its series, or they would have other numbers the next time.
        static KEPT: OnceLock<Vec<Series>> = OnceLock::new();
        let of = |name| Series::of(&Labels::from_pairs([("__name__", "shown"), ("name", name)]));
        KEPT.get_or_init(|| ["a", "b", "h", "c_total"].map(of).into());
        let exemplars = shown.iter().map(|(name, trace, value, timestamp)| Exemplar {
            series: of(name),
            labels: Labels::from_pairs([("trace_id", *trace)]),
            value: *value,
            timestamp: *timestamp,
        });
        SampleBatch::new(Samples {
            series: [of("c_total")].into(),
            times: Times::One(at),
            values: vec![7.0],
            exemplars: exemplars.collect(),
            ..Samples::default()
        })
    }

    fn told(batch: &SampleBatch) -> Vec<(f64, i64)> {
        assert_eq!(batch.rows().map(|(_, _, value)| value).collect::<Vec<_>>(), [7.0], "samples are untouched");
        batch.exemplars.iter().map(|exemplar| (exemplar.value, exemplar.timestamp)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_exemplar_that_a_page_shows_again_is_sent_once() {
        let mut exemplars = Exemplars::new();
        let mut sent = |at, shown: &[_]| told(&exemplars.only_new(scrape(at, shown), PERIOD));
        let (first, other) = (("a", "t1", 0.5, 900), ("b", "t1", 0.5, 900));
        assert_eq!(sent(1000, &[first]), [(0.5, 900)]);
        assert_eq!(sent(2000, &[first, other]), [(0.5, 900)], "that of another series is another one");
        assert_eq!(sent(3000, &[first, other]), []);
        assert_eq!(sent(4000, &[("a", "t2", 0.5, 3900), other]), [(0.5, 3900)], "another trace");
        assert_eq!(sent(5000, &[first, other]), [], "older than the last");
        assert_eq!(sent(6000, &[("a", "t2", 0.5, 5900)]), [(0.5, 5900)], "the same trace, of another time");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_of_its_own_an_exemplar_is_the_last_one_while_it_does_not_change() {
        let mut exemplars = Exemplars::new();
        let mut sent = |at, value| told(&exemplars.only_new(scrape(at, &[("a", "t", value, at)]), PERIOD));
        assert_eq!(sent(1000, 0.5), [(0.5, 1000)]);
        assert_eq!(sent(2000, 0.5), []);
        assert_eq!(sent(3000, 0.7), [(0.7, 3000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_a_native_histogram_are_sent_in_order_of_time_and_once() {
        let mut exemplars = Exemplars::new();
        let mut sent = |at, shown: &[_]| told(&exemplars.only_new(scrape(at, shown), PERIOD));
        let (late, early) = (("h", "t1", 0.1, 950), ("h", "t2", 2.0, 900));
        assert_eq!(sent(1000, &[early, late]), [(2.0, 900), (0.1, 950)]);
        assert_eq!(sent(2000, &[late, early]), []);
        let newest = ("h", "t3", 9.0, 1900);
        assert_eq!(sent(3000, &[newest, late, early]), [(9.0, 1900)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_series_is_forgotten_after_a_whole_period_without_an_exemplar() {
        let mut exemplars = Exemplars::new();
        let mut sent = |shown: &[_]| told(&exemplars.only_new(scrape(1000, shown), PERIOD));
        let (kept, left) = (("a", "t1", 0.5, 900), ("b", "t1", 0.5, 900));
        assert_eq!(sent(&[kept, left]).len(), 2);
        for _ in 0..2 {
            tokio::time::advance(PERIOD).await;
            assert_eq!(sent(&[kept]).len(), 0);
        }
        assert_eq!(exemplars.now.len() + exemplars.before.len(), 2, "both times that which is shown still");
    }
}
