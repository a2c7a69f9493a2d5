//! Spans of Jaeger as OTLP: the rules of the Collector.
//!
//! Tags carry what Jaeger has no field for: kind, status, trace state and scope, as exporters of OpenTelemetry write them.
//! Each span is written as soon as it is read, so that a request never stands in memory as a tree.

use std::collections::HashMap;

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Event, Link, Map, Message as _, Resource, Scope, Span as OtlpSpan, Text};
use sdk_protocols_otlp::wire::{put_bytes, put_message};

use super::model::{Log, Process, Reference, ReferenceKind, Span};
use crate::attributes::{id, unique};

/// The bit of a span's flags that means the same in both.
const SAMPLED: u32 = 1;
/// Status codes.
const UNSET: i32 = 0;
const OK: i32 = 1;
const ERROR: i32 = 2;
/// `SpanKind`s of which something depends.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

const HTTP_STATUS_CODE: &str = "http.status_code";
const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";

/// Spans of one resource, in the making.
#[derive(Default)]
pub(super) struct Group {
    /// A `Resource`.
    resource: Vec<u8>,
    scopes: Vec<Scoped>,
    places: HashMap<(Text, Text), usize>,
}

/// Spans of one scope.
struct Scoped {
    scope: Scope,
    /// Fields of a `ScopeSpans`.
    spans: Vec<u8>,
}

// === impl Group ===

impl Group {
    pub(super) fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.encode();
    }

    /// Opens a scope, if it is not there.
    pub(super) fn scope(&mut self, name: Text, version: Text) -> usize {
        let scopes = &mut self.scopes;
        *self.places.entry((name.clone(), version.clone())).or_insert_with(|| {
            scopes.push(Scoped { scope: Scope { name, version, ..Scope::default() }, spans: Vec::new() });
            scopes.len() - 1
        })
    }

    pub(super) fn push(&mut self, scope: usize, span: &OtlpSpan) {
        put_message(&mut self.scopes[scope].spans, 2, |out| span.put(out));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Appends a `ResourceSpans`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_message(out, 1, |out| {
            put_bytes(out, 1, &self.resource);
            for Scoped { scope, spans } in &self.scopes {
                put_message(out, 2, |out| {
                    put_message(out, 1, |out| scope.put(out));
                    out.extend_from_slice(spans);
                });
            }
        });
    }
}

// === resources ===

/// What made spans, as a resource.
pub(super) fn resource(process: Process) -> Resource {
    let Process { service_name, tags } = process;
    let mut pairs = Vec::with_capacity(tags.len() + 1);
    if !service_name.is_empty() {
        pairs.push(("service.name".into(), service_name.into()));
    }
    pairs.extend(tags);
    let mut attributes = attributes(pairs);
    if attributes.get("host.name").is_none()
        && let Some(hostname) = attributes.remove("hostname")
    {
        attributes.set("host.name", hostname);
    }
    if attributes.get("opencensus.exporterversion").is_none()
        && let Some(version) = attributes.remove("jaeger.version")
    {
        attributes.set("opencensus.exporterversion", format!("Jaeger-{}", text(Some(version)).as_str()));
    }
    Resource { attributes, ..Resource::default() }
}

/// Tags as attributes; the newer name of an HTTP status gets the older one, as the Collector still has it.
fn attributes(mut tags: Vec<(Text, AnyValue)>) -> Map {
    for (key, _) in &mut tags {
        if *key == HTTP_RESPONSE_STATUS_CODE {
            *key = HTTP_STATUS_CODE.into();
        }
    }
    unique(tags)
}

/// The text of a value that is one; else none.
fn text(value: Option<AnyValue>) -> Text {
    if let Some(AnyValue::Text(text)) = value { text } else { Text::default() }
}

// === spans ===

/// A span; its trace state is among the tags if `trace_state` says so.
pub(super) fn span(span: Span, trace_state: bool) -> OtlpSpan {
    let parent = span.parent();
    let mut otlp = OtlpSpan {
        trace_id: id(&span.trace_id.to_be_bytes()),
        span_id: id(&span.id.to_be_bytes()),
        parent_span_id: id(&parent.to_be_bytes()),
        flags: span.flags & SAMPLED,
        name: span.name,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.start.wrapping_add(span.duration),
        events: span.logs.into_iter().map(event).collect(),
        links: links(&span.references, parent),
        ..OtlpSpan::default()
    };
    let mut attributes = attributes(span.tags);
    if let Some(kind) = attributes.remove("span.kind") {
        otlp.kind = match &*text(Some(kind)).as_str() {
            "internal" => 1,
            "server" => SERVER,
            "client" => CLIENT,
            "producer" => 4,
            "consumer" => 5,
            _ => 0,
        };
    }
    status(&mut otlp, &mut attributes);
    if trace_state {
        otlp.trace_state = text(attributes.remove("w3c.tracestate"));
    }
    otlp.attributes = attributes;
    otlp
}

/// What the tags say of the status: `error`, if it is true, before `otel.status_code` before the status of HTTP.
fn status(span: &mut OtlpSpan, attributes: &mut Map) {
    let mut known = false;
    let mut message = Text::default();
    let mut code = UNSET;
    if let Some(AnyValue::Bool(true)) = attributes.get("error") {
        attributes.remove("error");
        (known, code) = (true, ERROR);
        message = match attributes.remove("otel.status_description") {
            Some(description) => text(Some(description)),
            None => text(attributes.get("http.status_message").cloned()),
        };
    }
    if let Some(name) = attributes.remove("otel.status_code") {
        if !known {
            known = true;
            code = match &text(Some(name)).as_str().to_uppercase()[..] {
                "OK" => OK,
                "ERROR" => ERROR,
                _ => UNSET,
            };
            message = text(attributes.remove("otel.status_description"));
        }
    } else if !known
        && let Some(ERROR) = attributes.get(HTTP_STATUS_CODE).and_then(number).map(|code| of_http(code, span.kind))
    {
        (known, code) = (true, ERROR);
        message = text(attributes.get("http.status_message").cloned());
    }
    if known {
        (span.status.code, span.status.message) = (code, message);
    }
}

/// A number, or a text that is one.
fn number(value: &AnyValue) -> Option<i64> {
    match value {
        AnyValue::Int(number) => Some(*number),
        AnyValue::Text(text) => text.as_str().parse().ok(),
        _ => None,
    }
}

fn of_http(code: i64, kind: i32) -> i32 {
    match (code, kind) {
        // The Collector counts 399 among the errors.
        (100..=398, _) | (400..=499, SERVER) => UNSET,
        _ => ERROR,
    }
}

fn event(log: Log) -> Event {
    let mut attributes = attributes(log.fields);
    let name = text(attributes.remove("event"));
    Event { time_unix_nano: log.timestamp, name, attributes, ..Event::default() }
}

/// Every reference but the parent.
fn links(references: &[Reference], parent: u64) -> Vec<Link> {
    let link = |reference: &Reference| {
        let kind = if reference.kind == ReferenceKind::ChildOf { "child_of" } else { "follows_from" };
        Link {
            trace_id: id(&reference.trace_id.to_be_bytes()),
            span_id: id(&reference.span_id.to_be_bytes()),
            attributes: [("opentracing.ref_type", kind)].into_iter().collect(),
            ..Link::default()
        }
    };
    let other = |reference: &&Reference| reference.span_id != parent || reference.kind != ReferenceKind::ChildOf;
    references.iter().filter(other).map(link).collect()
}

/// The payload of these groups.
pub(super) fn payload<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Bytes {
    let mut out = Vec::new();
    groups.into_iter().for_each(|group| group.put(&mut out));
    out.into()
}
