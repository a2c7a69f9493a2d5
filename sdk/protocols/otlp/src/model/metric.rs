//! Metrics and their points.

use bytes::Bytes;

use super::field::message;
use super::{Item, Map, Text};
use crate::Signal;

/// Bit of a point's `flags`: no value was recorded, the series ended.
pub const NO_RECORDED_VALUE: u32 = 1;
/// `AggregationTemporality`: each point counts since the one before.
pub const DELTA: i32 = 1;
/// `AggregationTemporality`: each point counts since the start.
pub const CUMULATIVE: i32 = 2;

message! {
    /// A `Metric`.
    pub struct Metric {
        /// Its name.
        1 name: Text as text,
        /// What it counts, for people.
        2 description: Text as text,
        /// Its unit in UCUM.
        3 unit: Text as text,
        /// Its points.
        5 | 7 | 9 | 10 | 11 data: MetricData as metric_data,
        /// What describes it.
        12 metadata: Map as pairs,
    }
}

/// What a metric holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum MetricData {
    /// Nothing.
    #[default]
    None,
    /// Values as they are now.
    Gauge(Gauge),
    /// Sums.
    Sum(Sum),
    /// Distributions over given bounds.
    Histogram(Histogram),
    /// Distributions over bounds that grow by a factor.
    ExponentialHistogram(ExponentialHistogram),
    /// Quantiles computed at the source.
    Summary(Summary),
}

message! {
    /// A `Gauge`.
    pub struct Gauge {
        /// Its points.
        1 points: Vec<NumberPoint> as messages,
    }
}

message! {
    /// A `Sum`.
    pub struct Sum {
        /// Its points.
        1 points: Vec<NumberPoint> as messages,
        /// Since when each point counts: [`DELTA`] or [`CUMULATIVE`].
        2 temporality: i32 as enumeration,
        /// Whether it never falls.
        3 is_monotonic: bool as boolean,
    }
}

message! {
    /// A `Histogram`.
    pub struct Histogram {
        /// Its points.
        1 points: Vec<HistogramPoint> as messages,
        /// Since when each point counts: [`DELTA`] or [`CUMULATIVE`].
        2 temporality: i32 as enumeration,
    }
}

message! {
    /// An `ExponentialHistogram`.
    pub struct ExponentialHistogram {
        /// Its points.
        1 points: Vec<ExponentialHistogramPoint> as messages,
        /// Since when each point counts: [`DELTA`] or [`CUMULATIVE`].
        2 temporality: i32 as enumeration,
    }
}

message! {
    /// A `Summary`.
    pub struct Summary {
        /// Its points.
        1 points: Vec<SummaryPoint> as messages,
    }
}

/// The value of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Number {
    /// Not set.
    #[default]
    None,
    /// `as_double`.
    Double(f64),
    /// `as_int`.
    Int(i64),
}

message! {
    /// A `NumberDataPoint`. Times in nanoseconds since 1970.
    pub struct NumberPoint {
        /// What tells it from its neighbours.
        7 attributes: Map as pairs,
        /// Since when it counts; 0 unknown.
        2 start_time_unix_nano: u64 as fixed64,
        /// When it was read.
        3 time_unix_nano: u64 as fixed64,
        /// Its value.
        4 | 6 value: Number as choice,
        /// Examples.
        5 exemplars: Vec<Exemplar> as messages,
        /// See [`NO_RECORDED_VALUE`].
        8 flags: u32 as uint32,
    }
}

