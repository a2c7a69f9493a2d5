//! The histogram.

use crate::buckets;

/// The schema of a histogram whose bounds are written out in [`NativeHistogram::custom_values`].
pub const CUSTOM_BUCKETS: i32 = -53;
/// The least number of buckets: each ends at sixteen times the square of where it begins.
pub const COARSEST_SCHEMA: i32 = -4;
/// The largest number of buckets that are stored; a finer one is made coarser on its way in.
pub const FINEST_SCHEMA: i32 = 8;
/// Finer ones than those stored may come over the wire.
const FINEST_RESERVED: i32 = 52;

/// A native histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    /// How bounds grow: 2^(2^-schema) from bucket to bucket, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// Values no further from zero are in the zero bucket.
    pub zero_threshold: f64,
    /// The sum of all values; the staleness marker says that the series has ended.
    pub sum: f64,
    /// What is known of a restart.
    pub reset_hint: ResetHint,
    /// How many values are where.
    pub counts: Counts,
    /// Which buckets of positive values there are.
    pub positive_spans: Vec<Span>,
    /// Which buckets of negative values there are.
    pub negative_spans: Vec<Span>,
    /// Upper bounds, with [`CUSTOM_BUCKETS`]; the last bucket goes on to infinity.
    pub custom_values: Vec<f64>,
}

/// Buckets that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Buckets left out since the span before; of the first span, the number of its first bucket.
    pub offset: i32,
    /// How many.
    pub length: u32,
}

/// Whether a counter began anew since the value before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Whoever stores it has to look.
    #[default]
    Unknown,
    /// It did.
    Yes,
    /// It did not.
    No,
    /// It goes up and down.
    Gauge,
}

/// The numbers of a histogram: whole ones as they are counted, others as they are computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// Buckets are differences from the one before.
    Integer(CountsOf<u64, i64>),
    /// Buckets are what they are.
    Float(CountsOf<f64, f64>),
}

/// Numbers of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountsOf<C, B> {
    /// All values.
    pub count: C,
    /// Those in the zero bucket.
    pub zero: C,
    /// By bucket, as the spans have them.
    pub positive: Vec<B>,
    /// By bucket, as the spans have them.
    pub negative: Vec<B>,
}

/// Why a histogram is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsound(pub(crate) String);

// === impl NativeHistogram ===

impl NativeHistogram {
    /// Whether its bounds are written out.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// How many buckets it has, without the one for zero.
    pub fn bucket_count(&self) -> usize {
        match &self.counts {
            Counts::Integer(counts) => counts.positive.len() + counts.negative.len(),
            Counts::Float(counts) => counts.positive.len() + counts.negative.len(),
        }
    }

