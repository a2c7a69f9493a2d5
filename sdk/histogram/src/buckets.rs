//! Spans and buckets of one side of a histogram.

use std::ops::AddAssign;

use crate::native::Span;

/// Buckets whose differences these are.
pub(crate) fn absolute(differences: &[i64]) -> Vec<i64> {
    let mut last = 0i64;
    let add = |difference: &i64| {
        // A number beyond i64 is no count; it shows in the check.
        last = last.wrapping_add(*difference);
        last
    };
    differences.iter().map(add).collect()
}

/// The differences of these buckets.
pub(crate) fn differences(absolute: &[i64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(absolute);
    absolute.iter().zip(before).map(|(count, before)| count.wrapping_sub(*before)).collect()
}

pub(crate) fn check_spans(spans: &[Span], buckets: usize) -> Result<(), String> {
    if let Some(n) = spans.iter().skip(1).position(|span| span.offset < 0) {
        return Err(format!("span number {} has a negative offset", n + 2));
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != buckets as u64 {
        return Err(format!("spans need {needed} buckets, have {buckets} buckets"));
    }
    Ok(())
}

/// Spans and buckets anew, each bucket at `place` of its number; several at one place become one. With `most_empty`, empty
/// buckets go, but for gaps of at most so many. Places must not go down where numbers go up.
pub(crate) fn rebuild<T: Copy + Default + PartialEq + AddAssign>(
    spans: &[Span],
    buckets: &[T],
    place: impl Fn(i64) -> i64,
    most_empty: Option<usize>,
) -> Result<(Vec<Span>, Vec<T>), String> {
    check_spans(spans, buckets.len())?;
    let (mut new_spans, mut values): (Vec<Span>, Vec<T>) = (Vec::new(), Vec::with_capacity(buckets.len()));
    let (mut number, mut last) = (0i64, None::<i64>);
    let mut buckets = buckets.iter();
    for span in spans {
        number += i64::from(span.offset);
        for value in buckets.by_ref().take(span.length as usize) {
            let at = place(number);
            number += 1;
            if most_empty.is_some() && *value == T::default() {
                continue;
            }
            let gap = last.map_or(at, |last| at - last - 1);
            match (last, values.last_mut(), new_spans.last_mut()) {
                (Some(last), Some(value_before), _) if last == at => *value_before += *value,
                (Some(_), _, Some(open)) if gap as u64 <= most_empty.unwrap_or(0) as u64 => {
                    values.extend(std::iter::repeat_n(T::default(), gap as usize));
                    values.push(*value);
                    open.length += gap as u32 + 1;
                }
                _ => {
                    let offset = i32::try_from(gap).map_err(|_| "spans are too far from each other".to_owned())?;
                    new_spans.push(Span { offset, length: 1 });
                    values.push(*value);
                }
            }
            last = Some(at);
        }
    }
    Ok((new_spans, values))
}