message! {
    /// A `HistogramDataPoint`. Times in nanoseconds since 1970.
    pub struct HistogramPoint {
        /// What tells it from its neighbours.
        9 attributes: Map as pairs,
        /// Since when it counts; 0 unknown.
        2 start_time_unix_nano: u64 as fixed64,
        /// When it was read.
        3 time_unix_nano: u64 as fixed64,
        /// Observations.
        4 count: u64 as fixed64,
        /// Their sum.
        5 sum: Option<f64> as optional_double,
        /// Observations by bucket, one more than there are bounds.
        6 bucket_counts: Vec<u64> as packed_fixed64,
        /// Upper bounds, inclusive.
        7 explicit_bounds: Vec<f64> as packed_doubles,
        /// Examples.
        8 exemplars: Vec<Exemplar> as messages,
        /// See [`NO_RECORDED_VALUE`].
        10 flags: u32 as uint32,
        /// The least observation.
        11 min: Option<f64> as optional_double,
        /// The greatest observation.
        12 max: Option<f64> as optional_double,
    }
}

message! {
    /// An `ExponentialHistogramDataPoint`. Times in nanoseconds since 1970.
    pub struct ExponentialHistogramPoint {
        /// What tells it from its neighbours.
        1 attributes: Map as pairs,
        /// Since when it counts; 0 unknown.
        2 start_time_unix_nano: u64 as fixed64,
        /// When it was read.
        3 time_unix_nano: u64 as fixed64,
        /// Observations.
        4 count: u64 as fixed64,
        /// Their sum.
        5 sum: Option<f64> as optional_double,
        /// Bounds grow by `2^(2^-scale)`.
        6 scale: i32 as sint32,
        /// Observations at zero.
        7 zero_count: u64 as fixed64,
        /// Observations above zero.
        8 positive: Buckets as message,
        /// Observations below zero.
        9 negative: Buckets as message,
        /// See [`NO_RECORDED_VALUE`].
        10 flags: u32 as uint32,
        /// Examples.
        11 exemplars: Vec<Exemplar> as messages,
        /// The least observation.
        12 min: Option<f64> as optional_double,
        /// The greatest observation.
        13 max: Option<f64> as optional_double,
        /// What counts as zero.
        14 zero_threshold: f64 as double,
    }
}

message! {
    /// Buckets of an exponential histogram.
    pub struct Buckets {
        /// The index of the first.
        1 offset: i32 as sint32,
        /// Observations by bucket.
        2 bucket_counts: Vec<u64> as packed_varints,
    }
}

message! {
    /// A `SummaryDataPoint`. Times in nanoseconds since 1970.
    pub struct SummaryPoint {
        /// What tells it from its neighbours.
        7 attributes: Map as pairs,
        /// Since when it counts; 0 unknown.
        2 start_time_unix_nano: u64 as fixed64,
        /// When it was read.
        3 time_unix_nano: u64 as fixed64,
        /// Observations.
        4 count: u64 as fixed64,
        /// Their sum.
        5 sum: f64 as double,
        /// By quantile.
        6 quantile_values: Vec<Quantile> as messages,
        /// See [`NO_RECORDED_VALUE`].
        8 flags: u32 as uint32,
    }
}

message! {
    /// A `SummaryDataPoint.ValueAtQuantile`.
    pub struct Quantile {
        /// From 0 to 1.
        1 quantile: f64 as double,
        /// The value there.
        2 value: f64 as double,
    }
}

message! {
    /// An `Exemplar`.
    pub struct Exemplar {
        /// Attributes that the point does not have.
        7 filtered_attributes: Map as pairs,
        /// When, in nanoseconds since 1970.
        2 time_unix_nano: u64 as fixed64,
        /// The value.
        3 | 6 value: Number as choice,
        /// 8 bytes, or none.
        4 span_id: Bytes as bytes,
        /// 16 bytes, or none.
        5 trace_id: Bytes as bytes,
    }
}

// === impl MetricData ===

impl MetricData {
    /// Its points, counted.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            MetricData::None => 0,
            MetricData::Gauge(data) => data.points.len(),
            MetricData::Sum(data) => data.points.len(),
            MetricData::Histogram(data) => data.points.len(),
            MetricData::ExponentialHistogram(data) => data.points.len(),
            MetricData::Summary(data) => data.points.len(),
        }
    }

    /// Whether it has no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Item for Metric {
    const SIGNAL: Signal = Signal::Metrics;

    fn count(&self) -> usize {
        self.data.len()
    }
}
