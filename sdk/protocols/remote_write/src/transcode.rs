//! From one version to the other, for a receiver that answers 415.

use crate::decode::{Malformed, decompress};
use crate::visit::visit;
use crate::{RequestBuilder, SymbolBuilder, Version};
use base_stdx::protobuf::{push_varint, varint_len};

/// A request in the other version.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoded {
    /// As a snappy block.
    pub body: Box<[u8]>,
    /// Samples, exemplars and histograms in it.
    pub entries: usize,
    /// Histograms with buckets of their own, which version 1 has no place for.
    pub left_out: usize,
}

/// The request `body`, a snappy block of `from`, in the other version. Metadata and start times are lost on the way to
/// version 1. None if the body is no such request, or more than `bound` bytes when decompressed.
pub fn transcode(from: Version, body: &[u8], bound: usize) -> Option<Transcoded> {
    let plain = decompress(body, bound).ok()?;
    match from {
        Version::V1 => to_symbols(&plain),
        Version::V2 => to_labels(&plain),
    }
}

fn to_symbols(plain: &[u8]) -> Option<Transcoded> {
    let mut builder = SymbolBuilder::new();
    let read = visit(Version::V1, plain, |view| {
        for sample in &view.samples {
            builder.push_sample(&mut view.labels.iter().copied(), None, sample.value, sample.timestamp, sample.start);
        }
        for one in &view.histograms {
            builder.push_histogram(&mut view.labels.iter().copied(), None, &one.value, one.timestamp, one.start);
        }
        for exemplar in &view.exemplars {
            let mut own = exemplar.labels.iter().flatten().copied();
            let labels = &mut view.labels.iter().copied();
            builder.push_exemplar(labels, None, &mut own, exemplar.value, exemplar.timestamp);
        }
        Ok::<_, Malformed>(())
    });
    read.ok()?;
    let entries = builder.len();
    Some(Transcoded { entries, body: builder.finish()?, left_out: 0 })
}

fn to_labels(plain: &[u8]) -> Option<Transcoded> {
    let mut builder = RequestBuilder::new();
    let (mut labels, mut own) = (Vec::new(), Vec::new());
    let mut left_out = 0;
    let read = visit(Version::V2, plain, |view| {
        encode(&mut labels, view.labels.iter().copied());
        for sample in &view.samples {
            builder.push_sample(&labels, sample.value, sample.timestamp);
        }
        for one in &view.histograms {
            if one.value.has_custom_buckets() {
                left_out += 1;
            } else {
                builder.push_histogram(&labels, &one.value, one.timestamp);
            }
        }
        for exemplar in &view.exemplars {
            encode(&mut own, exemplar.labels.iter().flatten().copied());
            builder.push_exemplar(&labels, &own, exemplar.value, exemplar.timestamp);
        }
        // Symbols that are named often must not make a small request a large one.
        if builder.byte_len() > MOST_BYTES { Err(Malformed::TooLarge) } else { Ok(()) }
    });
    read.ok()?;
    let entries = builder.len();
    Some(Transcoded { entries, body: builder.finish()?, left_out })
}

/// What we send ourselves never comes near.
const MOST_BYTES: usize = 256 << 20;

/// Labels as field 1 of a time series of version 1.
fn encode<'a>(to: &mut Vec<u8>, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    to.clear();
    for (name, value) in labels {
        let inner = 2 + varint_len(name.len() as u64) + name.len() + varint_len(value.len() as u64) + value.len();
        to.push(0x0a);
        push_varint(to, inner as u64);
        for (tag, text) in [(0x0a, name), (0x12, value)] {
            to.push(tag);
            push_varint(to, text.len() as u64);
            to.extend_from_slice(text.as_bytes());
        }
    }
}
