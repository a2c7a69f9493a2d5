//! Spans of version 2 as protobuf (zipkin.proto3.ListOfSpans of zipkin-api).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sdk_protocols_otlp::wire::{Fields, Value};

use super::json::written;
use super::model::{Annotation, Endpoint, Kind, Span, nanoseconds};

/// The spans of a body.
pub(super) fn read(body: &[u8]) -> Result<Vec<Span>, String> {
    let mut spans = Vec::new();
    each(body, |number, value| {
        if let (1, Value::Bytes(message)) = (number, value) {
            spans.push(span(message)?);
        }
        Ok(())
    })?;
    Ok(spans)
}

/// Hands every field of a message to `take`.
fn each<'a>(message: &'a [u8], mut take: impl FnMut(u32, Value<'a>) -> Result<(), String>) -> Result<(), String> {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.try_next().map_err(|malformed| format!("proto: {malformed}"))? {
        take(field.number, field.value)?;
    }
    Ok(())
}

fn span(message: &[u8]) -> Result<Span, String> {
    let (mut trace_id, mut parent_id, mut id) = (&[][..], &[][..], &[][..]);
    // A time that is not there is 1970 in this form.
    let mut span = Span { timestamp: Some(0), ..Span::default() };
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => trace_id = bytes,
            (2, Value::Bytes(bytes)) => parent_id = bytes,
            (3, Value::Bytes(bytes)) => id = bytes,
            (4, Value::Varint(kind)) => {
                span.kind = match kind {
                    1 => Kind::Client,
                    2 => Kind::Server,
                    3 => Kind::Producer,
                    4 => Kind::Consumer,
                    _ => Kind::Unknown,
                }
            }
            (5, Value::Bytes(bytes)) => span.name = text(bytes)?,
            (6, Value::Fixed64(at)) => span.timestamp = Some(nanoseconds(at)),
            (7, Value::Varint(duration)) => span.duration = nanoseconds(duration),
            (8, Value::Bytes(bytes)) => span.local = Some(endpoint(bytes)?),
            (9, Value::Bytes(bytes)) => span.remote = Some(endpoint(bytes)?),
            (10, Value::Bytes(bytes)) => span.annotations.push(annotation(bytes)?),
            (11, Value::Bytes(bytes)) => {
                let (key, value) = tag(bytes)?;
                span.tags.insert(key, value);
            }
            _ => {}
        }
        Ok(())
    })?;
    span.trace_id = <[u8; 16]>::try_from(trace_id)
        .map(u128::from_be_bytes)
        .map_err(|_| format!("invalid TraceID: has length {} yet wanted length 16", trace_id.len()))?;
    span.parent_id = span_id("ParentID", parent_id)?;
    span.id = span_id("SpanID", id)?.ok_or("expected a non-nil SpanID")?;
    Ok(span)
}

fn span_id(name: &str, bytes: &[u8]) -> Result<Option<u64>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = <[u8; 8]>::try_from(bytes)
        .map_err(|_| format!("invalid {name}: has length {} yet wanted length 8", bytes.len()))?;
    Ok(Some(u64::from_be_bytes(id)))
}

fn endpoint(message: &[u8]) -> Result<Endpoint, String> {
    let mut endpoint = Endpoint::default();
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => endpoint.service_name = text(bytes)?,
            (2, Value::Bytes(bytes)) => endpoint.ipv4 = address(bytes),
            (3, Value::Bytes(bytes)) => endpoint.ipv6 = address(bytes),
            (4, Value::Varint(port)) => endpoint.port = port as u16,
            _ => {}
        }
        Ok(())
    })?;
    Ok(endpoint)
}

/// An address of 4 or 16 bytes; any other length is shown, not refused.
pub(super) fn address(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Some(written(IpAddr::V6(Ipv6Addr::from(v6))));
    }
    Some(bytes.iter().fold("?".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

fn annotation(message: &[u8]) -> Result<Annotation, String> {
    let mut annotation = Annotation { timestamp: 0, value: String::new() };
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Fixed64(at)) => annotation.timestamp = nanoseconds(at),
            (2, Value::Bytes(bytes)) => annotation.value = text(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(annotation)
}

fn tag(message: &[u8]) -> Result<(String, String), String> {
    let mut tag = (String::new(), String::new());
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => tag.0 = text(bytes)?,
            (2, Value::Bytes(bytes)) => tag.1 = text(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(tag)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "proto: a text contains invalid UTF-8".to_owned())
}
