//! Metrics in batches: samples that point into the process-wide table of series.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use language_eval::{CapsuleObject, DataEdge, capsule};
use sdk_series::Series;

use crate::consumer::Receiver;

/// What one scrape, or one request of a pusher, gave. Shared: a clone costs one count, whoever changes samples makes a
/// batch of its own.
#[derive(Clone, Debug, Default)]
pub struct SampleBatch(Arc<Samples>);

/// The contents of a [`SampleBatch`].
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// In the order of the page; per series in order of time.
    pub samples: Vec<Sample>,
    /// Exemplars, each of a series that may have a sample here too.
    pub exemplars: Vec<Exemplar>,
    /// What families are, by metric name.
    pub metadata: Vec<MetricMetadata>,
}

/// One value of one series.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Whose.
    pub series: Series,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value; [`STALE`] says that the series has ended.
    pub value: f64,
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

/// What a metric family is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Name of the family.
    pub name: Arc<str>,
    /// As the exposition says it: `counter`, `gauge`, `histogram`, `summary`, `unknown`, …
    pub kind: Arc<str>,
    /// In words.
    pub help: Arc<str>,
    /// `seconds`, `bytes`, or nothing.
    pub unit: Arc<str>,
}

/// The NaN that marks a series as ended: bits `0x7ff0000000000002`, as Prometheus has it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the staleness marker, bit for bit: no other NaN is.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// What `prometheus.*` components list in `forward_to`: the capsule `storage.Appendable`.
#[derive(Clone, Debug)]
pub struct MetricsReceiver(pub Receiver<SampleBatch>);

// === impl SampleBatch ===

impl SampleBatch {
    /// Of these.
    pub fn new(samples: Samples) -> SampleBatch {
        SampleBatch(Arc::new(samples))
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.0.samples.len()
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.samples.is_empty() && self.0.exemplars.is_empty() && self.0.metadata.is_empty()
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
        Some(other.as_any().downcast_ref::<MetricsReceiver>().is_some_and(|other| self.0.is(&other.0)))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "prometheus_metric" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(MetricsReceiver, "storage.Appendable");
