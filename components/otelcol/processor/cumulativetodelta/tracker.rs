//! The last point of each series, and the difference to it.

use std::collections::HashMap;

use sdk_protocols_otlp::model::{Buckets, ExponentialHistogramPoint, HistogramPoint};

use super::Initial;
use crate::exponential;
use crate::identity::Digest;

/// The last point of each series.
pub(super) struct Tracker {
    initial: Initial,
    /// When counting began, in nanoseconds since 1970.
    began: u64,
    series: HashMap<Digest, Last>,
}

struct Last {
    time: u64,
    value: Value,
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Double(f64),
    Int(i64),
    Histogram(Histogram),
    Exponential(Exponential),
}

/// What counts of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    count: u64,
    sum: f64,
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// What counts of an exponential histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exponential {
    count: u64,
    sum: f64,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Buckets,
    negative: Buckets,
}

/// What became of a point.
pub(super) enum Change {
    /// The difference, and the time since when.
    Delta(Value, u64),
    /// There is none, for this reason.
    None(&'static str),
}

// === impl Tracker ===

impl Tracker {
    pub(super) fn new(initial: Initial, began: u64) -> Tracker {
        Tracker { initial, began, series: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The difference of a point to the last one of its series, which it replaces.
    pub(super) fn change(&mut self, series: Digest, start: u64, time: u64, value: Value) -> Change {
        let mut now = Last { time, value: value.clone() };
        if let (Some(sum), Some(last)) = (now.value.sum_mut().filter(|sum| sum.is_nan()), self.series.get_mut(&series))
        {
            // A sum that is not known has not changed.
            *sum = last.value.sum_mut().map_or(0.0, |last| *last);
        }
        let Some(last) = self.series.insert(series, now) else {
            return match self.initial {
                Initial::Auto if start >= self.began && time != start => Change::Delta(value, start),
                Initial::Auto | Initial::Drop => Change::None("initial"),
                // The start is not known to whom a total is a difference.
                Initial::Keep => Change::Delta(value, 0),
            };
        };
        match value.since(last.value) {
            Ok(delta) => Change::Delta(delta, last.time),
            Err(reason) => Change::None(reason),
        }
    }

    /// Forgets the series whose last point is older.
    pub(super) fn forget_before(&mut self, time: u64) {
        self.series.retain(|_, last| last.time >= time);
    }
}

// === impl Value ===

impl Value {
    /// The sum of a distribution.
    fn sum_mut(&mut self) -> Option<&mut f64> {
        match self {
            Value::Double(_) | Value::Int(_) => None,
            Value::Histogram(histogram) => Some(&mut histogram.sum),
            Value::Exponential(histogram) => Some(&mut histogram.sum),
        }
    }

    fn since(self, last: Value) -> Result<Value, &'static str> {
        Ok(match (self, last) {
            (Value::Double(value), Value::Double(last)) if value >= last => Value::Double(value - last),
            (Value::Int(value), Value::Int(last)) if value >= last => Value::Int(value.wrapping_sub(last)),
            (Value::Histogram(value), Value::Histogram(last)) => Value::Histogram(value.since(&last)?),
            (Value::Exponential(value), Value::Exponential(last)) => Value::Exponential(value.since(last)?),
            _ => return Err("reset"),
        })
    }
}

impl Histogram {
    pub(super) fn of(point: &HistogramPoint) -> Histogram {
        Histogram {
            count: point.count,
            sum: point.sum.unwrap_or(0.0),
            bounds: point.explicit_bounds.clone(),
            counts: point.bucket_counts.clone(),
        }
    }

    fn since(mut self, last: &Histogram) -> Result<Histogram, &'static str> {
        if self.counts.len() != last.counts.len() || self.bounds != last.bounds {
            return Err("bucket_mismatch");
        }
        self.count = self.count.checked_sub(last.count).ok_or("reset")?;
        for (count, last) in self.counts.iter_mut().zip(&last.counts) {
            *count = count.checked_sub(*last).ok_or("reset")?;
        }
        self.sum -= last.sum;
        Ok(self)
    }

    /// Least and greatest are of all time, not of the difference.
    pub(super) fn put(self, point: &mut HistogramPoint) {
        point.count = self.count;
        point.sum = point.sum.map(|sum| if sum.is_nan() { sum } else { self.sum });
        point.bucket_counts = self.counts;
        (point.min, point.max) = (None, None);
    }
}

impl Exponential {
    pub(super) fn of(point: &ExponentialHistogramPoint) -> Exponential {
        let bare = |buckets: &Buckets| Buckets { unknown: Vec::new(), ..buckets.clone() };
        Exponential {
            count: point.count,
            sum: point.sum.unwrap_or(0.0),
            scale: point.scale,
            zero_count: point.zero_count,
            zero_threshold: point.zero_threshold,
            positive: bare(&point.positive),
            negative: bare(&point.negative),
        }
    }

    fn since(mut self, mut last: Exponential) -> Result<Exponential, &'static str> {
        if self.zero_threshold < last.zero_threshold || self.scale > last.scale {
            return Err("reset");
        }
        if self.zero_threshold > last.zero_threshold {
            // What was in a bucket is zero now.
            let index = exponential::index_of(self.zero_threshold, last.scale);
            last.zero_count += exponential::cut_below(&mut last.positive, index);
            last.zero_count += exponential::cut_below(&mut last.negative, index);
        }
        let times = last.scale.abs_diff(self.scale);
        exponential::coarsen(&mut last.positive, times);
        exponential::coarsen(&mut last.negative, times);
        self.count = self.count.checked_sub(last.count).ok_or("reset")?;
        self.zero_count = self.zero_count.checked_sub(last.zero_count).ok_or("reset")?;
        self.positive = exponential::difference(&self.positive, &last.positive).ok_or("reset")?;
        self.negative = exponential::difference(&self.negative, &last.negative).ok_or("reset")?;
        self.sum -= last.sum;
        Ok(self)
    }

    /// Least and greatest are of all time, not of the difference.
    pub(super) fn put(self, point: &mut ExponentialHistogramPoint) {
        point.count = self.count;
        point.zero_count = self.zero_count;
        point.sum = point.sum.map(|sum| if sum.is_nan() { sum } else { self.sum });
        point.positive = self.positive;
        point.negative = self.negative;
        (point.min, point.max) = (None, None);
    }
}
