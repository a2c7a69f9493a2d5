//! Spans of version 2 as OTLP: the rules of the Collector.
//!
//! Tags carry what Zipkin has no field for: the resource, the scope, status, links, and attributes of events, as exporters
//! of OpenTelemetry write them.

use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;
use sdk_protocols_otlp::model::{
    AnyValue, Data, Event, Link, Map, ResourceGroup, ScopeGroup, Span as OtlpSpan, Status,
};
use serde_json::Value as Json;

use super::model::{Endpoint, Kind, Span, value};
use crate::attributes::id;

/// Marks a span whose start is not known.
pub(super) const START_ABSENT: &str = "otel.zipkin.absentField.startTime";

/// Under which name the resource has the service's name.
const SERVICE_NAME_SOURCE: &str = "otlp.service.name.source";
/// More links than this are not looked for.
const MAX_LINKS: usize = 128;
/// Status codes.
const OK: i32 = 1;
const ERROR: i32 = 2;

/// Tags that describe the scope; the first of each pair is the newer name.
const SCOPE_NAME: [&str; 2] = ["otel.scope.name", "otel.library.name"];
const SCOPE_VERSION: [&str; 2] = ["otel.scope.version", "otel.library.version"];

/// Tags that describe the resource: names of OpenTelemetry's conventions, and of OpenCensus'.
const RESOURCE: &[&str] = &[
    "aws.ecs.cluster.arn",
    "aws.ecs.container.arn",
    "aws.ecs.launchtype",
    "aws.ecs.task.arn",
    "aws.ecs.task.family",
    "aws.ecs.task.revision",
    "aws.eks.cluster.arn",
    "aws.log.group.arns",
    "aws.log.group.names",
    "aws.log.stream.arns",
    "aws.log.stream.names",
    "cloud.account.id",
    "cloud.availability_zone",
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "cloud.resource_id",
    "container.id",
    "container.image.name",
    "container.image.tag",
    "container.name",
    "container.runtime",
    "deployment.environment",
    "device.id",
    "device.manufacturer",
    "device.model.identifier",
    "device.model.name",
    "faas.id",
    "faas.instance",
    "faas.max_memory",
    "faas.name",
    "faas.version",
    "host.arch",
    "host.id",
    "host.image.id",
    "host.image.name",
    "host.image.version",
    "host.name",
    "host.type",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.container.restart_count",
    "k8s.cronjob.name",
    "k8s.cronjob.uid",
    "k8s.daemonset.name",
    "k8s.daemonset.uid",
    "k8s.deployment.name",
    "k8s.deployment.uid",
    "k8s.job.name",
    "k8s.job.uid",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.node.uid",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.replicaset.name",
    "k8s.replicaset.uid",
    "k8s.statefulset.name",
    "k8s.statefulset.uid",
    "opencensus.exporterversion",
    "opencensus.resourcetype",
    "opencensus.starttime",
    "os.description",
    "os.name",
    "os.type",
    "os.version",
    "process.command",
    "process.command_args",
    "process.command_line",
    "process.executable.name",
    "process.executable.path",
    "process.owner",
    "process.pid",
    "process.runtime.description",
    "process.runtime.name",
    "process.runtime.version",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "telemetry.auto.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "webengine.description",
    "webengine.name",
    "webengine.version",
];

type Tags = BTreeMap<String, String>;

