//! Requests with numbered items, as clients send them: [`crate::sink`] finds the numbers again.

use std::sync::LazyLock;
use std::time::SystemTime;

use crate::wire::{put_bytes, put_fixed64, put_number};

/// When the first sample was made, in milliseconds since 1970: senders of samples leave out what is from long ago.
static BEGAN_MS: LazyLock<u64> =
    LazyLock::new(|| SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64));

/// An OTLP request with a span for each number, `seq=N` its name.
pub fn spans(numbers: std::ops::Range<u64>) -> Vec<u8> {
    otlp(numbers, |number| {
        let mut span = Vec::new();
        // trace_id = 1, span_id = 2, name = 5, start_time_unix_nano = 7, end_time_unix_nano = 8
        put_bytes(&mut span, 1, &[number.to_be_bytes(), (!number).to_be_bytes()].concat());
        put_bytes(&mut span, 2, &(number + 1).to_be_bytes());
        put_bytes(&mut span, 5, format!("seq={number}").as_bytes());
        put_fixed64(&mut span, 7, 1_760_000_000_000_000_000 + number);
        put_fixed64(&mut span, 8, 1_760_000_000_000_000_000 + number + 1);
        span
    })
}

/// An OTLP request with a log record for each number, `seq=N` its body.
pub fn records(numbers: std::ops::Range<u64>) -> Vec<u8> {
    otlp(numbers, |number| {
        let (mut body, mut record) = (Vec::new(), Vec::new());
        // AnyValue.string_value = 1; LogRecord.time_unix_nano = 1, body = 5
        put_bytes(&mut body, 1, format!("seq={number}").as_bytes());
        put_fixed64(&mut record, 1, 1_760_000_000_000_000_000 + number);
        put_bytes(&mut record, 5, &body);
        record
    })
}

/// An OTLP request with a gauge of one point for each number, `seq=N` its attribute.
pub fn points(numbers: std::ops::Range<u64>) -> Vec<u8> {
    otlp(numbers, |number| {
        let (mut value, mut attribute, mut point, mut gauge, mut metric) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // AnyValue.string_value = 1; KeyValue.key = 1, value = 2
        put_bytes(&mut value, 1, format!("seq={number}").as_bytes());
        put_bytes(&mut attribute, 1, b"number");
        put_bytes(&mut attribute, 2, &value);
        // NumberDataPoint.time_unix_nano = 3, as_double = 4, attributes = 7; Gauge.data_points = 1; Metric.name = 1, gauge = 5
        put_fixed64(&mut point, 3, 1_760_000_000_000_000_000 + number);
        put_fixed64(&mut point, 4, 1.0f64.to_bits());
        put_bytes(&mut point, 7, &attribute);
        put_bytes(&mut gauge, 1, &point);
        put_bytes(&mut metric, 1, b"numbers");
        put_bytes(&mut metric, 5, &gauge);
        metric
    })
}

/// A request of any signal: they have the same numbers down to their items.
fn otlp(numbers: std::ops::Range<u64>, item: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    let mut scope = Vec::new();
    numbers.for_each(|number| put_bytes(&mut scope, 2, &item(number)));
    // resource_spans = 1, scope_spans = 2, spans = 2
    let mut resource = Vec::new();
    put_bytes(&mut resource, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &resource);
    request
}

/// More bytes for an OTLP request, and no items: a resource whose description is so long.
pub fn padding(bytes: usize) -> Vec<u8> {
    let (mut value, mut attribute, mut resource, mut group, mut request) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut value, 1, &vec![b'x'; bytes]);
    put_bytes(&mut attribute, 1, b"description");
    put_bytes(&mut attribute, 2, &value);
    // Resource.attributes = 1; ResourceSpans.resource = 1
    put_bytes(&mut resource, 1, &attribute);
    put_bytes(&mut group, 1, &resource);
    put_bytes(&mut request, 1, &group);
    request
}

/// A remote write request, compressed, with a sample of one series for each number, which is its value.
///
/// # Panics
/// If there are so many that they do not fit a Snappy block.
pub fn samples(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in [("__name__", "numbers_total"), ("job", "faults")] {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        // TimeSeries.labels = 1
        put_bytes(&mut series, 1, &label);
    }
    for number in numbers {
        let mut sample = Vec::new();
        // value = 1, timestamp = 2
        put_fixed64(&mut sample, 1, (number as f64).to_bits());
        put_number(&mut sample, 2, *BEGAN_MS + number);
        // TimeSeries.samples = 2
        put_bytes(&mut series, 2, &sample);
    }
    // WriteRequest.timeseries = 1
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &series);
    snap::raw::Encoder::new().compress_vec(&request).expect("a request is small")
}
