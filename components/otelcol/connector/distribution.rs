//! How durations spread: counted by given bounds, or by bounds that grow by a factor which fits what was seen.

use std::sync::Arc;

use base_stdx::GoDuration;
use sdk_protocols_otlp::model::{
    Buckets, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Histogram, HistogramPoint, Map, MetricData,
};

/// The finest scale of exponential histograms: at this one, indices of all doubles fit 31 bits.
const FINEST: i32 = 20;
/// The coarsest: three buckets hold all doubles.
const COARSEST: i32 = -10;

/// Buckets of an exponential histogram, at least and at most; what is asked for beyond is taken for these, as in Alloy.
const LEAST_SIZE: i32 = 2;
const MOST_SIZE: i32 = 16384;

/// What kind of histogram is made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Upper bounds, inclusive.
    Explicit(Arc<[f64]>),
    /// So many buckets at most, from 2 to 16384.
    Exponential(i32),
}

/// What was observed.
#[derive(Clone, Debug)]
pub(crate) enum Distribution {
    Explicit { counts: Box<[u64]>, count: u64, sum: f64 },
    Exponential(Exponential),
}

/// An exponential histogram of values from 0 on.
#[derive(Clone, Debug)]
pub(crate) struct Exponential {
    size: i64,
    scale: i32,
    count: u64,
    zeros: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// Index of the first bucket.
    offset: i32,
    counts: Vec<u64>,
}

/// What a point says besides its distribution.
pub(crate) struct Point {
    pub attributes: Map,
    pub start: u64,
    pub time: u64,
    pub exemplars: Vec<Exemplar>,
}

/// The bounds that histograms of durations have by default.
pub(crate) fn default_bounds() -> Vec<GoDuration> {
    let milliseconds = [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000];
    milliseconds.map(GoDuration::from_millis).to_vec()
}

// === impl Shape ===

impl Shape {
    pub fn empty(&self) -> Distribution {
        match self {
            Shape::Explicit(bounds) => {
                Distribution::Explicit { counts: vec![0; bounds.len() + 1].into(), count: 0, sum: 0.0 }
            }
            Shape::Exponential(size) => Distribution::Exponential(Exponential::new(*size)),
        }
    }

    /// Counts a value so many times.
    pub fn observe(&self, to: &mut Distribution, value: f64, times: u64) {
        match (self, to) {
            (Shape::Explicit(bounds), Distribution::Explicit { counts, count, sum }) => {
                let bucket = bounds.partition_point(|bound| *bound < value);
                if let Some(counted) = counts.get_mut(bucket) {
                    *counted = counted.saturating_add(times);
                }
                *count = count.saturating_add(times);
                *sum += value * times as f64;
            }
            (_, Distribution::Exponential(histogram)) => histogram.observe(value, times),
            (Shape::Exponential(_), Distribution::Explicit { .. }) => {}
        }
    }

    /// The points of a metric.
    pub fn data<'a>(&self, temporality: i32, points: impl Iterator<Item = (Point, &'a Distribution)>) -> MetricData {
        match self {
            Shape::Explicit(bounds) => {
                let points = points.filter_map(|(point, distribution)| explicit_point(bounds, point, distribution));
                MetricData::Histogram(Histogram { points: points.collect(), temporality, ..Histogram::default() })
            }
            Shape::Exponential(_) => {
                let points = points.filter_map(|(point, distribution)| match distribution {
                    Distribution::Exponential(histogram) => Some(histogram.point(point)),
                    Distribution::Explicit { .. } => None,
                });
                MetricData::ExponentialHistogram(ExponentialHistogram {
                    points: points.collect(),
                    temporality,
                    ..ExponentialHistogram::default()
                })
            }
        }
    }
}

fn explicit_point(bounds: &[f64], point: Point, distribution: &Distribution) -> Option<HistogramPoint> {
    let Distribution::Explicit { counts, count, sum } = distribution else { return None };
    Some(HistogramPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        count: *count,
        sum: Some(*sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        exemplars: point.exemplars,
        ..HistogramPoint::default()
    })
}

// === impl Exponential ===

impl Exponential {
    fn new(size: i32) -> Exponential {
        let size = i64::from(size.clamp(LEAST_SIZE, MOST_SIZE));
        let (scale, counts) = (FINEST, Vec::new());
        Exponential { size, scale, count: 0, zeros: 0, sum: 0.0, min: 0.0, max: 0.0, offset: 0, counts }
    }

    fn observe(&mut self, value: f64, times: u64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.count = self.count.saturating_add(times);
        if value == 0.0 {
            self.zeros = self.zeros.saturating_add(times);
            return;
        }
        self.sum += value * times as f64;
        let mut index = index_of(value, self.scale);
        if self.counts.is_empty() {
            self.offset = index;
        }
        let last = self.offset + self.counts.len().saturating_sub(1) as i32;
        let (mut low, mut high, mut times_coarser) = (index.min(self.offset), index.max(last), 0);
        while i64::from(high) - i64::from(low) >= self.size && self.scale - times_coarser > COARSEST {
            (low, high, times_coarser) = (low >> 1, high >> 1, times_coarser + 1);
        }
        if times_coarser > 0 {
            self.coarsen(times_coarser);
            index = index_of(value, self.scale);
        }
        if index < self.offset {
            let missing = (self.offset - index) as usize;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let place = (index - self.offset) as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] = self.counts[place].saturating_add(times);
    }

