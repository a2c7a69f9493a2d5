//! Spans of version 1, as JSON here, as OTLP: the rules of the Collector.
//!
//! In this version annotations tell the kind, the times and the service of a span; binary annotations are its tags.

use std::collections::HashMap;

use base_sys::clock;
use sdk_protocols_otlp::model::{AnyValue, Data, Event, ResourceGroup, ScopeGroup, Span, Status, Text};
use serde::Deserialize;

use super::json::parse;
use super::model::value;
use super::translate::START_ABSENT;
use crate::attributes::{id, unique};

/// The service of spans that name none.
const UNKNOWN_SERVICE: &str = "unknown-service";
/// Status codes.
const UNSET: i32 = 0;
const OK: i32 = 1;
const ERROR: i32 = 2;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan {
    trace_id: Option<String>,
    name: Option<String>,
    parent_id: Option<String>,
    id: Option<String>,
    timestamp: Option<i64>,
    duration: Option<i64>,
    annotations: Option<Vec<Option<Annotation>>>,
    binary_annotations: Option<Vec<Option<BinaryAnnotation>>>,
}

/// One end of a connection.
#[derive(Clone, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) service_name: Option<String>,
    pub(super) ipv4: Option<String>,
    pub(super) ipv6: Option<String>,
    pub(super) port: Option<i32>,
}

/// What happened, in microseconds since 1970.
#[derive(Deserialize)]
pub(super) struct Annotation {
    pub(super) timestamp: Option<i64>,
    pub(super) value: Option<String>,
    pub(super) endpoint: Option<Endpoint>,
}

#[derive(Deserialize)]
struct BinaryAnnotation {
    key: Option<String>,
    value: Option<String>,
    endpoint: Option<Endpoint>,
}

/// Spans by the endpoint that made them.
#[derive(Default)]
pub(super) struct Groups {
    data: Data<Span>,
    places: HashMap<Endpoint, usize>,
}

/// What the binary annotations of a span say.
#[derive(Default)]
pub(super) struct Tags {
    attributes: Vec<(Text, AnyValue)>,
    statuses: Statuses,
    service: String,
    component: String,
}

/// The spans of a body.
pub(super) fn read(body: &[u8], parse_tags: bool) -> Result<Data<Span>, String> {
    let spans: Option<Vec<Option<JsonSpan>>> = parse(body).map_err(|error| format!("zipkinv1: {error}"))?;
    let mut groups = Groups::default();
    for span in spans.unwrap_or_default().into_iter().flatten() {
        let (span, endpoint) = translate(span, parse_tags)?;
        groups.push(span, endpoint);
    }
    Ok(groups.finish())
}

// === impl Groups ===

impl Groups {
    pub(super) fn push(&mut self, span: Span, endpoint: Endpoint) {
        let resources = &mut self.data.resources;
        let place = *self.places.entry(endpoint).or_insert_with_key(|endpoint| {
            resources.push(group(endpoint));
            resources.len() - 1
        });
        resources[place].scopes[0].items.push(span);
    }

    pub(super) fn finish(self) -> Data<Span> {
        self.data
    }
}

fn group(endpoint: &Endpoint) -> ResourceGroup<Span> {
    let mut group = ResourceGroup { scopes: vec![ScopeGroup::default()], ..ResourceGroup::default() };
    let attributes = &mut group.resource.attributes;
    attributes.set("service.name", endpoint.service().unwrap_or_default());
    for (name, text) in [("ipv4", &endpoint.ipv4), ("ipv6", &endpoint.ipv6)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            attributes.set(name, &text[..]);
        }
    }
    if let Some(port) = endpoint.port.filter(|port| *port != 0) {
        attributes.set("port", port.to_string());
    }
    group
}

impl Endpoint {
    fn service(&self) -> Option<&str> {
        self.service_name.as_deref().filter(|name| !name.is_empty())
    }
}

fn translate(json: JsonSpan, parse_tags: bool) -> Result<(Span, Endpoint), String> {
    let trace_id =
        hex(&json.trace_id.unwrap_or_default(), &[16, 32]).map_err(|why| format!("zipkinV1 span traceId: {why}"))?;
    let span_id = hex(&json.id.unwrap_or_default(), &[16]).map_err(|why| format!("zipkinV1 span id: {why}"))?;
    let parent = json.parent_id.unwrap_or_default();
    let parent_id = if parent.is_empty() {
        0
    } else {
        hex(&parent, &[16]).map_err(|why| format!("zipkinV1 span parentId: {why}"))?
    };
    let mut span = Span {
        trace_id: id(&trace_id.to_be_bytes()),
        span_id: id(&(span_id as u64).to_be_bytes()),
        parent_span_id: id(&(parent_id as u64).to_be_bytes()),
        name: json.name.unwrap_or_default().into(),
        ..Span::default()
    };
    let found = annotations(&mut span, json.annotations.unwrap_or_default().into_iter().flatten());
    let mut tags = Tags::default();
    for annotation in json.binary_annotations.unwrap_or_default().into_iter().flatten() {
        if let Some(name) = annotation.endpoint.as_ref().and_then(Endpoint::service) {
            tags.served_by(name);
        }
        let text = annotation.value.unwrap_or_default();
        tags.push(annotation.key.unwrap_or_default(), value(&text, parse_tags), || text.clone());
    }
    let endpoint = tags.finish(&mut span, found);
    if let Some(start) = json.timestamp.filter(|start| *start != 0) {
        span.start_time_unix_nano = nanoseconds(start);
        span.end_time_unix_nano = nanoseconds(start.wrapping_add(json.duration.unwrap_or_default()));
    }
    if span.start_time_unix_nano == 0 {
        let now = u64::try_from(clock::now_ns()).unwrap_or(0);
        (span.start_time_unix_nano, span.end_time_unix_nano) = (now, now);
        span.attributes.set(START_ABSENT, true);
    }
    Ok((span, endpoint))
}

