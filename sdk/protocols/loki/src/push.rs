//! A request under construction.
//!
//! Entries are written as protobuf into their stream's buffer the moment they are added; finishing puts the streams one
//! behind the other and compresses once. Nothing is allocated for an entry.

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sdk_labels::Labels;
use sdk_protocols_compression::Snappy;
use sdk_signals::LogEntry;

use crate::wire::{bytes_field_len, put_bytes_field, put_header, put_varint, varint_len};

/// A push request that entries are added to.
pub struct Push {
    streams: Vec<StreamBuffer>,
    /// Buffers of earlier requests.
    spare: Vec<Vec<u8>>,
    by_labels: HashMap<Labels, usize, FixedState>,
    bytes: usize,
    entries: u32,
    raw: Vec<u8>,
    compressor: Snappy,
}

struct StreamBuffer {
    /// Field 1 of the stream, and then its entries: the whole message without its header.
    message: Vec<u8>,
}

/// A stream of the request that is under construction; not good for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(usize);

/// Whether a stream may join a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Add {
    /// It has.
    Stream(StreamId),
    /// The request has as many streams as allowed.
    TooMany,
}

/// What an entry counts against Loki's limits, and ours: the line and its structured metadata, without labels.
pub fn entry_size(entry: &LogEntry) -> usize {
    let pair = |(name, value): &(Bytes, Bytes)| optional_len(name) + optional_len(value);
    entry.line.len() + entry.metadata.pairs().iter().map(pair).sum::<usize>()
}

/// The labels that are sent: what is not internal (`__*`), over the external labels.
pub fn stream_labels(labels: &Labels, external: &Labels) -> Labels {
    let internal = labels.iter().any(|(name, _)| name.starts_with("__"));
    if !internal && external.is_empty() {
        return labels.clone();
    }
    // Empty values are sent, so this is no work for a LabelsBuilder, which takes them for absent.
    let own = labels.iter().filter(|(name, _)| !name.starts_with("__"));
    let missing = external.iter().filter(|(name, _)| labels.get(name).is_none());
    Labels::from_pairs(missing.chain(own))
}

// === impl Push ===

impl Default for Push {
    fn default() -> Push {
        Push::new()
    }
}

impl Push {
    /// An empty request.
    pub fn new() -> Push {
        Push {
            streams: Vec::new(),
            spare: Vec::new(),
            by_labels: HashMap::default(),
            bytes: 0,
            entries: 0,
            raw: Vec::new(),
            compressor: Snappy::new(),
        }
    }

    /// The stream of these labels (as they are sent), made if it is not there and at most `max_streams` (0 = any number)
    /// are.
    pub fn stream(&mut self, labels: &Labels, max_streams: usize) -> Add {
        if let Some(&index) = self.by_labels.get(labels) {
            return Add::Stream(StreamId(index));
        }
        if max_streams > 0 && self.streams.len() >= max_streams {
            return Add::TooMany;
        }
        let mut message = self.spare.pop().unwrap_or_default();
        put_bytes_field(&mut message, 1, labels.to_string().as_bytes());
        self.streams.push(StreamBuffer { message });
        let index = self.streams.len() - 1;
        self.by_labels.insert(labels.clone(), index);
        Add::Stream(StreamId(index))
    }

    /// One entry more for a stream.
    pub fn add(&mut self, stream: StreamId, entry: &LogEntry) {
        self.bytes += entry_size(entry);
        self.entries += 1;
        put_entry(&mut self.streams[stream.0].message, entry);
    }

    /// Lines and structured metadata so far, as [`entry_size`] counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries so far.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The body of the request, and an empty request again; buffers are kept.
    pub fn finish(&mut self) -> Bytes {
        self.raw.clear();
        for stream in &self.streams {
            put_header(&mut self.raw, 1, stream.message.len());
            self.raw.extend_from_slice(&stream.message);
        }
        // Backwards, so that the stream that comes first gets the buffer of the one that did.
        for StreamBuffer { mut message } in self.streams.drain(..).rev() {
            let kept: usize = self.spare.iter().map(Vec::capacity).sum();
            if self.spare.len() < KEPT_BUFFERS && kept + message.capacity() <= KEPT_BYTES {
                message.clear();
                self.spare.push(message);
            }
        }
        self.by_labels.clear();
        (self.bytes, self.entries) = (0, 0);
        let compressed = self.compressor.compress(&self.raw).expect("a request is smaller than 4 GiB");
        if self.raw.capacity() > KEPT_BYTES {
            self.raw = Vec::new();
        }
        Bytes::from(compressed)
    }
}

/// What is kept for the next request: twice the usual size of one. What one huge line needed is given back.
const KEPT_BYTES: usize = 2 << 20;

/// Buffers of streams that are kept for the next request.
const KEPT_BUFFERS: usize = 16;

