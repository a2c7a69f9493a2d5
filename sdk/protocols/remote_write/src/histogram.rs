//! Native histograms on the wire. Both versions have the same message, but for the time of the start.

use sdk_histogram::{Counts, CountsOf, NativeHistogram, ResetHint, Span};

use base_stdx::protobuf::{
    Value, push_double, push_tag, push_varint, take_doubles, take_field, take_varints, unzigzag, zigzag,
};

/// The message of a histogram. `start` is written by version 2 only; 0 means that it is not known.
pub(crate) fn encode(to: &mut Vec<u8>, histogram: &NativeHistogram, timestamp: i64, start: i64) {
    // Whichever it is, the count says so and is there even when it is zero.
    match &histogram.counts {
        Counts::Integer(counts) => {
            push_tag(to, 0x08);
            push_varint(to, counts.count);
        }
        Counts::Float(counts) => push_fixed(to, 0x11, counts.count),
    }
    push_double(to, 0x19, histogram.sum);
    if histogram.schema != 0 {
        push_tag(to, 0x20);
        push_varint(to, zigzag(i64::from(histogram.schema)));
    }
    push_double(to, 0x29, histogram.zero_threshold);
    match &histogram.counts {
        Counts::Integer(counts) => {
            push_tag(to, 0x30);
            push_varint(to, counts.zero);
            spans(to, 0x42, &histogram.negative_spans);
            deltas(to, 0x4a, &counts.negative);
            spans(to, 0x5a, &histogram.positive_spans);
            deltas(to, 0x62, &counts.positive);
        }
        Counts::Float(counts) => {
            push_fixed(to, 0x39, counts.zero);
            spans(to, 0x42, &histogram.negative_spans);
            doubles(to, 0x52, &counts.negative);
            spans(to, 0x5a, &histogram.positive_spans);
            doubles(to, 0x6a, &counts.positive);
        }
    }
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Yes => 1,
        ResetHint::No => 2,
        ResetHint::Gauge => 3,
    };
    if hint != 0 {
        push_tag(to, 0x70);
        push_varint(to, hint);
    }
    if timestamp != 0 {
        push_tag(to, 0x78);
        push_varint(to, timestamp as u64);
    }
    if !histogram.custom_values.is_empty() {
        push_varint(to, 16 << 3 | 2);
        packed_doubles(to, &histogram.custom_values);
    }
    if start != 0 {
        push_varint(to, 17 << 3);
        push_varint(to, start as u64);
    }
}

fn spans(to: &mut Vec<u8>, tag: u8, spans: &[Span]) {
    let mut inner = Vec::new();
    for span in spans {
        inner.clear();
        if span.offset != 0 {
            push_tag(&mut inner, 0x08);
            push_varint(&mut inner, zigzag(i64::from(span.offset)));
        }
        if span.length != 0 {
            push_tag(&mut inner, 0x10);
            push_varint(&mut inner, u64::from(span.length));
        }
        push_tag(to, tag);
        push_varint(to, inner.len() as u64);
        to.extend_from_slice(&inner);
    }
}

fn deltas(to: &mut Vec<u8>, tag: u8, deltas: &[i64]) {
    if deltas.is_empty() {
        return;
    }
    let mut inner = Vec::with_capacity(deltas.len() * 2);
    deltas.iter().for_each(|delta| push_varint(&mut inner, zigzag(*delta)));
    push_tag(to, tag);
    push_varint(to, inner.len() as u64);
    to.extend_from_slice(&inner);
}

fn doubles(to: &mut Vec<u8>, tag: u8, numbers: &[f64]) {
    if !numbers.is_empty() {
        push_tag(to, tag);
        packed_doubles(to, numbers);
    }
}

fn packed_doubles(to: &mut Vec<u8>, numbers: &[f64]) {
    push_varint(to, numbers.len() as u64 * 8);
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

fn push_fixed(to: &mut Vec<u8>, tag: u8, number: f64) {
    push_tag(to, tag);
    to.extend_from_slice(&number.to_le_bytes());
}

/// A histogram, its time and its start.
pub(crate) fn decode(mut from: &[u8]) -> Option<(NativeHistogram, i64, i64)> {
    let (mut count, mut zero) = (Number::Whole(0), Number::Whole(0));
    let (mut sum, mut schema, mut zero_threshold, mut hint, mut timestamp, mut start) = (0.0, 0i32, 0.0, 0, 0, 0);
    let (mut negative_spans, mut positive_spans, mut custom_values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut negative_deltas, mut positive_deltas) = (Vec::new(), Vec::new());
    let (mut negative_counts, mut positive_counts) = (Vec::new(), Vec::new());
    while !from.is_empty() {
        let (field, value) = take_field(&mut from)?;
        match (field, value) {
            (1, Value::Varint(number)) => count = Number::Whole(number),
            (2, Value::Fixed64(bits)) => count = Number::Float(f64::from_bits(bits)),
            (3, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
            (4, Value::Varint(number)) => schema = unzigzag(number) as i32,
            (5, Value::Fixed64(bits)) => zero_threshold = f64::from_bits(bits),
            (6, Value::Varint(number)) => zero = Number::Whole(number),
            (7, Value::Fixed64(bits)) => zero = Number::Float(f64::from_bits(bits)),
            (8, Value::Bytes(span)) => negative_spans.push(self::span(span)?),
            (9, value) => take_varints(value, |n| negative_deltas.push(unzigzag(n)))?,
            (10, value) => take_doubles(value, &mut negative_counts)?,
            (11, Value::Bytes(span)) => positive_spans.push(self::span(span)?),
            (12, value) => take_varints(value, |n| positive_deltas.push(unzigzag(n)))?,
            (13, value) => take_doubles(value, &mut positive_counts)?,
            (14, Value::Varint(number)) => hint = number,
            (15, Value::Varint(number)) => timestamp = number as i64,
            (16, value) => take_doubles(value, &mut custom_values)?,
            (17, Value::Varint(number)) => start = number as i64,
            _ => {}
        }
    }
    let counts = match count {
        Number::Whole(count) => {
            let zero = match zero {
                Number::Whole(zero) => zero,
                Number::Float(zero) => zero as u64,
            };
            Counts::Integer(CountsOf { count, zero, positive: positive_deltas, negative: negative_deltas })
        }
        Number::Float(count) => {
            let zero = match zero {
                Number::Whole(zero) => zero as f64,
                Number::Float(zero) => zero,
            };
            Counts::Float(CountsOf { count, zero, positive: positive_counts, negative: negative_counts })
        }
    };
    let reset_hint = match hint {
        1 => ResetHint::Yes,
        2 => ResetHint::No,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let histogram = NativeHistogram {
        schema,
        zero_threshold,
        sum,
        reset_hint,
        counts,
        positive_spans,
        negative_spans,
        custom_values,
    };
    Some((histogram, timestamp, start))
}

enum Number {
    Whole(u64),
    Float(f64),
}

fn span(mut from: &[u8]) -> Option<Span> {
    let mut span = Span::default();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(offset)) => span.offset = unzigzag(offset) as i32,
            (2, Value::Varint(length)) => span.length = length as u32,
            _ => {}
        }
    }
    Some(span)
}
