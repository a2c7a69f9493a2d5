//! The three kinds of metric. Handles are cheap to clone, all clones count into the same number, and counting never
//! takes a lock. A handle outlives its registration: it goes on counting, nobody sees it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<CounterCell>);

/// Whole steps and fractions are kept apart, so that counting by one is a single instruction and stays exact.
#[derive(Debug, Default)]
struct CounterCell {
    whole: AtomicU64,
    fraction_bits: AtomicU64,
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Observations counted into buckets by their size.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramCell>);

#[derive(Debug)]
struct HistogramCell {
    /// Upper bounds, ascending, without +Inf.
    bounds: Arc<[f64]>,
    /// One more than bounds; not cumulative.
    counts: Box<[AtomicU64]>,
    sum_bits: AtomicU64,
}

// === impl Counter ===

impl Counter {
    /// A counter at zero that belongs to no registry.
    pub fn new() -> Counter {
        Counter::default()
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds a whole number.
    pub fn add(&self, count: u64) {
        self.0.whole.fetch_add(count, Relaxed);
    }

    /// Adds a fraction, such as seconds. What is negative or NaN is ignored: a counter never goes back.
    pub fn add_f64(&self, amount: f64) {
        if amount > 0.0 {
            add_to_bits(&self.0.fraction_bits, amount);
        }
    }

    /// What has been counted so far.
    pub fn get(&self) -> f64 {
        self.0.whole.load(Relaxed) as f64 + f64::from_bits(self.0.fraction_bits.load(Relaxed))
    }
}

// === impl Gauge ===

impl Gauge {
    /// A gauge at zero that belongs to no registry.
    pub fn new() -> Gauge {
        Gauge::default()
    }

    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Sets the value from a count. Counts above 2^53 lose their last digits, as everywhere in Prometheus.
    pub fn set_u64(&self, value: u64) {
        self.set(value as f64);
    }

    /// Adds, or takes away when negative.
    pub fn add(&self, amount: f64) {
        add_to_bits(&self.0, amount);
    }

    /// Takes away.
    pub fn sub(&self, amount: f64) {
        self.add(-amount);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

// === impl Histogram ===

impl Histogram {
    /// A histogram that belongs to no registry. `bounds` are the buckets' upper bounds; they are sorted, and +Inf is
    /// added by itself.
    pub fn new(bounds: &[f64]) -> Histogram {
        Histogram::with_bounds(tidy_bounds(bounds))
    }

    pub(crate) fn with_bounds(bounds: Arc<[f64]>) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(HistogramCell { bounds, counts, sum_bits: AtomicU64::new(0) }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts so many observations of one value.
    pub fn observe_many(&self, value: f64, count: u64) {
        // Not `binary_search`: NaN falls into the last bucket, as in the Go client.
        let bucket = self.0.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.0.bounds.len());
        self.0.counts[bucket].fetch_add(count, Relaxed);
        add_to_bits(&self.0.sum_bits, value * count as f64);
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum_bits.load(Relaxed))
    }

    /// Calls `each` with every upper bound and the number of observations up to it; the last one is +Inf and all.
    pub fn cumulative(&self, mut each: impl FnMut(f64, u64)) {
        let mut total = 0;
        for (bucket, count) in self.0.counts.iter().enumerate() {
            total += count.load(Relaxed);
            each(self.0.bounds.get(bucket).copied().unwrap_or(f64::INFINITY), total);
        }
    }
}

/// `count` bounds from `start`, each `factor` times the one before.
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}

/// `count` bounds from `start`, each `width` above the one before.
pub fn linear_buckets(start: f64, width: f64, count: usize) -> Vec<f64> {
    (0..count).map(|step| start + width * step as f64).collect()
}

/// Ascending, each once, without NaN and +Inf.
pub(crate) fn tidy_bounds(bounds: &[f64]) -> Arc<[f64]> {
    let mut bounds: Vec<f64> = bounds.iter().copied().filter(|bound| *bound < f64::INFINITY).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds.into()
}

fn add_to_bits(bits: &AtomicU64, amount: f64) {
    let mut before = bits.load(Relaxed);
    while let Err(now) =
        bits.compare_exchange_weak(before, (f64::from_bits(before) + amount).to_bits(), Relaxed, Relaxed)
    {
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds_whole_numbers_and_fractions_and_never_goes_back() {
        let counter = Counter::new();
        counter.inc();
        counter.clone().add(2);
        counter.add_f64(0.5);
        counter.add_f64(-7.0);
        counter.add_f64(f64::NAN);
        assert_eq!(counter.get(), 3.5);
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(&[10.0, 1.0, f64::INFINITY, 1.0]);
        for value in [0.5, 1.0, 2.0, 99.0] {
            histogram.observe(value);
        }
        let mut seen = Vec::new();
        histogram.cumulative(|bound, count| seen.push((bound, count)));
        assert_eq!(seen, [(1.0, 2), (10.0, 3), (f64::INFINITY, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (4, 102.5));
    }

    #[test]
    fn handles_count_together_from_many_threads() {
        let (counter, gauge) = (Counter::new(), Gauge::new());
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..1000 {
                        counter.inc();
                        gauge.add(2.0);
                        gauge.dec();
                    }
                });
            }
        });
        assert_eq!((counter.get(), gauge.get()), (4000.0, 4000.0));
    }

    #[test]
    fn bucket_makers_give_the_usual_rows() {
        assert_eq!(exponential_buckets(1.0, 4.0, 4), [1.0, 4.0, 16.0, 64.0]);
        assert_eq!(linear_buckets(1.0, 2.0, 3), [1.0, 3.0, 5.0]);
    }
}
