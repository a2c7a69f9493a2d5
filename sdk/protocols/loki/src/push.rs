//! A request under construction.
//!
//! Entries are written as protobuf into their stream's buffer the moment they are added, and compressed as soon as there is
//! a piece of them that Snappy would look at as a whole, while the processor's caches still hold it. Finishing puts the
//! streams one behind the other. Nothing is allocated for an entry.

use std::ops::Range;

use base_stdx::protobuf::{push_varint, varint_len, write_varint};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sdk_labels::Labels;
use sdk_protocols_compression::Snappy;
use sdk_signals::LogEntry;

use crate::wire::{bytes_field_len, put_bytes_field, put_header};

/// A push request that entries are added to.
pub struct Push {
    streams: Vec<StreamBuffer>,
    /// Buffers of earlier requests.
    spare: Vec<StreamBuffer>,
    by_labels: HashMap<Labels, usize, FixedState>,
    bytes: usize,
    entries: u32,
    raw: Vec<u8>,
    compressor: Snappy,
    second: Second,
}

/// The second of the entry before, as it is written: many come in one.
#[derive(Default)]
struct Second {
    /// Times in it, in nanoseconds since 1970.
    times: Range<i64>,
    field: [u8; SECOND_LEN],
    length: usize,
}

/// A tag and the longest number.
const SECOND_LEN: usize = 11;

/// Field 1 of the stream, and then its entries: the whole message without its header.
#[derive(Default)]
struct StreamBuffer {
    /// The first pieces, as Snappy makes them.
    compressed: Vec<u8>,
    /// Bytes that those hold.
    expanded: usize,
    /// What is behind them.
    rest: Vec<u8>,
}

/// Snappy looks back no further, so that pieces of this size compress as well as the whole.
const PIECE: usize = 64 << 10;

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
            second: Second::default(),
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
        let mut stream = self.spare.pop().unwrap_or_default();
        put_bytes_field(&mut stream.rest, 1, labels.to_string().as_bytes());
        self.streams.push(stream);
        let index = self.streams.len() - 1;
        self.by_labels.insert(labels.clone(), index);
        Add::Stream(StreamId(index))
    }

    /// One entry more for a stream.
    pub fn add(&mut self, stream: StreamId, entry: &LogEntry) {
        self.bytes += entry_size(entry);
        self.entries += 1;
        let stream = &mut self.streams[stream.0];
        put_entry(&mut stream.rest, entry, &mut self.second);
        if stream.rest.len() >= PIECE {
            stream.compress(&mut self.compressor);
        }
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
        let length = self.streams.iter().map(|stream| bytes_field_len(stream.len())).sum::<usize>();
        let compressed =
            self.streams.iter().map(|stream| stream.compressed.len() + stream.rest.len() / 4).sum::<usize>();
        let mut body = Vec::with_capacity(compressed + 64);
        push_varint(&mut body, length as u64);
        self.raw.clear();
        for stream in &self.streams {
            put_header(&mut self.raw, 1, stream.len());
            if stream.expanded > 0 {
                compress(&mut self.compressor, &self.raw, &mut body);
                self.raw.clear();
                body.extend_from_slice(&stream.compressed);
            }
            self.raw.extend_from_slice(&stream.rest);
        }
        compress(&mut self.compressor, &self.raw, &mut body);
        body.shrink_to_fit();
        // Backwards, so that the stream that comes first gets the buffer of the one that did.
        for mut stream in self.streams.drain(..).rev() {
            let kept: usize = self.spare.iter().map(StreamBuffer::capacity).sum();
            if self.spare.len() < KEPT_BUFFERS && kept + stream.capacity() <= KEPT_BYTES {
                stream.clear();
                self.spare.push(stream);
            }
        }
        self.by_labels.clear();
        (self.bytes, self.entries) = (0, 0);
        if self.raw.capacity() > KEPT_BYTES {
            self.raw = Vec::new();
        }
        Bytes::from(body)
    }
}

fn compress(compressor: &mut Snappy, raw: &[u8], to: &mut Vec<u8>) {
    compressor.compress_part(raw, to).expect("a request is smaller than 4 GiB");
}

// === impl StreamBuffer ===

impl StreamBuffer {
    fn len(&self) -> usize {
        self.expanded + self.rest.len()
    }

