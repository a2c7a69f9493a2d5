//! Arithmetic on the buckets of exponential histograms.
//!
//! Bucket `i` of scale `s` holds what is above `base^i` and up to `base^(i+1)`, with `base = 2^(2^-s)`; at the next lower
//! scale two neighbours are one.

use sdk_protocols_otlp::model::{Buckets, ExponentialHistogramPoint};

/// How many buckets of one sign a merged histogram has at most; beyond, its scale falls.
const MAX_BUCKETS: i64 = 160;

/// The index behind the last bucket.
fn upper(buckets: &Buckets) -> i64 {
    i64::from(buckets.offset) + buckets.bucket_counts.len() as i64
}

/// The count of a bucket by its index.
fn at(buckets: &Buckets, index: i64) -> u64 {
    let place = usize::try_from(index - i64::from(buckets.offset)).ok();
    place.and_then(|place| buckets.bucket_counts.get(place)).copied().unwrap_or(0)
}

/// Merges neighbours, so many times.
pub(crate) fn coarsen(buckets: &mut Buckets, times: u32) {
    if times == 0 {
        return;
    }
    // Beyond 31 all is in the two buckets around 1.
    let times = times.min(31);
    let offset = buckets.offset >> times;
    let Some(last) = i32::try_from(upper(buckets) - 1).ok().filter(|_| !buckets.bucket_counts.is_empty()) else {
        buckets.offset = offset;
        return;
    };
    let mut counts = vec![0; ((last >> times) - offset + 1) as usize];
    for (i, count) in buckets.bucket_counts.iter().enumerate() {
        let index = (i64::from(buckets.offset) + i as i64) >> times;
        counts[(index - i64::from(offset)) as usize] += count;
    }
    buckets.offset = offset;
    buckets.bucket_counts = counts;
}

/// Takes out the buckets up to an index, that one included; their sum.
pub(crate) fn cut_below(buckets: &mut Buckets, index: i64) -> u64 {
    let count = (index - i64::from(buckets.offset) + 1).clamp(0, buckets.bucket_counts.len() as i64);
    buckets.offset = buckets.offset.saturating_add(count as i32);
    buckets.bucket_counts.drain(..count as usize).sum()
}

/// The bucket that a value above 0 is in.
pub(crate) fn index_of(value: f64, scale: i32) -> i64 {
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    // Powers of two are upper bounds, and logarithms may miss them.
    if value.to_bits() & ((1 << 52) - 1) == 0 && scale >= 0 {
        return (exponent << scale.min(20)) - 1;
    }
    (value.ln() * std::f64::consts::LOG2_E * f64::from(scale).exp2()).floor() as i64
}

/// What `new` has more than `old`; `None` if it has less anywhere. At the same scale.
pub(crate) fn difference(new: &Buckets, old: &Buckets) -> Option<Buckets> {
    let mut difference = Buckets::default();
    for (i, count) in new.bucket_counts.iter().enumerate() {
        let index = i64::from(new.offset) + i as i64;
        let more = count.checked_sub(at(old, index))?;
        if more == 0 {
            continue;
        }
        if difference.bucket_counts.is_empty() {
            difference.offset = i32::try_from(index).ok()?;
        }
        let gap = (index - upper(&difference)) as usize;
        difference.bucket_counts.extend(std::iter::repeat_n(0, gap));
        difference.bucket_counts.push(more);
    }
    // What was there and is not any more.
    let gone = |(i, count): (usize, &u64)| *count > at(new, i64::from(old.offset) + i as i64);
    if old.bucket_counts.iter().enumerate().any(gone) {
        return None;
    }
    Some(difference)
}

/// The range of the buckets of both that are not empty.
fn range(a: &Buckets, b: &Buckets) -> (i64, i64) {
    let mut lower = i64::from(a.offset).min(i64::from(b.offset));
    let mut upper = upper(a).max(upper(b));
    while lower < upper && at(a, lower) == 0 && at(b, lower) == 0 {
        lower += 1;
    }
    while lower < upper - 1 && at(a, upper - 1) == 0 && at(b, upper - 1) == 0 {
        upper -= 1;
    }
    (lower, upper)
}

/// By how many scales both must fall for their sum to fit.
fn too_fine(a: &Buckets, b: &Buckets) -> u32 {
    let (mut lower, mut upper) = match (a.bucket_counts.is_empty(), b.bucket_counts.is_empty()) {
        (true, true) => return 0,
        (false, true) => range(a, a),
        (true, false) => range(b, b),
        (false, false) => range(a, b),
    };
    let mut times = 0;
    while upper - lower > MAX_BUCKETS {
        (lower, upper) = (lower >> 1, ((upper - 1) >> 1) + 1);
        times += 1;
    }
    times
}

fn merge(into: &mut Buckets, from: &Buckets) {
    if from.bucket_counts.is_empty() {
        return;
    }
    if into.bucket_counts.is_empty() {
        *into = from.clone();
        return;
    }
    let (lower, upper) = range(into, from);
    let counts = (lower..upper).map(|index| at(into, index).saturating_add(at(from, index))).collect();
    into.offset = lower as i32;
    into.bucket_counts = counts;
}

