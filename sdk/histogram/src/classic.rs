//! From a classic histogram, series by series, to one with buckets of its own.

use crate::native::{CUSTOM_BUCKETS, Counts, CountsOf, NativeHistogram, ResetHint, Span};

/// A gap of so many empty buckets is no reason for another span.
const MOST_EMPTY: usize = 2;

/// A classic histogram under way.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// By upper bound, which is what Prometheus' pages are sorted by.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Why the series do not make a histogram.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Incoherent(String);

impl Classic {
    /// `_bucket`: so many values are at most `le`. A bound that comes twice counts once.
    pub fn bucket(&mut self, le: f64, count: f64) {
        let at = self.buckets.partition_point(|(bound, _)| *bound < le);
        if self.buckets.get(at).is_none_or(|(bound, _)| *bound != le) {
            self.buckets.insert(at, (le, count));
        }
    }

    /// `_count`
    pub fn count(&mut self, count: f64) {
        self.count = Some(count);
    }

    /// `_sum`
    pub fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The histogram, of whole numbers if all are.
    pub fn native(mut self, reset_hint: ResetHint) -> Result<NativeHistogram, Incoherent> {
        let negative =
            self.count.is_some_and(|count| count < 0.0) || self.buckets.iter().any(|(_, count)| *count < 0.0);
        if negative || self.buckets.iter().any(|(le, _)| le.is_nan()) {
            return Err(Incoherent("a count is negative, or a bound is no number".to_owned()));
        }
        let count = self.count.or(self.buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(le, _)| *le != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if !self.buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1) {
            return Err(Incoherent("the counts of the buckets are not cumulative".to_owned()));
        }
        let all = self.buckets.last().map_or(0.0, |(_, count)| *count);
        if all != count {
            return Err(Incoherent(format!("the count is {count}, and that of the last bucket {all}")));
        }
        // Beyond 2^53 not every whole number is one of f64's.
        let whole = |number: f64| number.fract() == 0.0 && number < 9_007_199_254_740_992.0;
        let cumulative = self.buckets.iter().map(|(_, count)| *count);
        let counts = if whole(count) && cumulative.clone().all(whole) {
            let (mut before, mut last) = (0, 0);
            let differences = cumulative.map(|cumulative| {
                let bucket = cumulative as i64 - before;
                before = cumulative as i64;
                let difference = bucket - last;
                last = bucket;
                difference
            });
            let positive = differences.collect();
            Counts::Integer(CountsOf { count: count as u64, zero: 0, positive, negative: Vec::new() })
        } else {
            let mut before = 0.0;
            let positive =
                cumulative.map(|cumulative| cumulative - std::mem::replace(&mut before, cumulative)).collect();
            Counts::Float(CountsOf { count, zero: 0.0, positive, negative: Vec::new() })
        };
        let most_empty = if matches!(counts, Counts::Integer(_)) { MOST_EMPTY } else { 0 };
        let mut native = NativeHistogram {
            schema: CUSTOM_BUCKETS,
            zero_threshold: 0.0,
            sum: self.sum,
            reset_hint,
            counts,
            positive_spans: vec![Span { offset: 0, length: self.buckets.len() as u32 }],
            negative_spans: Vec::new(),
            custom_values: self.buckets[..self.buckets.len() - 1].iter().map(|(le, _)| *le).collect(),
        };
        native.compact(most_empty).map_err(|unsound| Incoherent(unsound.to_string()))?;
        native.check().map_err(|unsound| Incoherent(unsound.to_string()))?;
        Ok(native)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classic_histogram_becomes_one_with_buckets_of_its_own() {
        let mut classic = Classic::default();
        classic.bucket(1.0, 3.0);
        classic.bucket(0.5, 1.0);
        classic.bucket(0.5, 9.0);
        classic.count(4.0);
        classic.sum(2.75);
        let native = classic.clone().native(ResetHint::Unknown).expect("it is coherent");
        assert_eq!((native.schema, &*native.custom_values, native.sum), (CUSTOM_BUCKETS, &[0.5, 1.0][..], 2.75));
        assert_eq!(native.positive_spans, [Span { offset: 0, length: 3 }]);
        assert_eq!(
            native.counts,
            Counts::Integer(CountsOf { count: 4, zero: 0, positive: vec![1, 1, -1], negative: vec![] })
        );

        classic.bucket(2.0, 3.5);
        let native = classic.clone().native(ResetHint::Gauge).expect("it is coherent");
        let expect = CountsOf { count: 4.0, zero: 0.0, positive: vec![1.0, 2.0, 0.5, 0.5], negative: vec![] };
        assert_eq!(native.counts, Counts::Float(expect));

        classic.bucket(3.0, 2.0);
        assert!(classic.native(ResetHint::Unknown).is_err(), "counts do not go down");
    }

    #[test]
    fn no_bucket_at_all_is_one_to_infinity() {
        let mut classic = Classic::default();
        classic.count(2.0);
        let native = classic.native(ResetHint::Unknown).expect("it is coherent");
        assert_eq!((native.custom_values.len(), native.bucket_count()), (0, 1));
    }
}