/// The spans by service and scope. Within those the last one comes first: so the Collector's sort leaves up to a dozen, and
/// it is the first one whose tags describe the resource.
pub(super) fn translate(mut spans: Vec<Span>, parse: bool) -> Result<Data<OtlpSpan>, String> {
    spans.reverse();
    spans.sort_by(|a, b| (service(a), scope(a)).cmp(&(service(b), scope(b))));
    let mut data = Data::default();
    let mut last: Option<(Option<String>, String)> = None;
    for mut span in spans {
        let mut tags = mem::take(&mut span.tags);
        let key = (service_name(&span).map(str::to_owned), scope_name(&tags).to_owned());
        if last.as_ref().is_none_or(|last| last.0 != key.0) {
            data.resources.push(resource(key.0.as_deref(), &mut tags));
            last = None;
        }
        let group = data.resources.last_mut().expect("the first span opens a group");
        if last.as_ref() != Some(&key) {
            group.scopes.push(scope_group(&key.1, &mut tags));
        }
        let scope = group.scopes.last_mut().expect("a new group gets a scope");
        scope.items.push(translate_span(span, tags, parse)?);
        last = Some(key);
    }
    Ok(data)
}

fn service_name(span: &Span) -> Option<&str> {
    span.local.as_ref().map(|local| &local.service_name[..]).filter(|name| !name.is_empty())
}

/// What services are sorted by; the Collector's word stands for none.
fn service(span: &Span) -> &str {
    service_name(span).unwrap_or("OTLPResourceNoServiceName")
}

fn scope(span: &Span) -> &str {
    scope_name(&span.tags)
}

fn scope_name(tags: &Tags) -> &str {
    SCOPE_NAME.iter().find_map(|name| tags.get(*name)).map_or("", |name| name)
}

fn resource(service: Option<&str>, tags: &mut Tags) -> ResourceGroup<OtlpSpan> {
    let mut group = ResourceGroup::default();
    let Some(service) = service else { return group };
    let attributes: &mut Map = &mut group.resource.attributes;
    let source = tags.remove(SERVICE_NAME_SOURCE).filter(|source| !source.is_empty());
    attributes.set(source.unwrap_or_else(|| "service.name".to_owned()), service);
    for name in RESOURCE {
        if let Some(value) = tags.remove(*name) {
            attributes.set(*name, value);
        }
    }
    group
}

fn scope_group(name: &str, tags: &mut Tags) -> ScopeGroup<OtlpSpan> {
    let mut group = ScopeGroup::default();
    if name.is_empty() {
        return group;
    }
    let mut newest = |names: [&str; 2]| names.map(|name| tags.remove(name)).into_iter().flatten().next();
    group.scope.name = newest(SCOPE_NAME).unwrap_or_default().into();
    group.scope.version = newest(SCOPE_VERSION).unwrap_or_default().into();
    group
}