/// Lowers the scale of a histogram.
fn lower_scale(point: &mut ExponentialHistogramPoint, times: u32) {
    coarsen(&mut point.positive, times);
    coarsen(&mut point.negative, times);
    point.scale = point.scale.saturating_sub_unsigned(times);
}

/// Widens what counts as zero, to the end of the bucket that `width` is in.
fn widen_zero(point: &mut ExponentialHistogramPoint, width: f64) {
    let index = index_of(width, point.scale);
    point.zero_count += cut_below(&mut point.positive, index) + cut_below(&mut point.negative, index);
    point.zero_threshold = ((index + 1) as f64 * std::f64::consts::LN_2 * f64::from(-point.scale).exp2()).exp();
}

/// Adds a histogram to another, at a scale and with a width of zero that fit both.
pub(crate) fn add(total: &mut ExponentialHistogramPoint, mut point: ExponentialHistogramPoint) {
    match total.scale.saturating_sub(point.scale) {
        0 => {}
        finer @ 1.. => lower_scale(total, finer.unsigned_abs()),
        coarser => lower_scale(&mut point, coarser.unsigned_abs()),
    }
    let times = too_fine(&total.positive, &point.positive).max(too_fine(&total.negative, &point.negative));
    lower_scale(total, times);
    lower_scale(&mut point, times);
    if total.zero_threshold < point.zero_threshold {
        widen_zero(total, point.zero_threshold);
    } else if point.zero_threshold < total.zero_threshold {
        widen_zero(&mut point, total.zero_threshold);
    }
    merge(&mut total.positive, &point.positive);
    merge(&mut total.negative, &point.negative);
    total.count = total.count.saturating_add(point.count);
    total.zero_count = total.zero_count.saturating_add(point.zero_count);
    total.sum = total.sum.zip(point.sum).map(|(a, b)| a + b);
    total.min = total.min.zip(point.min).map(|(a, b)| a.min(b));
    total.max = total.max.zip(point.max).map(|(a, b)| a.max(b));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(offset: i32, counts: &[u64]) -> Buckets {
        Buckets { offset, bucket_counts: counts.to_vec(), ..Buckets::default() }
    }

    #[test]
    fn neighbours_become_one_on_both_sides_of_zero() {
        for (offset, counts, times, expected) in [
            (0, &[1, 2, 3, 4][..], 1, buckets(0, &[3, 7])),
            (-3, &[1, 2, 3, 4], 1, buckets(-2, &[1, 5, 4])),
            (5, &[1, 2], 2, buckets(1, &[3])),
            (-1, &[1, 1], 40, buckets(-1, &[1, 1])),
        ] {
            let mut got = buckets(offset, counts);
            coarsen(&mut got, times);
            assert_eq!(got, expected, "{offset} {counts:?} {times}");
        }
    }

    #[test]
    fn values_are_found_in_their_buckets() {
        for (value, scale, index) in
            [(1.5, 0, 0), (2.0, 0, 0), (2.1, 0, 1), (1.0, 3, -1), (4.0, 1, 3), (0.5, 0, -2), (9.0, -1, 1)]
        {
            assert_eq!(index_of(value, scale), index, "{value} {scale}");
        }
    }

    #[test]
    fn a_difference_is_what_came_since_or_nothing() {
        assert_eq!(difference(&buckets(0, &[1, 5, 3]), &buckets(1, &[5])), Some(buckets(0, &[1, 0, 3])));
        assert_eq!(difference(&buckets(0, &[1]), &buckets(0, &[2])), None);
        assert_eq!(difference(&buckets(0, &[1]), &buckets(7, &[2])), None);
        assert_eq!(difference(&buckets(3, &[4]), &Buckets::default()), Some(buckets(3, &[4])));
    }

    #[test]
    fn sums_are_of_the_coarser_scale_and_the_wider_zero() {
        let point = |scale, positive, zero_threshold, zero_count| ExponentialHistogramPoint {
            scale,
            positive,
            zero_threshold,
            zero_count,
            count: 4,
            sum: Some(1.0),
            ..ExponentialHistogramPoint::default()
        };
        let mut total = point(1, buckets(0, &[1, 1, 1, 1]), 0.0, 0);
        add(&mut total, point(0, buckets(0, &[2, 2]), 0.0, 0));
        assert_eq!((total.scale, &total.positive), (0, &buckets(0, &[4, 4])));
        assert_eq!((total.count, total.sum, total.min), (8, Some(2.0), None));

        // What lies below the other's width of zero (the buckets up to 2) is zero now.
        add(&mut total, point(0, buckets(1, &[1]), 1.5, 3));
        assert_eq!((total.zero_count, &total.positive), (7, &buckets(1, &[5])));
        assert!((total.zero_threshold - 2.0).abs() < 1e-9, "{}", total.zero_threshold);
    }

    #[test]
    fn far_away_buckets_lower_the_scale_instead_of_filling_memory() {
        let point =
            |offset| ExponentialHistogramPoint { positive: buckets(offset, &[1]), scale: 20, ..Default::default() };
        let mut total = point(i32::MIN + 1);
        add(&mut total, point(i32::MAX - 1));
        assert!(total.positive.bucket_counts.len() <= MAX_BUCKETS as usize);
        assert_eq!(total.positive.bucket_counts.iter().sum::<u64>(), 2);
    }
}
