//! Histograms of OTLP as native histograms of Prometheus.

use sdk_histogram::{
    COARSEST_SCHEMA, CUSTOM_BUCKETS, Counts, CountsOf, FINEST_SCHEMA, NativeHistogram, ResetHint, Span,
};
use sdk_protocols_otlp::walk::{Message, unzigzag, varints};

/// What counts as zero; the protocol's own threshold is not read, as in Alloy.
const ZERO_THRESHOLD: f64 = 1e-128;

/// So many empty buckets in a row are written out; more make a new span.
const FEW_EMPTY: i64 = 2;

/// Of an exponential histogram; what is finer than Prometheus stores is made coarser. `None` for one that is too coarse.
pub(super) fn of_exponential(point: &Message<'_>) -> Option<NativeHistogram> {
    let scale = unzigzag(point.number(6)) as i32;
    if scale < COARSEST_SCHEMA {
        return None;
    }
    let schema = scale.min(FINEST_SCHEMA);
    let shift = (scale - schema).min(63) as u32;
    let side = |field: u32| {
        let buckets = point.message(field);
        let counts: Vec<u64> = varints(&buckets, 2).collect();
        // Bucket 0 of OTLP ends where bucket 1 of Prometheus does.
        layout(&counts, |i| ((i + unzigzag(buckets.number(1))) >> shift) + 1)
    };
    let ((positive_spans, positive), (negative_spans, negative)) = (side(8), side(9));
    let counts = CountsOf { count: point.number(4), zero: point.number(7), positive, negative };
    Some(NativeHistogram {
        schema,
        zero_threshold: ZERO_THRESHOLD,
        sum: point.double(5).unwrap_or(0.0),
        reset_hint: ResetHint::Unknown,
        counts: Counts::Integer(counts),
        positive_spans,
        negative_spans,
        custom_values: Vec::new(),
    })
}

/// Of a histogram with bounds of its own. `None` when there is not one more bucket than there are bounds.
pub(super) fn of_explicit(point: &Message<'_>, bounds: &[f64], counts: &[u64]) -> Option<NativeHistogram> {
    if counts.len() != bounds.len() + 1 {
        return None;
    }
    let first = counts.iter().position(|count| *count != 0).unwrap_or(counts.len());
    let (positive_spans, positive) = layout(&counts[first..], |i| i + first as i64);
    Some(NativeHistogram {
        schema: CUSTOM_BUCKETS,
        zero_threshold: 0.0,
        sum: point.double(5).unwrap_or(0.0),
        reset_hint: ResetHint::Unknown,
        counts: Counts::Integer(CountsOf { count: point.number(4), zero: 0, positive, negative: Vec::new() }),
        positive_spans,
        negative_spans: Vec::new(),
        custom_values: bounds.to_vec(),
    })
}

/// One in which nothing was observed, of the same form: the start of a series, and its end with a sum of `STALE`.
pub(super) fn empty_like(histogram: &NativeHistogram, sum: f64) -> NativeHistogram {
    NativeHistogram {
        sum,
        counts: Counts::Integer(CountsOf::default()),
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: histogram.custom_values.clone(),
        ..*histogram
    }
}

/// Counts as spans and differences. `place` says which bucket each is in; neighbours in the same one are added up. The last
/// bucket is written even when it is empty.
fn layout(counts: &[u64], place: impl Fn(i64) -> i64) -> (Vec<Span>, Vec<i64>) {
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (i, count) in counts.iter().enumerate() {
        let place = place(i as i64);
        match merged.last_mut() {
            Some((last, sum)) if *last == place => *sum = sum.saturating_add(*count),
            _ => merged.push((place, *count)),
        }
    }
    let Some((first, _)) = merged.first().copied() else { return (Vec::new(), Vec::new()) };
    let mut spans = vec![Span { offset: first as i32, length: 0 }];
    let (mut deltas, mut before, mut next) = (Vec::new(), 0, first);
    let mut write = |spans: &mut Vec<Span>, count: i64| {
        if let Some(span) = spans.last_mut() {
            span.length += 1;
        }
        deltas.push(count - before);
        before = count;
    };
    let last = merged.len() - 1;
    for (i, (place, count)) in merged.into_iter().enumerate() {
        if count == 0 && i != last {
            continue;
        }
        let gap = place - next;
        if gap > FEW_EMPTY {
            spans.push(Span { offset: gap as i32, length: 0 });
        } else {
            (0..gap).for_each(|_| write(&mut spans, 0));
        }
        write(&mut spans, i64::try_from(count).unwrap_or(i64::MAX));
        next = place + 1;
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_empty_buckets_are_written_and_many_part_spans() {
        let check = |counts: &[u64], spans: &[(i32, u32)], deltas: &[i64]| {
            let (made, made_deltas) = layout(counts, |i| i + 5);
            let made: Vec<_> = made.iter().map(|span| (span.offset, span.length)).collect();
            assert_eq!((made.as_slice(), made_deltas.as_slice()), (spans, deltas), "{counts:?}");
        };
        check(&[], &[], &[]);
        check(&[1, 2, 0, 3], &[(5, 4)], &[1, 1, -2, 3]);
        check(&[1, 0, 0, 0, 3], &[(5, 1), (3, 1)], &[1, 2]);
        check(&[0, 0, 4], &[(5, 3)], &[0, 0, 4]);
        check(&[1, 0], &[(5, 2)], &[1, -1]);
        check(&[u64::MAX], &[(5, 1)], &[i64::MAX]);
    }

    #[test]
    fn finer_buckets_are_added_up() {
        let (spans, deltas) = layout(&[1, 2, 0, 3], |i| ((i + 1) >> 2) + 1);
        assert_eq!((spans, deltas), (vec![Span { offset: 1, length: 2 }], vec![3, 0]));
        let (spans, deltas) = layout(&[0, 0, 4, 1], |i| (i >> 1) + 1);
        assert_eq!((spans, deltas), (vec![Span { offset: 1, length: 2 }], vec![0, 5]));
    }
}