    /// Makes one bucket of two, so many times.
    fn coarsen(&mut self, times: i32) {
        let offset = self.offset >> times;
        let mut counts: Vec<u64> = Vec::new();
        for (index, count) in (self.offset..).zip(&self.counts) {
            let place = ((index >> times) - offset) as usize;
            counts.resize(counts.len().max(place + 1), 0);
            counts[place] = counts[place].saturating_add(*count);
        }
        self.scale -= times;
        self.offset = offset;
        self.counts = counts;
    }

    fn point(&self, point: Point) -> ExponentialHistogramPoint {
        let all_zeros = self.count == self.zeros;
        ExponentialHistogramPoint {
            attributes: point.attributes,
            start_time_unix_nano: point.start,
            time_unix_nano: point.time,
            count: self.count,
            sum: Some(self.sum),
            // Of nothing but zeros any scale is right.
            scale: if all_zeros { 0 } else { self.scale },
            zero_count: self.zeros,
            positive: Buckets { offset: self.offset, bucket_counts: self.counts.clone(), ..Buckets::default() },
            min: (self.count > 0).then_some(self.min),
            max: (self.count > 0).then_some(self.max),
            exemplars: point.exemplars,
            ..ExponentialHistogramPoint::default()
        }
    }
}

/// The bucket that a value above 0 is in: bucket `i` holds what is above `base^i` and up to `base^(i+1)`, with
/// `base = 2^(2^-scale)`.
fn index_of(value: f64, scale: i32) -> i32 {
    // Smaller ones are where the smallest normal number is.
    let value = value.clamp(f64::MIN_POSITIVE, f64::MAX);
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    // Powers of two are upper bounds, and logarithms may miss them.
    let is_power = value.to_bits() & ((1 << 52) - 1) == 0;
    if scale <= 0 {
        return (exponent - i32::from(is_power)) >> -scale;
    }
    if is_power {
        return (exponent << scale) - 1;
    }
    let last = (1024 << scale) - 1;
    ((value.ln() * (std::f64::consts::LOG2_E * f64::from(1 << scale))).floor() as i32).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        Point { attributes: Map::default(), start: 1, time: 2, exemplars: Vec::new() }
    }

    fn exponential(size: i32, values: &[f64]) -> ExponentialHistogramPoint {
        let mut histogram = Exponential::new(size);
        values.iter().for_each(|value| histogram.observe(*value, 1));
        histogram.point(point())
    }

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        let shape = Shape::Explicit([1.0, 2.0].into());
        let mut distribution = shape.empty();
        for value in [0.0, 1.0, 1.5, 2.0, 3.0] {
            shape.observe(&mut distribution, value, 1);
        }
        shape.observe(&mut distribution, 9.0, 2);
        let MetricData::Histogram(data) = shape.data(2, [(point(), &distribution)].into_iter()) else { panic!() };
        assert_eq!(
            (&data.points[0].bucket_counts[..], data.points[0].count, data.points[0].sum),
            (&[2, 2, 3][..], 7, Some(25.5))
        );
    }

    #[test]
    fn one_value_is_told_as_finely_as_can_be() {
        let got = exponential(160, &[12.0, 12.0]);
        assert_eq!((got.scale, got.positive.offset, &got.positive.bucket_counts[..]), (20, 3_759_105, &[2][..]));
        assert_eq!((got.min, got.max, got.sum), (Some(12.0), Some(12.0), Some(24.0)));
    }

    #[test]
    fn what_lies_far_apart_makes_buckets_coarser() {
        let got = exponential(4, &[1.0, 2.0, 4.0, 8.0]);
        assert_eq!((got.scale, got.positive.offset, &got.positive.bucket_counts[..]), (0, -1, &[1, 1, 1, 1][..]));
        let got = exponential(4, &[8.0, 4.0, 16.0, 1.0]);
        assert_eq!((got.scale, got.positive.offset, &got.positive.bucket_counts[..]), (-1, -1, &[1, 1, 2][..]));
        let got = exponential(2, &[f64::MIN_POSITIVE / 4.0, f64::MAX, 1.0]);
        assert_eq!((got.scale, got.positive.bucket_counts.iter().sum::<u64>()), (-10, 3));
    }

    #[test]
    fn zeros_are_counted_apart() {
        let got = exponential(160, &[0.0, 0.0]);
        assert_eq!((got.scale, got.zero_count, got.count, got.min), (0, 2, 2, Some(0.0)));
        assert!(got.positive.bucket_counts.is_empty());
    }
}