/// A text field that proto3 leaves out when it is empty.
fn optional_len(text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { bytes_field_len(text.len()) }
}

fn put_optional(out: &mut Vec<u8>, number: u8, text: &[u8]) {
    if !text.is_empty() {
        put_bytes_field(out, number, text);
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &LogEntry) {
    let seconds = entry.timestamp.div_euclid(1_000_000_000);
    let nanoseconds = entry.timestamp.rem_euclid(1_000_000_000) as u64;
    let varint_field_len = |value: u64| if value == 0 { 0 } else { 1 + varint_len(value) };
    let timestamp_len = varint_field_len(seconds as u64) + varint_field_len(nanoseconds);
    let metadata = entry.metadata.pairs();
    let pair_len = |(name, value): &(Bytes, Bytes)| optional_len(name) + optional_len(value);
    let metadata_len: usize = metadata.iter().map(|pair| bytes_field_len(pair_len(pair))).sum();
    let length = bytes_field_len(timestamp_len) + optional_len(&entry.line) + metadata_len;

    out.reserve(length + 11);
    put_header(out, 2, length);
    put_header(out, 1, timestamp_len);
    if seconds != 0 {
        out.push(1 << 3);
        put_varint(out, seconds as u64);
    }
    if nanoseconds != 0 {
        out.push(2 << 3);
        put_varint(out, nanoseconds);
    }
    put_optional(out, 2, &entry.line);
    for pair in metadata {
        put_header(out, 3, pair_len(pair));
        put_optional(out, 1, &pair.0);
        put_optional(out, 2, &pair.1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sdk_signals::Metadata;

    use super::*;
    use crate::{Entry, Stream, parse};

    fn entry(timestamp: i64, line: &[u8], metadata: &[(&str, &str)]) -> LogEntry {
        let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let metadata: Metadata = metadata.iter().map(|(name, value)| (copy(name), copy(value))).collect();
        LogEntry { timestamp, line: Bytes::copy_from_slice(line), metadata }
    }

    #[test]
    fn a_request_is_what_loki_documents() {
        let mut push = Push::new();
        let labels = Labels::from_pairs([("b", "2"), ("a", "1\"")]);
        let Add::Stream(stream) = push.stream(&labels, 0) else { panic!("there is room") };
        push.add(stream, &entry(1_000_000_002, b"hi", &[("k", "v")]));
        let body = push.finish();
        let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let mut expected = vec![0x0a, 38, 0x0a, 16];
        expected.extend_from_slice(b"{a=\"1\\\"\", b=\"2\"}");
        expected.extend_from_slice(&[0x12, 18, 0x0a, 4, 0x08, 1, 0x10, 2, 0x12, 2, b'h', b'i']);
        expected.extend_from_slice(&[0x1a, 6, 0x0a, 1, b'k', 0x12, 1, b'v']);
        assert_eq!(raw, expected);
        assert!(push.is_empty() && push.bytes() == 0);
    }

    #[test]
    fn streams_are_counted_against_their_bound() {
        let mut push = Push::new();
        let one = Labels::from_pairs([("a", "1")]);
        assert_eq!(push.stream(&one, 1), Add::Stream(StreamId(0)));
        assert_eq!(push.stream(&Labels::from_pairs([("a", "2")]), 1), Add::TooMany);
        assert_eq!(push.stream(&one, 1), Add::Stream(StreamId(0)));
    }

    #[test]
    fn internal_labels_stay_and_external_ones_lose() {
        let external = Labels::from_pairs([("a", "ext"), ("cluster", "c1")]);
        let labels = Labels::from_pairs([("__tenant_id__", "t"), ("a", "1"), ("empty", "")]);
        let sent = stream_labels(&labels, &external);
        assert_eq!(sent.to_string(), r#"{a="1", cluster="c1", empty=""}"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..50), "[a-b]?", 0..2usize), 1..20),
        ) {
            let mut push = Push::new();
            let mut expected: Vec<Stream> = Vec::new();
            for (timestamp, line, value, stream) in entries {
                let labels = Labels::from_pairs([("stream", stream.to_string())]);
                let Add::Stream(id) = push.stream(&labels, 0) else { panic!("there is room") };
                let pairs = [("name", value.as_str())];
                push.add(id, &entry(timestamp, &line, &pairs));
                let read = Entry { timestamp, line, metadata: vec![("name".into(), value)] };
                match expected.iter_mut().find(|stream| stream.labels == labels.to_string()) {
                    Some(stream) => stream.entries.push(read),
                    None => expected.push(Stream { labels: labels.to_string(), entries: vec![read] }),
                }
            }
            let raw = snap::raw::Decoder::new().decompress_vec(&push.finish()).unwrap();
            prop_assert_eq!(parse(&raw).unwrap(), expected);
        }
    }
}
