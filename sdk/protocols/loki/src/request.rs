//! A request, read: for tests, and for whoever receives one.

use crate::wire::{Field, next_field};

/// One stream of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// As sent: `{a="1", b="2"}`.
    pub labels: String,
    /// In order.
    pub entries: Vec<Entry>,
}

/// One line of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// Not necessarily UTF-8.
    pub line: Vec<u8>,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
}

/// The bytes are not a push request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Loki push request")]
pub struct Malformed;

/// Reads a decompressed request.
pub fn parse(bytes: &[u8]) -> Result<Vec<Stream>, Malformed> {
    let mut streams = Vec::new();
    for field in fields(bytes) {
        if let (1, Field::Bytes(stream)) = field? {
            streams.push(parse_stream(stream)?);
        }
    }
    Ok(streams)
}

fn parse_stream(bytes: &[u8]) -> Result<Stream, Malformed> {
    let mut stream = Stream { labels: String::new(), entries: Vec::new() };
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(labels)) => stream.labels = text(labels)?,
            (2, Field::Bytes(entry)) => stream.entries.push(parse_entry(entry)?),
            _ => {}
        }
    }
    Ok(stream)
}

fn parse_entry(bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut entry = Entry { timestamp: 0, line: Vec::new(), metadata: Vec::new() };
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(timestamp)) => entry.timestamp = parse_timestamp(timestamp)?,
            (2, Field::Bytes(line)) => entry.line = line.to_vec(),
            (3, Field::Bytes(pair)) => entry.metadata.push(parse_pair(pair)?),
            _ => {}
        }
    }
    Ok(entry)
}

fn parse_timestamp(bytes: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for field in fields(bytes) {
        match field? {
            (1, Field::Varint(value)) => seconds = value as i64,
            (2, Field::Varint(value)) => nanoseconds = value as i64,
            _ => {}
        }
    }
    // Before 1677 and after 2262 there is no such number of nanoseconds.
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i64::try_from(total).map_err(|_| Malformed)
}

fn parse_pair(bytes: &[u8]) -> Result<(String, String), Malformed> {
    let (mut name, mut value) = (String::new(), String::new());
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(bytes)) => name = text(bytes)?,
            (2, Field::Bytes(bytes)) => value = text(bytes)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((number, field, behind)) = next_field(rest) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        rest = behind;
        Some(Ok((number, field)))
    })
}