    /// Compresses whole pieces of what is not yet.
    fn compress(&mut self, compressor: &mut Snappy) {
        let whole = self.rest.len() / PIECE * PIECE;
        compress(compressor, &self.rest[..whole], &mut self.compressed);
        self.rest.drain(..whole);
        self.expanded += whole;
    }

    fn clear(&mut self) {
        self.compressed.clear();
        self.rest.clear();
        self.expanded = 0;
    }

    fn capacity(&self) -> usize {
        self.compressed.capacity() + self.rest.capacity()
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

/// Five tags with a number each, at most.
const MAX_HEAD: usize = 5 * 11;

fn put_entry(out: &mut Vec<u8>, entry: &LogEntry, second: &mut Second) {
    if !second.times.contains(&entry.timestamp) {
        *second = Second::of(entry.timestamp);
    }
    let nanoseconds = entry.timestamp.wrapping_sub(second.times.start) as u64;
    let nanoseconds_len = if nanoseconds == 0 { 0 } else { 1 + varint_len(nanoseconds) };
    let timestamp_len = second.length + nanoseconds_len;
    let metadata = entry.metadata.pairs();
    let pair_len = |(name, value): &(Bytes, Bytes)| optional_len(name) + optional_len(value);
    let metadata_len: usize = metadata.iter().map(|pair| bytes_field_len(pair_len(pair))).sum();
    let length = bytes_field_len(timestamp_len) + optional_len(&entry.line) + metadata_len;

    // Tags, lengths and the time are put together here, so that memory is asked for room twice and not for each byte.
    let mut head = [0; MAX_HEAD];
    head[0] = 2 << 3 | 2;
    let mut end = write_varint(&mut head, 1, length as u64);
    head[end] = 1 << 3 | 2;
    end = write_varint(&mut head, end + 1, timestamp_len as u64);
    head[end..end + SECOND_LEN].copy_from_slice(&second.field);
    end += second.length;
    let mut put = |tag: u8, value: u64| {
        head[end] = tag;
        end = write_varint(&mut head, end + 1, value);
    };
    if nanoseconds != 0 {
        put(2 << 3, nanoseconds);
    }
    if !entry.line.is_empty() {
        put(2 << 3 | 2, entry.line.len() as u64);
    }
    out.reserve(length + 11);
    out.extend_from_slice(&head[..end]);
    out.extend_from_slice(&entry.line);
    for pair in metadata {
        put_header(out, 3, pair_len(pair));
        put_optional(out, 1, &pair.0);
        put_optional(out, 2, &pair.1);
    }
}

// === impl Second ===

impl Second {
    /// The one of this time.
    fn of(timestamp: i64) -> Second {
        const NANOSECONDS: i64 = 1_000_000_000;
        let seconds = timestamp.div_euclid(NANOSECONDS);
        // The very first second began before the first time that there is: no other entry is known to be in it.
        let start = seconds.wrapping_mul(NANOSECONDS);
        let end = if start <= timestamp { start.saturating_add(NANOSECONDS) } else { start };
        let mut second = Second { times: start..end, ..Second::default() };
        if seconds != 0 {
            second.field[0] = 1 << 3;
            second.length = write_varint(&mut second.field, 1, seconds as u64);
        }
        second
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
    fn large_streams_are_compressed_on_the_way_and_arrive_whole() {
        let mut push = Push::new();
        for round in 0..2 {
            let line =
                |number: usize| format!("{round}: line {number} of a stream, {}", number * number % 977).repeat(3);
            let mut raw = 0;
            for (stream, count) in [("small", 3), ("large", 5000), ("middle", 500), ("other", 1500)] {
                let Add::Stream(id) = push.stream(&Labels::from_pairs([("s", stream)]), 0) else {
                    panic!("there is room")
                };
                for number in 0..count {
                    raw += line(number).len();
                    push.add(id, &entry(number as i64, line(number).as_bytes(), &[]));
                }
            }
            assert_eq!(push.bytes(), raw);
            let body = push.finish();
            let whole = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
            let streams = parse(&whole).unwrap();
            assert_eq!(streams.iter().map(|stream| stream.entries.len()).collect::<Vec<_>>(), [3, 5000, 500, 1500]);
            assert!(streams[1].entries.iter().enumerate().all(|(at, entry)| entry.line == line(at).as_bytes()));
            let at_once = snap::raw::Encoder::new().compress_vec(&whole).unwrap().len();
            assert!(body.len() < at_once + at_once / 50, "{} bytes, {at_once} at once", body.len());
        }
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
