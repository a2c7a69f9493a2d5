//! What a native histogram is in OTLP: an exponential one, or, where its bounds are written out, one with these bounds.

use sdk_histogram::{Counts, CountsOf, NativeHistogram, ResetHint, Span};
use sdk_protocols_otlp::model::{Buckets, ExponentialHistogramPoint};
use sdk_signals::STALE;

/// OTLP writes out every bucket from the first to the last, empty ones too, so what lies far apart must have an end. The
/// finest schema has this many for values from 1 to 10^154.
pub(super) const MOST_BUCKETS: u64 = 1 << 17;

/// What says that a series has ended.
pub(super) fn ended() -> NativeHistogram {
    NativeHistogram {
        schema: 0,
        zero_threshold: 0.0,
        sum: STALE,
        reset_hint: ResetHint::Unknown,
        counts: Counts::Integer(CountsOf::default()),
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
    }
}

/// All observations.
pub(super) fn count(histogram: &NativeHistogram) -> f64 {
    match &histogram.counts {
        Counts::Integer(counts) => counts.count as f64,
        Counts::Float(counts) => counts.count,
    }
}

/// From the first bucket to the last, of the wider side.
pub(super) fn width(histogram: &NativeHistogram) -> u64 {
    let side = |spans: &[Span]| {
        let gaps: u64 = spans.iter().skip(1).map(|span| u64::try_from(span.offset).unwrap_or(0)).sum();
        gaps + spans.iter().map(|span| u64::from(span.length)).sum::<u64>()
    };
    side(&histogram.positive_spans).max(side(&histogram.negative_spans))
}

/// A point without its labels and times. Fractions of computed counts are left out.
pub(super) fn exponential(histogram: &NativeHistogram) -> ExponentialHistogramPoint {
    let (count, zero_count, positive, negative) = match &histogram.counts {
        Counts::Integer(counts) => (counts.count, counts.zero, summed(&counts.positive), summed(&counts.negative)),
        Counts::Float(counts) => {
            (counts.count as u64, counts.zero as u64, whole(&counts.positive), whole(&counts.negative))
        }
    };
    ExponentialHistogramPoint {
        count,
        sum: Some(histogram.sum),
        scale: histogram.schema,
        zero_count,
        positive: buckets(&histogram.positive_spans, &positive),
        negative: buckets(&histogram.negative_spans, &negative),
        zero_threshold: histogram.zero_threshold,
        ..ExponentialHistogramPoint::default()
    }
}

/// What is below each written bound and above the one before, and what is above the last.
pub(super) fn explicit(histogram: &NativeHistogram) -> Vec<u64> {
    let counts = match &histogram.counts {
        Counts::Integer(counts) => summed(&counts.positive),
        Counts::Float(counts) => whole(&counts.positive),
    };
    let mut inside = vec![0; histogram.custom_values.len() + 1];
    let mut counts = counts.into_iter();
    let mut place = 0i64;
    for span in &histogram.positive_spans {
        place += i64::from(span.offset);
        for (bucket, count) in (place..).zip(counts.by_ref().take(span.length as usize)) {
            if let Some(inside) = usize::try_from(bucket).ok().and_then(|bucket| inside.get_mut(bucket)) {
                *inside = count;
            }
        }
        place += i64::from(span.length);
    }
    inside
}

fn summed(deltas: &[i64]) -> Vec<u64> {
    let mut count = 0i64;
    let counts = deltas.iter().map(|delta| {
        count = count.saturating_add(*delta);
        count.max(0) as u64
    });
    counts.collect()
}

fn whole(counts: &[f64]) -> Vec<u64> {
    counts.iter().map(|count| *count as u64).collect()
}

/// Empty buckets between spans are written out.
fn buckets(spans: &[Span], counts: &[u64]) -> Buckets {
    let Some(first) = spans.first() else { return Buckets::default() };
    let mut bucket_counts = Vec::with_capacity(counts.len());
    let mut counts = counts.iter();
    for (at, span) in spans.iter().enumerate() {
        let gap = if at == 0 { 0 } else { usize::try_from(span.offset).unwrap_or(0) };
        bucket_counts.extend(std::iter::repeat_n(0, gap));
        bucket_counts.extend(counts.by_ref().take(span.length as usize));
    }
    // Bucket 1 of Prometheus ends where bucket 0 of OTLP does.
    Buckets { offset: first.offset.saturating_sub(1), bucket_counts, ..Buckets::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn empty_buckets_between_spans_are_written_out() {
        let made = buckets(&spans(&[(-2, 2), (3, 1), (0, 1)]), &summed(&[1, 1, -2, 5]));
        assert_eq!((made.offset, made.bucket_counts), (-3, vec![1, 2, 0, 0, 0, 0, 5]));
        assert_eq!(buckets(&[], &[]), Buckets::default());
    }

    #[test]
    fn written_bounds_have_one_bucket_more() {
        let histogram = NativeHistogram {
            positive_spans: spans(&[(1, 1), (1, 2)]),
            custom_values: vec![1.0, 2.0, 5.0],
            counts: Counts::Float(CountsOf { positive: vec![2.5, 7.0, 9.0], ..CountsOf::default() }),
            ..ended()
        };
        // The last has no place.
        assert_eq!(explicit(&histogram), [0, 2, 0, 7]);
    }

    #[test]
    fn what_lies_far_apart_is_wide() {
        let histogram = NativeHistogram { positive_spans: spans(&[(i32::MAX, 1), (i32::MAX, 3)]), ..ended() };
        assert_eq!(width(&histogram), i32::MAX as u64 + 4);
    }
}
