//! Metrics in batches: samples that point into the process-wide table of series.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use language_eval::{CapsuleObject, DataEdge, capsule};
use sdk_histogram::NativeHistogram;
use sdk_series::Series;

use crate::consumer::Receiver;
use crate::fan_out::Batch;

/// What one scrape, or one request of a pusher, gave. Shared: a clone costs one count, whoever changes samples makes a
/// batch of its own.
#[derive(Clone, Debug, Default)]
pub struct SampleBatch(Arc<Samples>);

/// The contents of a [`SampleBatch`]: columns, one row per sample.
///
/// The series stand in a list of their own that batches share: a page that has the same series as the time before hands
/// the very same list on. So a scrape counts one reference instead of one per sample, and whoever does something per
/// series (relabelling, deciding what to send) can know a list again by its address and be done.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Whose value each row is, in the order of the page; per series in order of time.
    pub series: Arc<[Series]>,
    /// When: one for all rows, or one per row.
    pub times: Times,
    /// The values, one per row; [`STALE`] says that the series has ended.
    pub values: Vec<f64>,
    /// Since when the counter of each row counts, in milliseconds since 1970: nothing if no row's is known, or one per row
    /// with 0 where it is not.
    pub starts: Vec<i64>,
    /// Native histograms. They are few beside the rows and far larger, so they have no columns.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars, each of a series that may have a row here too.
    pub exemplars: Vec<Exemplar>,
    /// What series are, if the source was asked to say it. Batches share the list as they share that of the series.
    pub metadata: Arc<[MetricMetadata]>,
}

/// The time column. Milliseconds since 1970.
#[derive(Clone, Debug)]
pub enum Times {
    /// All rows have the time of their scrape.
    One(i64),
    /// One per row.
    Each(Vec<i64>),
}

/// One row.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Whose.
    pub series: Series,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value; [`STALE`] says that the series has ended.
    pub value: f64,
}

/// A native histogram at a time.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Whose.
    pub series: Series,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Since when it counts, in the same form; 0 if that is not known.
    pub start: i64,
    /// The buckets; a sum of [`STALE`] says that the series has ended.
    pub value: Arc<NativeHistogram>,
}

/// A trace that stands for a value.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// Of which series.
    pub series: Series,
    /// Its own labels: `trace_id`, …
    pub labels: sdk_labels::Labels,
    /// Its value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// What a series is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Which.
    pub series: Series,
    /// What its family says; all series of a family share it.
    pub about: Arc<About>,
}

/// What a metric family is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name, which its series have too, with suffixes; OpenMetrics leaves out a counter's `_total`.
    pub family: Box<str>,
    /// As the exposition says it: `counter`, `gauge`, `histogram`, `summary`, `unknown`, …
    pub kind: Box<str>,
    /// In words.
    pub help: Box<str>,
    /// `seconds`, `bytes`, or nothing.
    pub unit: Box<str>,
}

/// The NaN that marks a series as ended: bits `0x7ff0000000000002`, as Prometheus has it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the staleness marker, bit for bit: no other NaN is.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// What `prometheus.*` components list in `forward_to`: the capsule `storage.Appendable`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsReceiver(pub Receiver<SampleBatch>);

// === impl SampleBatch ===

impl SampleBatch {
    /// Of these.
    pub fn new(samples: Samples) -> SampleBatch {
        SampleBatch(Arc::new(samples))
    }

    /// How many rows: samples that are no histograms.
    pub fn len(&self) -> usize {
        self.0.values.len()
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        let Samples { values, histograms, exemplars, metadata, .. } = &*self.0;
        values.is_empty() && histograms.is_empty() && exemplars.is_empty() && metadata.is_empty()
    }
}

impl Batch for SampleBatch {
    fn items(&self) -> u64 {
        (self.len() + self.histograms.len()) as u64
    }
}

impl FromIterator<Sample> for SampleBatch {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> SampleBatch {
        let (mut series, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for sample in samples {
            series.push(sample.series);
            times.push(sample.timestamp);
            values.push(sample.value);
        }
        SampleBatch::new(Samples { series: series.into(), times: Times::Each(times), values, ..Samples::default() })
    }
}

// === impl Samples ===

impl Samples {
    /// Whose, when and what, row by row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Series, i64, f64)> {
        debug_assert_eq!(self.series.len(), self.values.len(), "the columns are of one length");
        self.series
            .iter()
            .zip(&self.values)
            .enumerate()
            .map(|(row, (series, value))| (series, self.times.at(row), *value))
    }

    /// Since when the counter of a row counts; 0 if that is not known.
    pub fn start(&self, row: usize) -> i64 {
        self.starts.get(row).copied().unwrap_or(0)
    }
}

// === impl Times ===

impl Times {
    /// The time of a row.
    pub fn at(&self, row: usize) -> i64 {
        match self {
            Times::One(time) => *time,
            Times::Each(times) => times[row],
        }
    }
}

impl Default for Times {
    fn default() -> Times {
        Times::One(0)
    }
}

impl Deref for SampleBatch {
    type Target = Samples;

    fn deref(&self) -> &Samples {
        &self.0
    }
}

// === impl MetricsReceiver ===

impl CapsuleObject for MetricsReceiver {
    fn type_name(&self) -> &'static str {
        "storage.Appendable"
    }

    fn text(&self) -> Option<String> {
        Some(format!("{}.receiver", self.0.component()))
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref() == Some(self))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "prometheus_metric" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(MetricsReceiver, "storage.Appendable");

#[cfg(test)]
mod tests {
    use sdk_labels::Labels;

    use super::*;

    #[test]
    fn rows_read_the_columns_side_by_side() {
        let series = |name: &str| Series::of(&Labels::from_pairs([("__name__", name)]));
        let sample = |name, timestamp, value| Sample { series: series(name), timestamp, value };
        let batch: SampleBatch = [sample("a", 1, 0.5), sample("b", 2, STALE)].into_iter().collect();
        let rows: Vec<_> = batch.rows().map(|(series, time, value)| (series.clone(), time, is_stale(value))).collect();
        assert_eq!(rows, [(series("a"), 1, false), (series("b"), 2, true)]);
        assert_eq!(Times::One(7).at(3), 7);
    }
}
