//! A push request as a receiver takes it: lines are slices of the body, and what a body can become is bounded.

use bytes::Bytes;
use sdk_signals::{LogEntry, Metadata};

use crate::wire::{Field, next_field};

/// Entries and streams of one request: an empty entry takes two bytes on the wire and some fifty in memory.
pub const MAX_ENTRIES: usize = 2 << 20;

/// One stream of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// As sent: `{a="1", b="2"}`.
    pub labels: Bytes,
    /// In order.
    pub entries: Vec<LogEntry>,
}

/// Why a body is no push request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Undecodable {
    #[error("the body is not a push request of Loki's in protobuf")]
    Malformed,
    #[error("the request has more than {MAX_ENTRIES} entries")]
    TooMany,
    #[error("a time of the request is before 1677 or after 2262")]
    Time,
}

/// Reads a decompressed request.
pub fn decode(body: &Bytes) -> Result<Vec<Pushed>, Undecodable> {
    let mut left = MAX_ENTRIES;
    let mut streams = Vec::new();
    each_field(body, |number, field| {
        if let (1, Field::Bytes(stream)) = (number, field) {
            left = left.checked_sub(1).ok_or(Undecodable::TooMany)?;
            streams.push(decode_stream(body, stream, &mut left)?);
        }
        Ok(())
    })?;
    Ok(streams)
}

fn decode_stream(body: &Bytes, bytes: &[u8], left: &mut usize) -> Result<Pushed, Undecodable> {
    let mut stream = Pushed::default();
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(labels)) => stream.labels = body.slice_ref(labels),
            (2, Field::Bytes(entry)) => {
                *left = left.checked_sub(1).ok_or(Undecodable::TooMany)?;
                stream.entries.push(decode_entry(body, entry)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(stream)
}

fn decode_entry(body: &Bytes, bytes: &[u8]) -> Result<LogEntry, Undecodable> {
    let mut entry = LogEntry::new(0, Bytes::new());
    let mut pairs = Vec::new();
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(timestamp)) => entry.timestamp = decode_timestamp(timestamp)?,
            (2, Field::Bytes(line)) => entry.line = body.slice_ref(line),
            (3, Field::Bytes(pair)) => pairs.push(decode_pair(body, pair)?),
            _ => {}
        }
        Ok(())
    })?;
    entry.metadata = pairs.into_iter().collect::<Metadata>();
    Ok(entry)
}

fn decode_timestamp(bytes: &[u8]) -> Result<i64, Undecodable> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Varint(value)) => seconds = value as i64,
            (2, Field::Varint(value)) => nanoseconds = value as i64,
            _ => {}
        }
        Ok(())
    })?;
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i64::try_from(total).map_err(|_| Undecodable::Time)
}

fn decode_pair(body: &Bytes, bytes: &[u8]) -> Result<(Bytes, Bytes), Undecodable> {
    let (mut name, mut value) = (Bytes::new(), Bytes::new());
    each_field(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = body.slice_ref(bytes),
            (2, Field::Bytes(bytes)) => value = body.slice_ref(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, value))
}

fn each_field<'a>(
    mut rest: &'a [u8],
    mut each: impl FnMut(u64, Field<'a>) -> Result<(), Undecodable>,
) -> Result<(), Undecodable> {
    while !rest.is_empty() {
        let (number, field, behind) = next_field(rest).ok_or(Undecodable::Malformed)?;
        each(number, field)?;
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sdk_labels::Labels;

    use super::*;
    use crate::{Add, Push};

    proptest! {
        #[test]
        fn what_is_pushed_is_decoded(lines in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..50), "[ab]?"), 1..20)) {
            let mut push = Push::new();
            let labels = Labels::from_pairs([("a", "1")]);
            let Add::Stream(id) = push.stream(&labels, 0) else { panic!("there is room") };
            let mut expected = Vec::new();
            for (timestamp, line, value) in lines {
                let mut entry = LogEntry::new(timestamp, line);
                entry.metadata = [(Bytes::from_static(b"name"), Bytes::from(value))].into_iter().collect();
                push.add(id, &entry);
                expected.push(entry);
            }
            let raw = Bytes::from(snap::raw::Decoder::new().decompress_vec(&push.finish()).unwrap());
            let streams = decode(&raw).unwrap();
            prop_assert_eq!(streams, vec![Pushed { labels: labels.to_string().into(), entries: expected }]);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes.into());
        }
    }

    #[test]
    fn a_small_body_cannot_become_a_huge_request() {
        let entries = [0x12, 0].repeat(MAX_ENTRIES + 1);
        let mut body = vec![0x0a];
        base_stdx::protobuf::push_varint(&mut body, entries.len() as u64);
        body.extend_from_slice(&entries);
        assert_eq!(decode(&body.into()), Err(Undecodable::TooMany));
    }
}
