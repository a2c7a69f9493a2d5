//! Spans of version 1 as Thrift: what zipkincore.thrift of jaeger-idl defines, a list of structures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Data, Span, Text};
use sdk_protocols_thrift::{Encoding, Malformed, Reader, Type};

use super::proto::address;
use super::v1::{Annotation, Endpoint, Groups, Tags, annotations, nanoseconds};
use crate::attributes::id;

/// What a span takes at least: its two ids and an end.
const LEAST_SPAN: usize = 23;
/// What a binary annotation takes at least: a key and an end.
const LEAST_TAG: usize = 8;

/// The spans of a body.
pub(super) fn read(body: &Bytes) -> Result<Data<Span>, String> {
    Spans { source: body }.read(&mut Reader::new(Encoding::Binary, body)).map_err(|malformed| malformed.to_string())
}

/// Reads spans; texts are slices of the source.
struct Spans<'a> {
    source: &'a Bytes,
}

// === impl Spans ===

impl<'a> Spans<'a> {
    fn read(&self, reader: &mut Reader<'a>) -> Result<Data<Span>, Malformed> {
        let mut groups = Groups::default();
        for _ in 0..reader.list(Type::Struct, LEAST_SPAN)? {
            let (span, endpoint) = self.span(reader)?;
            groups.push(span, endpoint);
        }
        Ok(groups.finish())
    }

    fn span(&self, reader: &mut Reader<'a>) -> Result<(Span, Endpoint), Malformed> {
        let mut span = Span::default();
        let (mut low, mut high, mut span_id, mut parent) = (None, 0, None, 0);
        let (mut timestamp, mut duration) = (None, 0);
        let (mut events, mut tags) = (Vec::new(), Tags::default());
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::I64) => low = Some(reader.i64()?),
                (3, Type::Bytes) => span.name = Text::from(self.source.slice_ref(reader.bytes()?)),
                (4, Type::I64) => span_id = Some(reader.i64()?),
                (5, Type::I64) => parent = reader.i64()?,
                (6, Type::List) => {
                    for _ in 0..reader.list(Type::Struct, 1)? {
                        // One without a value says nothing.
                        events.extend(annotation(reader)?);
                    }
                }
                (8, Type::List) => {
                    for _ in 0..reader.list(Type::Struct, LEAST_TAG)? {
                        self.binary_annotation(reader, &mut tags)?;
                    }
                }
                (10, Type::I64) => timestamp = Some(reader.i64()?),
                (11, Type::I64) => duration = reader.i64()?,
                (12, Type::I64) => high = reader.i64()?,
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        let missing = |field| Malformed::Missing { field, structure: "Span" };
        let low = low.ok_or(missing("trace_id"))?;
        span.trace_id = id(&[high.to_be_bytes(), low.to_be_bytes()].concat());
        span.span_id = id(&span_id.ok_or(missing("id"))?.to_be_bytes());
        span.parent_span_id = id(&parent.to_be_bytes());
        let found = annotations(&mut span, events);
        let endpoint = tags.finish(&mut span, found);
        if let Some(start) = timestamp {
            span.start_time_unix_nano = nanoseconds(start);
            span.end_time_unix_nano = nanoseconds(start.wrapping_add(duration));
        }
        Ok((span, endpoint))
    }

    fn binary_annotation(&self, reader: &mut Reader<'a>, tags: &mut Tags) -> Result<(), Malformed> {
        let (mut key, mut bytes, mut kind, mut host) = (None, &[][..], 0, None);
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::Bytes) => key = Some(text(reader)?),
                (2, Type::Bytes) => bytes = reader.bytes()?,
                (3, Type::I32) => kind = reader.i32()?,
                (4, Type::Struct) => host = Some(endpoint(reader)?),
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        if let Some(host) = host {
            tags.served_by(&host.service_name.unwrap_or_default());
        }
        let key = key.ok_or(Malformed::Missing { field: "key", structure: "BinaryAnnotation" })?;
        tags.push(key, self.value(kind, bytes), || String::from_utf8_lossy(bytes).into_owned());
        Ok(())
    }

    /// The value of a binary annotation. Whole numbers of 16 and 32 bits lose their sign, as in the Collector.
    fn value(&self, kind: i32, bytes: &[u8]) -> AnyValue {
        let short = || "<not enough bytes representing the number>".into();
        match kind {
            0 => AnyValue::Bool(*bytes == [1]),
            1 => STANDARD.encode(bytes).into(),
            2 => bytes.first_chunk().map_or_else(short, |raw| i64::from(u16::from_be_bytes(*raw)).into()),
            3 => bytes.first_chunk().map_or_else(short, |raw| i64::from(u32::from_be_bytes(*raw)).into()),
            4 => bytes.first_chunk().map_or_else(short, |raw| i64::from_be_bytes(*raw).into()),
            5 => bytes.first_chunk().map_or_else(short, |raw| f64::from_be_bytes(*raw).into()),
            6 if bytes.is_empty() => AnyValue::Text(Text::default()),
            6 => AnyValue::Text(self.source.slice_ref(bytes).into()),
            other => format!("<unknown zipkin v1 binary annotation type ({other})>").into(),
        }
    }
}

fn annotation(reader: &mut Reader<'_>) -> Result<Option<Annotation>, Malformed> {
    let mut annotation = Annotation { timestamp: None, value: None, endpoint: None };
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Type::I64) => annotation.timestamp = Some(reader.i64()?),
            (2, Type::Bytes) => annotation.value = Some(text(reader)?),
            (3, Type::Struct) => annotation.endpoint = Some(endpoint(reader)?),
            (_, kind) => reader.skip(kind)?,
        }
        Ok(())
    })?;
    let says_something = annotation.value.as_ref().is_some_and(|value| !value.is_empty());
    Ok(says_something.then_some(annotation))
}

fn endpoint(reader: &mut Reader<'_>) -> Result<Endpoint, Malformed> {
    let mut endpoint = Endpoint::default();
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Type::I32) => {
                let ipv4 = reader.i32()?;
                endpoint.ipv4 = if ipv4 == 0 { None } else { address(&ipv4.to_be_bytes()) };
            }
            (2, Type::I16) => endpoint.port = Some(reader.i16()?.into()),
            (3, Type::Bytes) => endpoint.service_name = Some(text(reader)?),
            (4, Type::Bytes) => endpoint.ipv6 = address(reader.bytes()?),
            (_, kind) => reader.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(endpoint)
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    reader.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