    /// Whether spans, buckets and count agree, by the rules of Prometheus' storage.
    pub fn check(&self) -> Result<(), Unsound> {
        if self.has_custom_buckets() {
            self.check_bounds()?;
        } else if (COARSEST_SCHEMA..=FINEST_RESERVED).contains(&self.schema) {
            if !self.custom_values.is_empty() {
                return Err(Unsound("histogram with exponential schema must not have custom bounds".to_owned()));
            }
        } else {
            return Err(Unsound(format!("invalid histogram schema {}", self.schema)));
        }
        match &self.counts {
            Counts::Integer(counts) => {
                let sides = [
                    ("positive", &self.positive_spans, buckets::absolute(&counts.positive)),
                    ("negative", &self.negative_spans, buckets::absolute(&counts.negative)),
                ];
                let mut sum = u128::from(counts.zero);
                for (side, spans, buckets) in sides {
                    buckets::check_spans(spans, buckets.len())
                        .map_err(|what| Unsound(format!("{side} side: {what}")))?;
                    if buckets.iter().any(|count| *count < 0) {
                        return Err(Unsound(format!(
                            "{side} side: histogram has a bucket whose observation count is negative"
                        )));
                    }
                    sum += buckets.iter().map(|count| count.unsigned_abs() as u128).sum::<u128>();
                }
                let count = u128::from(counts.count);
                // Values that are no numbers are in no bucket.
                if if self.sum.is_nan() { sum > count } else { sum != count } {
                    return Err(Unsound(format!(
                        "{sum} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets"
                    )));
                }
            }
            Counts::Float(counts) => {
                for (side, spans, buckets) in [
                    ("positive", &self.positive_spans, &counts.positive),
                    ("negative", &self.negative_spans, &counts.negative),
                ] {
                    buckets::check_spans(spans, buckets.len())
                        .map_err(|what| Unsound(format!("{side} side: {what}")))?;
                    if buckets.iter().any(|count| *count < 0.0) {
                        return Err(Unsound(format!(
                            "{side} side: histogram has a bucket whose observation count is negative"
                        )));
                    }
                }
                if counts.zero < 0.0 || counts.count < 0.0 {
                    return Err(Unsound("histogram's observation count is negative".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), Unsound> {
        let unsound = |what: &str| Err(Unsound(format!("custom buckets: {what}")));
        if !self.custom_values.windows(2).all(|pair| pair[0] < pair[1])
            || self.custom_values.iter().any(|bound| !bound.is_finite())
        {
            return unsound("histogram custom bounds must be finite and in strictly increasing order");
        }
        let (zero, negative) = match &self.counts {
            Counts::Integer(counts) => (counts.zero != 0, !counts.negative.is_empty()),
            Counts::Float(counts) => (counts.zero != 0.0, !counts.negative.is_empty()),
        };
        if zero || self.zero_threshold != 0.0 {
            return unsound("must have zero count and threshold of 0");
        }
        if negative || !self.negative_spans.is_empty() {
            return unsound("must not have negative buckets");
        }
        let last: i64 = self.positive_spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
        if self.positive_spans.iter().any(|span| span.offset < 0) || last > self.custom_values.len() as i64 + 1 {
            return unsound("histogram custom bounds are too few");
        }
        Ok(())
    }

    /// Leaves out buckets that are empty, but for gaps of up to `most_empty` inside a span. Fails on spans that do not fit
    /// the buckets.
    pub fn compact(&mut self, most_empty: usize) -> Result<(), Unsound> {
        self.rebuild(|index| index, Some(most_empty))
    }

    /// Makes buckets wider, so that the schema is `target`.
    pub fn coarsen_to(&mut self, target: i32) -> Result<(), Unsound> {
        if self.has_custom_buckets() || target >= self.schema {
            return Ok(());
        }
        let shift = (self.schema - target).unsigned_abs().min(62);
        self.rebuild(|index| ((index - 1) >> shift) + 1, None)?;
        self.schema = target;
        Ok(())
    }

    /// Makes buckets wider until there are at most `most`. False if that cannot be.
    pub fn limit_buckets(&mut self, most: usize) -> Result<bool, Unsound> {
        while self.bucket_count() > most {
            if self.has_custom_buckets() || self.schema <= COARSEST_SCHEMA {
                return Ok(false);
            }
            self.coarsen_to(self.schema - 1)?;
        }
        Ok(true)
    }

    fn rebuild(&mut self, place: impl Fn(i64) -> i64 + Copy, most_empty: Option<usize>) -> Result<(), Unsound> {
        let unsound = |what: String| Unsound(what);
        match &mut self.counts {
            Counts::Integer(counts) => {
                for (spans, deltas) in
                    [(&mut self.positive_spans, &mut counts.positive), (&mut self.negative_spans, &mut counts.negative)]
                {
                    let (new_spans, values) =
                        buckets::rebuild(spans, &buckets::absolute(deltas), place, most_empty).map_err(unsound)?;
                    (*spans, *deltas) = (new_spans, buckets::differences(&values));
                }
            }
            Counts::Float(counts) => {
                for (spans, buckets) in
                    [(&mut self.positive_spans, &mut counts.positive), (&mut self.negative_spans, &mut counts.negative)]
                {
                    (*spans, *buckets) = buckets::rebuild(spans, buckets, place, most_empty).map_err(unsound)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram() -> NativeHistogram {
        let span = |offset, length| Span { offset, length };
        NativeHistogram {
            schema: 2,
            zero_threshold: 0.001,
            sum: 18.4,
            reset_hint: ResetHint::Unknown,
            counts: Counts::Integer(CountsOf { count: 11, zero: 2, positive: vec![1, 1, -1, 2, -1], negative: vec![] }),
            positive_spans: vec![span(0, 2), span(1, 3)],
            negative_spans: vec![],
            custom_values: vec![],
        }
    }

    #[test]
    fn a_sound_histogram_is_told_from_an_unsound_one() {
        assert_eq!(histogram().check(), Ok(()));
        let changed = |change: &dyn Fn(&mut NativeHistogram)| {
            let mut histogram = histogram();
            change(&mut histogram);
            histogram.check().expect_err("unsound").to_string()
        };
        let counts = |count, positive: &[i64]| {
            Counts::Integer(CountsOf { count, zero: 2, positive: positive.to_vec(), negative: vec![] })
        };
        assert!(changed(&|h| h.counts = counts(12, &[1, 1, -1, 2, -1])).contains("11 observations found in buckets"));
        assert!(changed(&|h| h.counts = counts(11, &[1, -2, 2, 2, -1])).contains("negative"));
        assert!(changed(&|h| h.counts = counts(11, &[1])).contains("spans need 5 buckets, have 1"));
        assert!(changed(&|h| h.positive_spans[1].offset = -1).contains("negative offset"));
        assert!(changed(&|h| h.schema = 77).contains("invalid histogram schema"));
        assert!(changed(&|h| h.schema = CUSTOM_BUCKETS).contains("custom buckets"));
    }

    #[test]
    fn buckets_grow_until_few_enough_are_left() {
        let mut coarse = histogram();
        assert_eq!(coarse.limit_buckets(2), Ok(true));
        assert_eq!((coarse.schema, &*coarse.positive_spans), (-1, &[Span { offset: 0, length: 2 }][..]));
        assert_eq!(
            coarse.counts,
            Counts::Integer(CountsOf { count: 11, zero: 2, positive: vec![1, 7], negative: vec![] })
        );
        assert_eq!(coarse.check(), Ok(()));
        assert_eq!(histogram().limit_buckets(0), Ok(false));
    }

    #[test]
    fn empty_buckets_are_left_out() {
        let mut sparse = histogram();
        let positive = vec![0, 0, 3, -3, 0, 0, 0, 4];
        sparse.counts = Counts::Integer(CountsOf { count: 9, zero: 2, positive, negative: vec![] });
        sparse.positive_spans = vec![Span { offset: -1, length: 8 }];
        let mut gaps = sparse.clone();
        sparse.compact(0).expect("it fits");
        assert_eq!(sparse.positive_spans, [Span { offset: 1, length: 1 }, Span { offset: 4, length: 1 }]);
        gaps.compact(4).expect("it fits");
        assert_eq!(gaps.positive_spans, [Span { offset: 1, length: 6 }]);
        let expect = CountsOf { count: 9, zero: 2, positive: vec![3, -3, 0, 0, 0, 4], negative: vec![] };
        assert_eq!(gaps.counts, Counts::Integer(expect));
    }
}
