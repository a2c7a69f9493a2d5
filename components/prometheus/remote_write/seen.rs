//! Which series have been heard from: what Alloy's write-ahead log calls active.
//!
//! Series are numbered as they come, so those of one page stand side by side: a bit for each, in pieces of 4,096.

use std::collections::HashMap;

use base_metrics::{Counter, Gauge};
use sdk_series::Series;
use sdk_signals::SampleBatch;
use tokio::time::{Duration, Instant};

use crate::lists::Lists;

const PIECE_BITS: u64 = 4096;
type Piece = [u64; (PIECE_BITS / 64) as usize];

/// Series of this period and of the one before. A period is `truncate_frequency` long: who has not been heard from in one
/// is forgotten.
pub(crate) struct Seen {
    now: HashMap<u64, Box<Piece>>,
    before: HashMap<u64, Box<Piece>>,
    /// Lists that have been heard from as a whole in this period.
    lists: Lists<bool>,
    since: Instant,
    active: u64,
    metrics: SeenMetrics,
}

/// Under Alloy's names.
pub(crate) struct SeenMetrics {
    pub(crate) active: Gauge,
    pub(crate) created: Counter,
    pub(crate) removed: Counter,
}

// === impl Seen ===

impl Seen {
    pub(crate) fn new(metrics: SeenMetrics) -> Seen {
        Seen {
            now: HashMap::new(),
            before: HashMap::new(),
            lists: Lists::new(),
            since: Instant::now(),
            active: 0,
            metrics,
        }
    }

    /// The series of a batch have been heard from; `period` is how long a period lasts.
    pub(crate) fn hear_batch(&mut self, batch: &SampleBatch, period: Duration) {
        self.turn_when_due(period);
        self.lists.sweep();
        // It is complete: there is a value for each of its series.
        let is_known = std::mem::replace(self.lists.of(&batch.series, || false), true);
        if !is_known {
            self.hear(batch.series.iter());
        }
        self.hear(batch.histograms.iter().map(|histogram| &histogram.series));
    }

    fn turn_when_due(&mut self, period: Duration) {
        if self.since.elapsed() >= period {
            self.turn();
        }
    }

    fn hear<'a>(&mut self, series: impl Iterator<Item = &'a Series>) {
        let mut created = 0;
        let mut ids = series.map(Series::id).peekable();
        while let Some(number) = ids.peek().map(|id| id / PIECE_BITS) {
            let piece = self.now.entry(number).or_insert_with(|| Box::new([0; _]));
            while let Some(id) = ids.next_if(|id| id / PIECE_BITS == number) {
                let bit = id % PIECE_BITS;
                let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
                if piece[word] & mask == 0 {
                    piece[word] |= mask;
                    let was_known = self.before.get(&number).is_some_and(|piece| piece[word] & mask != 0);
                    created += u64::from(!was_known);
                }
            }
        }
        if created > 0 {
            self.active += created;
            self.metrics.created.add(created);
            self.metrics.active.set_u64(self.active);
        }
    }

    fn turn(&mut self) {
        let mut removed = 0;
        for (number, piece) in &self.before {
            let now = self.now.get(number);
            let gone = piece.iter().enumerate().map(|(word, bits)| bits & !now.map_or(0, |now| now[word]));
            removed += gone.map(|bits| u64::from(bits.count_ones())).sum::<u64>();
        }
        self.before = std::mem::take(&mut self.now);
        self.lists.clear();
        self.since = Instant::now();
        self.active -= removed;
        self.metrics.removed.add(removed);
        self.metrics.active.set_u64(self.active);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sdk_labels::Labels;
    use sdk_signals::Samples;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_series_is_forgotten_after_a_whole_period_without_it() {
        let registry = base_metrics::Registry::new();
        let scope = registry.scope(&[]);
        let (active, created, removed) = (scope.gauge("a", "."), scope.counter("c", "."), scope.counter("r", "."));
        let mut seen =
            Seen::new(SeenMetrics { active: active.clone(), created: created.clone(), removed: removed.clone() });
        let all: Arc<[Series]> = (0..5000)
            .map(|i| Series::of(&Labels::from_pairs([("__name__", "seen"), ("i", i.to_string().as_str())])))
            .collect();
        let batch = |series: Arc<[Series]>| {
            let values = vec![1.0; series.len()];
            SampleBatch::new(Samples { series, values, ..Samples::default() })
        };
        let (first_10, first_20) = (batch(all[..10].into()), batch(all[..20].into()));
        let period = Duration::from_secs(60);
        let figures = || (active.get(), created.get() as u64, removed.get() as u64);
        seen.hear_batch(&batch(all.clone()), period);
        seen.hear_batch(&batch(all.iter().rev().cloned().collect()), period);
        assert_eq!(figures(), (5000.0, 5000, 0));
        tokio::time::advance(period).await;
        seen.hear_batch(&first_10, period);
        assert_eq!(figures(), (5000.0, 5000, 0), "one period is not enough");
        tokio::time::advance(period).await;
        // The very list that was heard from in the period before.
        for _ in 0..3 {
            seen.hear_batch(&first_10, period);
            assert_eq!(figures(), (10.0, 5000, 4990));
        }
        seen.hear_batch(&first_20, period);
        assert_eq!(figures(), (20.0, 5010, 4990));
    }
}
