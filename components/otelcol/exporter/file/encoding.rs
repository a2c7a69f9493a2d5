//! A batch as the bytes of its files.

use std::collections::BTreeMap;
use std::path::{Component as Piece, Path, PathBuf};

use bytes::Bytes;
use sdk_protocols_compression::Coding;
use sdk_protocols_otlp::json::to_json;
use sdk_protocols_otlp::model::{AnyValue, Data, Item, LogRecord, Message as _, Metric, Span};
use sdk_signals::{OtlpBatch, OtlpSignal};

use super::arguments::{Arguments, Compression, Format};

/// What is written of a batch, by file.
pub(super) struct Encoded {
    pub(super) messages: Vec<Message>,
    /// Items that belong to no file.
    pub(super) dropped: u64,
}

/// What is written to one file.
pub(super) struct Message {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) items: u64,
}

/// What is to be written.
pub(super) fn encode(arguments: &Arguments, batch: &OtlpBatch) -> Encoded {
    let payload = batch.clone().into_bytes();
    let Some(group) = arguments.grouping() else {
        let bytes = framed(arguments, batch.signal, &payload);
        let message = Message { path: PathBuf::from(&arguments.path), bytes, items: batch.items.into() };
        return Encoded { messages: vec![message], dropped: 0 };
    };
    let (parts, dropped) = match batch.signal {
        OtlpSignal::Traces => parts::<Span>(&payload, &group.resource_attribute),
        OtlpSignal::Logs => parts::<LogRecord>(&payload, &group.resource_attribute),
        OtlpSignal::Metrics => parts::<Metric>(&payload, &group.resource_attribute),
    };
    let message = |(segment, (payload, items)): (String, (Bytes, u64))| Message {
        path: path_of(&arguments.path, &segment),
        bytes: framed(arguments, batch.signal, &payload),
        items,
    };
    Encoded { messages: parts.into_iter().map(message).collect(), dropped }
}

/// A batch as a line, or behind its length.
fn framed(arguments: &Arguments, signal: OtlpSignal, payload: &[u8]) -> Vec<u8> {
    let mut message = match arguments.format {
        Format::Json => to_json(signal, payload),
        Format::Proto => payload.to_vec(),
    };
    match (arguments.format, arguments.compression) {
        (Format::Json, Compression::None) => {
            message.push(b'\n');
            return message;
        }
        (Format::Proto, Compression::None) => {}
        (_, Compression::Zstd) => {
            let level = arguments.compression_params.as_ref().map(|params| params.level as i32);
            message = Coding::Zstd.compress(&message, level);
        }
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &message].concat()
}

/// The resources by the value of an attribute, and how much has no such text.
fn parts<I: Item>(payload: &Bytes, attribute: &str) -> (BTreeMap<String, (Bytes, u64)>, u64) {
    let mut groups: BTreeMap<String, Data<I>> = BTreeMap::new();
    let mut dropped = Data::<I>::default();
    for resource in Data::<I>::decode(payload).resources {
        let segment = resource.resource.attributes.get(attribute).and_then(AnyValue::text);
        match segment.map(|text| text.as_str().into_owned()) {
            Some(segment) => groups.entry(segment).or_default().resources.push(resource),
            None => dropped.resources.push(resource),
        }
    }
    let encoded = groups.into_iter().map(|(segment, data)| {
        let items = data.count() as u64;
        (segment, (data.encode().into(), items))
    });
    let encoded = encoded.collect();
    (encoded, dropped.count() as u64)
}

/// The path with a segment in place of its `*`. Whatever the segment, it stays below what stands before.
fn path_of(pattern: &str, segment: &str) -> PathBuf {
    let (prefix, suffix) = pattern.split_once('*').unwrap_or((pattern, ""));
    let inside = format!("{segment}{suffix}");
    let mut depth = Vec::new();
    for piece in Path::new(inside.trim_start_matches('/')).components() {
        match piece {
            Piece::Normal(name) => depth.push(name),
            Piece::ParentDir => {
                depth.pop();
            }
            Piece::CurDir | Piece::RootDir | Piece::Prefix(_) => {}
        }
    }
    let inside: PathBuf = depth.into_iter().collect();
    PathBuf::from(format!("{prefix}{}", inside.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_folder() {
        for (segment, path) in [
            ("a", "/data/a.json"),
            ("a/b", "/data/a/b.json"),
            ("../../etc/passwd", "/data/etc/passwd.json"),
            ("/etc/passwd", "/data/etc/passwd.json"),
            ("./a", "/data/a.json"),
            ("", "/data/.json"),
            ("a/../../b", "/data/b.json"),
        ] {
            assert_eq!(path_of("/data/*.json", segment), Path::new(path), "{segment}");
        }
    }
}
