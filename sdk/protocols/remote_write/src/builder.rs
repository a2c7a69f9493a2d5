//! Writing a request of version 1.

use std::ops::Range;

use sdk_histogram::NativeHistogram;
use sdk_protocols_compression::Snappy;

use crate::form::{Form, Rows};
use crate::histogram;
use base_stdx::protobuf::{push_varint, varint_len, write_varint};

const TIMESERIES: u8 = 0x0a;
const SAMPLES: u8 = 0x12;
const EXEMPLARS: u8 = 0x1a;
const HISTOGRAMS: u8 = 0x22;

/// What is smaller than this gets little smaller when it is compressed by itself.
const WORTH_COMPRESSING: usize = 16 << 10;
/// Parts that were shown as they are wait for others, to be compressed together.
const MOST_SHOWN: usize = 64 << 10;

/// Why compressing cannot fail.
const PIECES: &str = "what is compressed by itself is far smaller than 4 GiB";

/// Collects time series for one request. As Alloy sends them, each holds one sample, exemplar or histogram.
///
/// A builder is used again and again; its buffers stay.
pub struct RequestBuilder {
    /// What is not compressed yet.
    body: Vec<u8>,
    /// How much of `body` was shown as parts.
    shown: usize,
    /// The parts of the snappy block that are compressed.
    compressed: Vec<u8>,
    /// Bytes of what is compressed, before it was.
    compressed_from: usize,
    /// Of the parts in `compressed`, what no part has shown yet: where it begins, and its bytes before it was compressed.
    /// When there is something, nothing of `body` was shown either.
    new_compressed: (usize, usize),
    entries: usize,
    encoder: Snappy,
    /// For one histogram.
    message: Vec<u8>,
    /// The time of the last sample, and its field: those of a scrape have one time.
    time: (i64, Field),
}

/// A short field, written at once and then cut: that is quicker than byte by byte.
#[derive(Clone, Copy)]
struct Field {
    bytes: [u8; Field::ROOM],
    length: usize,
}

/// Some whole fields of a request's message: parts that lie end to end are the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<'a> {
    /// As they are, or as a snappy block without its length.
    pub bytes: &'a [u8],
    /// That length, if so.
    pub compressed_from: Option<usize>,
}

impl RequestBuilder {
    /// An empty request.
    pub fn new() -> RequestBuilder {
        RequestBuilder {
            body: Vec::new(),
            shown: 0,
            compressed: Vec::new(),
            compressed_from: 0,
            new_compressed: (0, 0),
            entries: 0,
            encoder: Snappy::new(),
            message: Vec::new(),
            time: (0, Field::new()),
        }
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
        self.compressed_from + self.body.len()
    }

    /// One sample. `labels` is field 1 of the time series, encoded; `timestamp` is in milliseconds.
    #[inline]
    pub fn push_sample(&mut self, labels: &[u8], value: f64, timestamp: i64) {
        if self.time.0 != timestamp {
            self.time = (timestamp, Field::of_time(timestamp));
        }
        let mut sample = Field::new();
        sample.push(SAMPLES);
        sample.push((number_len(value) + self.time.1.length) as u8);
        if value != 0.0 {
            sample.push(0x09);
            sample.append(&value.to_le_bytes());
        }
        let mut head = Field::new();
        head.push(TIMESERIES);
        head.push_varint((labels.len() + sample.length + self.time.1.length) as u64);
        self.body.reserve(labels.len() + 3 * Field::ROOM);
        head.write_to(&mut self.body);
        self.body.extend_from_slice(labels);
        sample.write_to(&mut self.body);
        self.time.1.write_to(&mut self.body);
        self.entries += 1;
    }