/// Kind, times and events of a span; the first endpoint that sent or received something under its name.
pub(super) fn annotations(span: &mut Span, annotations: impl IntoIterator<Item = Annotation>) -> Option<Endpoint> {
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    let mut found = None;
    let mut kind_known = false;
    for annotation in annotations {
        let Some(text) = annotation.value.filter(|text| !text.is_empty()) else { continue };
        let kind = match &text[..] {
            "sr" | "ss" => Some(2),
            "cs" | "cr" => Some(3),
            "ms" => Some(4),
            "mr" => Some(5),
            _ => None,
        };
        let named =
            annotation.endpoint.filter(|endpoint| endpoint.service().is_some_and(|name| name != UNKNOWN_SERVICE));
        if kind.is_some() {
            found = found.or(named);
        }
        if let Some(kind) = kind
            && !std::mem::replace(&mut kind_known, true)
        {
            span.kind = kind;
        }
        let at = annotation.timestamp.unwrap_or_default();
        if at < earliest {
            earliest = at;
            span.start_time_unix_nano = nanoseconds(at);
        }
        if at > latest {
            latest = at;
            span.end_time_unix_nano = nanoseconds(at);
        }
        if kind.is_none() {
            span.events.push(Event { time_unix_nano: nanoseconds(at), name: text.into(), ..Event::default() });
        }
    }
    found
}

// === impl Tags ===

impl Tags {
    /// The service that a binary annotation names.
    pub(super) fn served_by(&mut self, service: &str) {
        service.clone_into(&mut self.service);
    }

    /// A binary annotation; `text` is its value before anything was made of it.
    pub(super) fn push(&mut self, mut key: String, value: AnyValue, text: impl FnOnce() -> String) {
        if key == "lc" {
            "component".clone_into(&mut key);
            self.component = text();
        }
        if !self.statuses.take(&key, &value) {
            self.attributes.push((key.into(), value));
        }
    }

    /// Gives the span its attributes and status; the endpoint that made it, which the annotations may have told.
    pub(super) fn finish(self, span: &mut Span, found: Option<Endpoint>) -> Endpoint {
        span.attributes = unique(self.attributes);
        if let Some(status) = self.statuses.best() {
            span.status = status;
        }
        let mut endpoint =
            found.unwrap_or_else(|| Endpoint { service_name: Some(UNKNOWN_SERVICE.to_owned()), ..Endpoint::default() });
        let name = if self.service.is_empty() { self.component } else { self.service };
        if endpoint.service() == Some(UNKNOWN_SERVICE) && !name.is_empty() {
            endpoint.service_name = Some(name);
        }
        endpoint
    }
}

/// What the tags of a span say about its status.
#[derive(Default)]
struct Statuses {
    census: (Option<i32>, String),
    otel: (Option<i32>, String),
    http: (Option<i32>, String),
    error: bool,
}

// === impl Statuses ===

impl Statuses {
    /// Looks at a tag; `true` when it says nothing else.
    fn take(&mut self, key: &str, value: &AnyValue) -> bool {
        let text = || value.text().map(|text| text.as_str().into_owned()).unwrap_or_default();
        match key {
            "census.status_code" => {
                let code = number(value).map(|code| if code == 0 { OK } else { ERROR });
                self.census.0 = code.or(self.census.0);
            }
            "census.status_description" | "opencensus.status_description" => self.census.1 = text(),
            "otel.status_code" => self.otel.0 = number(value).or(self.otel.0),
            "otel.status_description" => self.otel.1 = text(),
            "error" => self.error = true,
            "http.status_code" | "http.response.status_code" => {
                let code = number(value).map(|code| if (100..400).contains(&code) { UNSET } else { ERROR });
                self.http.0 = code.or(self.http.0);
                return false;
            }
            "http.status_message" => {
                self.http.1 = text();
                return false;
            }
            _ => return false,
        }
        true
    }

    /// The one that is believed.
    fn best(self) -> Option<Status> {
        let status = |code: i32, message: String| Some(Status { message: message.into(), code, ..Status::default() });
        match self {
            Statuses { census: (Some(code), message), .. } | Statuses { otel: (Some(code), message), .. } => {
                status(code, message)
            }
            Statuses { error: true, census, otel, .. } => {
                status(ERROR, if census.1.is_empty() { otel.1 } else { census.1 })
            }
            Statuses { http: (Some(code), message), .. } => status(code, message),
            _ => None,
        }
    }
}

/// A number, or a text that is one.
fn number(value: &AnyValue) -> Option<i32> {
    match value {
        AnyValue::Int(number) => i32::try_from(*number).ok(),
        AnyValue::Text(text) => text.as_str().parse().ok(),
        _ => None,
    }
}

/// An id of one of these numbers of hexadecimal digits.
fn hex(text: &str, lengths: &[usize]) -> Result<u128, String> {
    if !lengths.contains(&text.len()) {
        let expected: Vec<String> = lengths.iter().map(usize::to_string).collect();
        return Err(format!("hex id has wrong length (expected {})", expected.join(" or ")));
    }
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("{text:?} is not hexadecimal"));
    }
    match u128::from_str_radix(text, 16) {
        Ok(0) => Err("id is zero".to_owned()),
        id => id.map_err(|error| error.to_string()),
    }
}

/// Microseconds since 1970 as nanoseconds; what lies before that is not known.
pub(super) fn nanoseconds(microseconds: i64) -> u64 {
    u64::try_from(microseconds).unwrap_or(0).wrapping_mul(1000)
}
