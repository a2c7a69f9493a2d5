//! Requests with numbered items, as clients send them: [`crate::sink`] finds the numbers again.

use crate::wire::{put_bytes, put_fixed64, put_number};

/// An OTLP request with a span for each number, `seq=N` its name.
pub fn spans(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut scope = Vec::new();
    for number in numbers {
        let mut span = Vec::new();
        // trace_id = 1, span_id = 2, name = 5, start_time_unix_nano = 7, end_time_unix_nano = 8
        put_bytes(&mut span, 1, &[number.to_be_bytes(), (!number).to_be_bytes()].concat());
        put_bytes(&mut span, 2, &(number + 1).to_be_bytes());
        put_bytes(&mut span, 5, format!("seq={number}").as_bytes());
        put_fixed64(&mut span, 7, 1_760_000_000_000_000_000 + number);
        put_fixed64(&mut span, 8, 1_760_000_000_000_000_000 + number + 1);
        put_bytes(&mut scope, 2, &span);
    }
    // TracesData.resource_spans = 1, ResourceSpans.scope_spans = 2, ScopeSpans.spans = 2
    let mut resource = Vec::new();
    put_bytes(&mut resource, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &resource);
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
        put_number(&mut sample, 2, 1_760_000_000_000 + number);
        // TimeSeries.samples = 2
        put_bytes(&mut series, 2, &sample);
    }
    // WriteRequest.timeseries = 1
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &series);
    snap::raw::Encoder::new().compress_vec(&request).expect("a request is small")
}