    /// Samples of rows of a form, of one time. `labels` gives those of a row; `values` are those of all rows. What was written
    /// before is compressed now.
    pub fn push_form<'a>(
        &mut self,
        form: &Form,
        labels: impl Fn(usize) -> &'a [u8],
        values: &[f64],
        rows: Range<usize>,
        timestamp: i64,
    ) {
        if rows.is_empty() || rows.end > form.len() || !Form::takes(timestamp) {
            rows.for_each(|row| self.push_sample(labels(row), values[row], timestamp));
            return;
        }
        self.compress_body();
        self.entries += rows.len();
        let time = Field::of_time(timestamp);
        let rows = Rows { rows, labels, values, time: &time.bytes[..time.length] };
        let bytes = form.write(&rows, &mut self.body, &mut self.compressed);
        self.compressed_from += bytes;
        self.new_compressed.1 += bytes;
    }

    /// Compresses what is not yet.
    fn compress_body(&mut self) {
        let (shown, new) = self.body.split_at(self.shown);
        self.encoder.compress_part(shown, &mut self.compressed).expect(PIECES);
        if self.new_compressed.1 == 0 {
            self.new_compressed.0 = self.compressed.len();
        }
        self.encoder.compress_part(new, &mut self.compressed).expect(PIECES);
        self.new_compressed.1 += new.len();
        self.compressed_from += self.body.len();
        self.body.clear();
        self.shown = 0;
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

    /// What was added since the last part: whole time series. Much of it is compressed now, which it
    /// would be anyway in the end. None when there is nothing new.
    pub fn part(&mut self) -> Option<Part<'_>> {
        let enough = if self.shown == 0 { WORTH_COMPRESSING } else { MOST_SHOWN };
        if self.new_compressed.1 == 0 && self.body.len() < enough {
            let from = std::mem::replace(&mut self.shown, self.body.len());
            let bytes = &self.body[from..];
            return (!bytes.is_empty()).then_some(Part { bytes, compressed_from: None });
        }
        self.compress_body();
        let (start, bytes) = std::mem::take(&mut self.new_compressed);
        (bytes > 0).then(|| Part { bytes: &self.compressed[start..], compressed_from: Some(bytes) })
    }

    /// The request as a snappy block, ready to send; the builder is empty afterwards. None when the request is beyond what
    /// snappy can hold, 4 GiB, which no bound of ours lets it reach.
    pub fn finish(&mut self) -> Option<Box<[u8]>> {
        let compressed = match self.compressed_from {
            0 => self.encoder.compress(&self.body),
            before => self
                .encoder
                .compress_part(&self.body, &mut self.compressed)
                .and_then(|()| Snappy::block_of(&self.compressed, before + self.body.len())),
        };
        self.body.clear();
        self.compressed.clear();
        (self.shown, self.compressed_from, self.new_compressed, self.entries) = (0, 0, (0, 0), 0);
        compressed.map(Vec::into_boxed_slice)
    }
}

impl Default for RequestBuilder {
    fn default() -> RequestBuilder {
        RequestBuilder::new()
    }
}

// === impl Field ===

impl Field {
    const ROOM: usize = 16;

    #[inline]
    fn new() -> Field {
        Field { bytes: [0; Field::ROOM], length: 0 }
    }

    fn of_time(timestamp: i64) -> Field {
        let mut field = Field::new();
        if timestamp != 0 {
            field.push(0x10);
            field.push_varint(timestamp as u64);
        }
        field
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.append(&[byte]);
    }

    #[inline]
    fn push_varint(&mut self, n: u64) {
        self.length = write_varint(&mut self.bytes, self.length, n);
    }

    #[inline]
    fn append<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.bytes[self.length..self.length + N].copy_from_slice(bytes);
        self.length += N;
    }

    #[inline]
    fn write_to(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.bytes);
        to.truncate(start + self.length);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, decompress};

    #[test]
    fn parts_are_the_request() {
        let labels = |i: usize| {
            let text = format!("\x0a\x0e\x0a\x01i\x12\x09{i:09}");
            text.into_bytes()
        };
        let mut builder = RequestBuilder::new();
        let (mut joined, mut compressed) = (Vec::new(), 0);
        let mut i = 0;
        for batch in [1, 20, 900, 3, 1, 3000, 700, 1] {
            for _ in 0..batch {
                builder.push_sample(&labels(i), i as f64, 1_700_000_000_000 + i as i64);
                i += 1;
            }
            let part = builder.part().expect("there is something new");
            match part.compressed_from {
                None => joined.extend_from_slice(part.bytes),
                Some(length) => {
                    compressed += 1;
                    let block = Snappy::block_of(part.bytes, length).unwrap();
                    joined.extend_from_slice(&decompress(&block, 1 << 20).unwrap());
                }
            }
            assert_eq!(builder.part(), None);
        }
        builder.push_sample(&labels(i), 1.0, 5);
        joined.extend_from_slice(builder.part().unwrap().bytes);
        assert!(compressed >= 2, "{compressed}");
        let whole = decompress(&builder.finish().unwrap(), 1 << 20).unwrap();
        assert_eq!(whole, joined);
        assert_eq!(decode(&whole).unwrap().len(), i + 1);
        assert!(builder.is_empty() && builder.byte_len() == 0 && builder.part().is_none());
    }
}
