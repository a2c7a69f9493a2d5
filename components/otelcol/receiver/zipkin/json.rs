//! Spans of version 2 as JSON: a list of objects.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::Deserialize;

use super::model::{Annotation, Endpoint, Kind, Span, nanoseconds};

/// A span as it is written; `null` is the same as nothing everywhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan {
    #[serde(default)]
    trace_id: Option<String>,
    id: Option<String>,
    parent_id: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    timestamp: Option<u64>,
    duration: Option<u64>,
    local_endpoint: Option<JsonEndpoint>,
    remote_endpoint: Option<JsonEndpoint>,
    annotations: Option<Vec<JsonAnnotation>>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEndpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct JsonAnnotation {
    timestamp: Option<u64>,
    value: Option<String>,
}

/// The spans of a body.
pub(super) fn read(body: &[u8]) -> Result<Vec<Span>, String> {
    let spans: Option<Vec<Option<JsonSpan>>> = parse(body)?;
    spans.unwrap_or_default().into_iter().flatten().map(span).collect()
}

/// JSON in which what is not UTF-8 was replaced, as Go's reader does.
pub(super) fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, String> {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn span(json: JsonSpan) -> Result<Span, String> {
    let trace_id = match json.trace_id.as_deref() {
        None => 0,
        Some("") => return Err("valid traceId required".to_owned()),
        Some(text) => trace_id(text)?,
    };
    let id = json.id.as_deref().map_or(Ok(0), span_id)?;
    if id == 0 {
        return Err("valid span id required".to_owned());
    }
    let annotations = json.annotations.unwrap_or_default().into_iter().map(|annotation| {
        match annotation.timestamp.filter(|timestamp| *timestamp > 0) {
            Some(at) => Ok(Annotation { timestamp: nanoseconds(at), value: annotation.value.unwrap_or_default() }),
            None => Err("valid annotation timestamp required".to_owned()),
        }
    });
    Ok(Span {
        trace_id,
        id,
        parent_id: json.parent_id.as_deref().map(span_id).transpose()?,
        name: json.name.unwrap_or_default(),
        kind: match json.kind.as_deref() {
            Some("CLIENT") => Kind::Client,
            Some("SERVER") => Kind::Server,
            Some("PRODUCER") => Kind::Producer,
            Some("CONSUMER") => Kind::Consumer,
            _ => Kind::Unknown,
        },
        timestamp: json.timestamp.filter(|timestamp| *timestamp > 0).map(nanoseconds),
        duration: nanoseconds(json.duration.unwrap_or_default()),
        local: json.local_endpoint.map(endpoint).transpose()?,
        remote: json.remote_endpoint.map(endpoint).transpose()?,
        annotations: annotations.collect::<Result<_, _>>()?,
        tags: json.tags.unwrap_or_default().into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect(),
    })
}

fn endpoint(json: JsonEndpoint) -> Result<Endpoint, String> {
    Ok(Endpoint {
        service_name: json.service_name.unwrap_or_default(),
        ipv4: json.ipv4.as_deref().map_or(Ok(None), address)?,
        ipv6: json.ipv6.as_deref().map_or(Ok(None), address)?,
        port: json.port.unwrap_or_default(),
    })
}

/// An address in its usual form.
fn address(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| format!("invalid IP address: {text}"))?;
    Ok(Some(written(address)))
}

/// As Go writes it: an IPv4 address inside IPv6 is that of IPv4.
pub(super) fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| Ipv6Addr::to_string(&v6), |v4| v4.to_string()),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

/// One to 32 hexadecimal digits.
fn trace_id(text: &str) -> Result<u128, String> {
    let split = text.len().saturating_sub(16);
    let (high, low) =
        text.split_at_checked(split).ok_or_else(|| format!("invalid trace id {text:?}: not hexadecimal"))?;
    let high = if high.is_empty() { 0 } else { span_id(high)? };
    Ok(u128::from(high) << 64 | u128::from(span_id(low)?))
}

/// Up to 16 hexadecimal digits; none is 0.
fn span_id(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = if digits { u64::from_str_radix(text, 16).ok() } else { None };
    id.ok_or_else(|| format!("invalid id {text:?}: not a hexadecimal number of 64 bits"))
}