fn translate_span(span: Span, mut tags: Tags, parse: bool) -> Result<OtlpSpan, String> {
    let trace_state = tags.remove("w3c.tracestate").unwrap_or_default();
    let kind = kind(span.kind, &mut tags);
    let status = status(&mut tags);
    let links = links(&mut tags)?;
    let describes_span = |name: &String| {
        let name = &name[..];
        !RESOURCE.contains(&name)
            && name != SERVICE_NAME_SOURCE
            && !SCOPE_NAME.contains(&name)
            && !SCOPE_VERSION.contains(&name)
    };
    let mut attributes: Map = tags
        .into_iter()
        .filter(|(name, _)| describes_span(name))
        .map(|(name, text)| (name, value(&text, parse)))
        .collect();
    if let Some(local) = &span.local {
        addresses(local, "network.local.address", "net.host.port", &mut attributes);
    }
    if let Some(remote) = &span.remote {
        if !remote.service_name.is_empty() {
            attributes.set("service.peer.name", &remote.service_name[..]);
        }
        addresses(remote, "network.peer.address", "net.peer.port", &mut attributes);
    }
    if span.timestamp.is_none() {
        attributes.set(START_ABSENT, true);
    }
    let start = span.timestamp.unwrap_or(0);
    Ok(OtlpSpan {
        trace_id: id(&span.trace_id.to_be_bytes()),
        span_id: id(&span.id.to_be_bytes()),
        trace_state: trace_state.into(),
        parent_span_id: id(&span.parent_id.filter(|parent| *parent != span.id).unwrap_or(0).to_be_bytes()),
        name: span.name.into(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start.wrapping_add(span.duration),
        attributes,
        events: span.annotations.into_iter().map(|a| event(a.timestamp, &a.value)).collect::<Result<_, _>>()?,
        links,
        status,
        ..OtlpSpan::default()
    })
}

fn addresses(endpoint: &Endpoint, ip: &str, port: &str, attributes: &mut Map) {
    for address in [&endpoint.ipv4, &endpoint.ipv6].into_iter().flatten() {
        attributes.set(ip, &address[..]);
    }
    if endpoint.port > 0 {
        attributes.set(port, i64::from(endpoint.port));
    }
}

fn kind(kind: Kind, tags: &mut Tags) -> i32 {
    match kind {
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
        Kind::Unknown => i32::from(tags.remove("span.kind").is_some_and(|kind| kind == "internal")),
    }
}

fn status(tags: &mut Tags) -> Status {
    let mut status = Status::default();
    if let Some(code) = tags.remove("otel.status_code") {
        status.code = match &code[..] {
            "STATUS_CODE_OK" | "Ok" => OK,
            "STATUS_CODE_ERROR" | "Error" => ERROR,
            _ => 0,
        };
        status.message = tags.remove("otel.status_description").unwrap_or_default().into();
    }
    if let Some(error) = tags.get("error") {
        status.code = ERROR;
        if error == "true" {
            tags.remove("error");
        }
    }
    status
}

/// Links stand in numbered tags: `trace id|span id|trace state|attributes|dropped`.
fn links(tags: &mut Tags) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for number in 0..MAX_LINKS {
        let Some(text) = tags.remove(&format!("otlp.link.{number}")) else { break };
        let mut parts = text.splitn(4, '|');
        let (Some(trace_id), Some(span_id), Some(trace_state), Some(rest)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Some((attributes, dropped)) = rest.rsplit_once('|') else { continue };
        links.push(Link {
            trace_id: hex_id(trace_id, 16)?,
            span_id: hex_id(span_id, 8)?,
            trace_state: trace_state.into(),
            attributes: object(attributes)?,
            dropped_attributes_count: count(dropped)?,
            ..Link::default()
        });
    }
    Ok(links)
}

/// An annotation is the name of an event, and perhaps `name|attributes|dropped`.
fn event(at: u64, text: &str) -> Result<Event, String> {
    let mut event = Event { time_unix_nano: at, ..Event::default() };
    match text.split_once('|') {
        None => event.name = text.into(),
        Some((name, rest)) => {
            event.name = name.into();
            if let Some((attributes, dropped)) = rest.rsplit_once('|') {
                event.attributes = object(attributes)?;
                event.dropped_attributes_count = count(dropped)?;
            }
        }
    }
    Ok(event)
}

/// An id in hexadecimal, perhaps in quotation marks; nothing is an id of zeros.
fn hex_id(text: &str, length: usize) -> Result<Bytes, String> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() {
        return Ok(Bytes::new());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or_else(|| format!("cannot read the id {text:?} of a link: not hexadecimal"))?;
    if bytes.len() != length {
        return Err("invalid length for ID".to_owned());
    }
    Ok(id(&bytes))
}

/// The texts, numbers and truth values of a JSON object; a number without a fraction is a whole one.
fn object(text: &str) -> Result<Map, String> {
    let object: Option<serde_json::Map<String, Json>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let pairs = object.unwrap_or_default().into_iter().filter_map(|(key, value)| {
        let value = match value {
            Json::String(text) => AnyValue::from(text),
            Json::Bool(value) => AnyValue::Bool(value),
            Json::Number(number) => match number.as_f64()? {
                whole if whole % 1.0 == 0.0 => AnyValue::Int(number.as_i64().unwrap_or(whole as i64)),
                number => AnyValue::Double(number),
            },
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        };
        Some((key, value))
    });
    Ok(pairs.collect())
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("invalid number of dropped attributes {text:?}"))
}
