//! From a body to streams: which encoding, which format, and never more than the bound.

use std::io::Read;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use sdk_labels::Labels;
use sdk_protocols_compression::{Coding, ExpandError};
use sdk_protocols_loki::{MAX_ENTRIES, NoLabels};
use sdk_signals::LogEntry;

use super::json;

/// What a request's head says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// JSON; otherwise protobuf in a snappy block.
    pub json: bool,
    outer: Outer,
}

/// The `Content-Encoding`s that Alloy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outer {
    /// None, or `snappy`, which protobuf always is.
    Plain,
    Gzip,
    Deflate,
}

/// One stream of a request.
pub struct Pushed {
    pub labels: StreamLabels,
    pub entries: Vec<LogEntry>,
}

/// As they come: text to be read, or read already.
pub enum StreamLabels {
    Text(Bytes),
    Read(Result<Labels, NoLabels>),
}

// === impl Format ===

impl Format {
    /// Err: a sentence for the sender.
    pub fn of(headers: &HeaderMap) -> Result<Format, String> {
        let header = |name| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
        let outer = match header(CONTENT_ENCODING) {
            "" | "snappy" => Outer::Plain,
            "gzip" => Outer::Gzip,
            "deflate" => Outer::Deflate,
            other => return Err(format!("Content-Encoding {other:?} not supported")),
        };
        let kind = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        if kind.is_empty() {
            return Err("mime: no media type".to_owned());
        }
        Ok(Format { json: kind.eq_ignore_ascii_case("application/json"), outer })
    }
}

/// The streams of a body; neither it nor what it becomes has more than `limit` bytes. Err: a sentence for the sender.
pub fn decode(format: Format, body: &Bytes, limit: usize) -> Result<Vec<Pushed>, String> {
    let body = match format.outer {
        Outer::Plain => body.clone(),
        Outer::Gzip => inflate(Coding::Gzip, body, limit)?,
        Outer::Deflate => deflated(body, limit)?,
    };
    if format.json {
        return json::decode(&body);
    }
    let message = inflate(Coding::SnappyBlock, &body, limit)?;
    let streams = sdk_protocols_loki::decode(&message).map_err(|error| error.to_string())?;
    let streams = streams.into_iter();
    Ok(streams.map(|stream| Pushed { labels: StreamLabels::Text(stream.labels), entries: stream.entries }).collect())
}

/// The lines of a text, without those that are empty.
pub fn lines(body: &Bytes) -> Result<Vec<LogEntry>, String> {
    let mut entries = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        if end == 0 {
            continue;
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(format!("the request has more than {MAX_ENTRIES} entries"));
        }
        entries.push(LogEntry::new(0, body.slice_ref(&line[..end])));
    }
    Ok(entries)
}

fn inflate(coding: Coding, body: &[u8], limit: usize) -> Result<Bytes, String> {
    coding.expand(body, limit).map(Bytes::from).map_err(|error| match error {
        ExpandError::TooLarge { limit } => {
            let size = match coding {
                Coding::SnappyBlock => snappy_length(body).map_or_else(String::new, |length| length.to_string()),
                _ => format!(">{limit}"),
            };
            format!("message size too large than max ({size} vs {limit})")
        }
        other => other.to_string(),
    })
}

/// The length that stands in front of a snappy block.
fn snappy_length(body: &[u8]) -> Option<u64> {
    let mut length = 0u64;
    for (index, byte) in body.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte < &0x80 {
            return Some(length);
        }
    }
    None
}

/// What Go's clients call deflate has no header (RFC 1951), what HTTP calls so has one (RFC 1950). A block of the first
/// never begins like a header of the second.
fn deflated(body: &[u8], limit: usize) -> Result<Bytes, String> {
    let header = body.first_chunk::<2>().map(|head| u16::from_be_bytes(*head));
    if header.is_some_and(|header| header >> 8 & 0xf == 8 && header % 31 == 0) {
        return inflate(Coding::Zlib, body, limit);
    }
    let mut inflated = Vec::new();
    let mut reader = flate2::bufread::DeflateDecoder::new(body).take(limit as u64 + 1);
    reader.read_to_end(&mut inflated).map_err(|error| format!("the body is not valid deflate: {error}"))?;
    match inflated.len() > limit {
        true => Err(format!("message size too large than max (>{limit} vs {limit})")),
        false => Ok(inflated.into()),
    }
}
