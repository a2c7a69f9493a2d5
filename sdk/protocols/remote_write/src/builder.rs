//! Writing a request of version 1.

use sdk_histogram::NativeHistogram;
use sdk_protocols_compression::Snappy;

use crate::histogram;
use base_stdx::protobuf::{push_varint, varint_len};

const TIMESERIES: u8 = 0x0a;
const SAMPLES: u8 = 0x12;
const EXEMPLARS: u8 = 0x1a;
const HISTOGRAMS: u8 = 0x22;

/// Collects time series for one request. As Alloy sends them, each holds one sample, exemplar or histogram.
///
/// A builder is used again and again; its buffers stay.
pub struct RequestBuilder {
    body: Vec<u8>,
    entries: usize,
    encoder: Snappy,
    /// For one histogram.
    message: Vec<u8>,
}

impl RequestBuilder {
    /// An empty request.
    pub fn new() -> RequestBuilder {
        RequestBuilder { body: Vec::new(), entries: 0, encoder: Snappy::new(), message: Vec::new() }
    }

    /// Samples, exemplars and histograms so far.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes so far, not compressed.
    pub fn byte_len(&self) -> usize {
        self.body.len()
    }

    /// One sample. `labels` is field 1 of the time series, encoded; `timestamp` is in milliseconds.
    #[inline]
    pub fn push_sample(&mut self, labels: &[u8], value: f64, timestamp: i64) {
        let inner = number_len(value) + time_len(timestamp);
        self.open(labels, SAMPLES, inner);
        push_number(&mut self.body, 0x09, value);
        push_time(&mut self.body, 0x10, timestamp);
    }

    /// One exemplar of a series. `own_labels` are the exemplar's, encoded in the same way.
    pub fn push_exemplar(&mut self, labels: &[u8], own_labels: &[u8], value: f64, timestamp: i64) {
        let inner = own_labels.len() + number_len(value) + time_len(timestamp);
        self.open(labels, EXEMPLARS, inner);
        self.body.extend_from_slice(own_labels);
        push_number(&mut self.body, 0x11, value);
        push_time(&mut self.body, 0x18, timestamp);
    }

    /// One native histogram of a series.
    pub fn push_histogram(&mut self, labels: &[u8], histogram: &NativeHistogram, timestamp: i64) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        histogram::encode(&mut message, histogram, timestamp, 0);
        self.open(labels, HISTOGRAMS, message.len());
        self.body.extend_from_slice(&message);
        self.message = message;
    }

    #[inline]
    fn open(&mut self, labels: &[u8], field: u8, inner: usize) {
        let outer = labels.len() + 1 + varint_len(inner as u64) + inner;
        self.body.reserve(1 + varint_len(outer as u64) + outer);
        self.body.push(TIMESERIES);
        push_varint(&mut self.body, outer as u64);
        self.body.extend_from_slice(labels);
        self.body.push(field);
        push_varint(&mut self.body, inner as u64);
        self.entries += 1;
    }

    /// The request as a snappy block, ready to send; the builder is empty afterwards. None when the request is beyond what
    /// snappy can hold, 4 GiB, which no bound of ours lets it reach.
    pub fn finish(&mut self) -> Option<Box<[u8]>> {
        let compressed = self.encoder.compress(&self.body).map(Vec::into_boxed_slice);
        self.body.clear();
        self.entries = 0;
        compressed
    }
}

impl Default for RequestBuilder {
    fn default() -> RequestBuilder {
        RequestBuilder::new()
    }
}

// In proto3 a zero is not written. The comparison takes -0 for 0, and so do Prometheus and Alloy, which lose the sign.

#[inline]
fn number_len(value: f64) -> usize {
    if value == 0.0 { 0 } else { 9 }
}

#[inline]
fn push_number(to: &mut Vec<u8>, tag: u8, value: f64) {
    if value != 0.0 {
        to.push(tag);
        to.extend_from_slice(&value.to_le_bytes());
    }
}

#[inline]
fn time_len(timestamp: i64) -> usize {
    if timestamp == 0 { 0 } else { 1 + varint_len(timestamp as u64) }
}

#[inline]
fn push_time(to: &mut Vec<u8>, tag: u8, timestamp: i64) {
    if timestamp != 0 {
        to.push(tag);
        push_varint(to, timestamp as u64);
    }
}
