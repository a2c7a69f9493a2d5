//! The log records of a payload of spans, written as they are found.

use std::borrow::Cow;

use base_stdx::float;
use sdk_otel::describe::hex;
use sdk_otel::logfmt::{push_key, push_text, push_value};
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::walk::{self, Any, AnyValue, Attribute, Message};
use sdk_protocols_otlp::wire::{put_bytes, put_message};

use super::{Arguments, Overrides};
use crate::span::{Span, is_empty, value};

/// What is written.
pub(super) struct Settings {
    spans: bool,
    roots: bool,
    processes: bool,
    events: bool,
    span_attributes: Vec<String>,
    process_attributes: Vec<String>,
    event_attributes: Vec<String>,
    names: Overrides,
    labels: Vec<String>,
}

/// Log records, on the wire.
pub(super) struct Lines<'s> {
    settings: &'s Settings,
    out: Vec<u8>,
    records: u32,
}

/// What a line says: names with encoded values, each name once, in the place where it came first.
#[derive(Clone, Default)]
struct Pairs<'a>(Vec<(&'a str, Cow<'a, [u8]>)>);

// === impl Settings ===

impl Settings {
    pub(super) fn new(arguments: Arguments) -> Settings {
        let Arguments { spans, roots, processes, events, labels, overrides, .. } = arguments;
        let Arguments { span_attributes, process_attributes, event_attributes, .. } = arguments;
        let names = overrides;
        Settings {
            spans,
            roots,
            processes,
            events,
            span_attributes,
            process_attributes,
            event_attributes,
            names,
            labels,
        }
    }

    fn set_process<'a>(&'a self, pairs: &mut Pairs<'a>, resource: &[Attribute<'a>], trace_id: &str) {
        let service = match value(resource.iter().cloned(), "service.name").map(AnyValue::get) {
            Some(Any::Text(text)) => text,
            _ => &[],
        };
        pairs.set_text(&self.names.service_key, service);
        for name in &self.process_attributes {
            pairs.set_some(name, value(resource.iter().cloned(), name));
        }
        pairs.set_text(&self.names.trace_id_key, trace_id.as_bytes());
    }

    fn set_span<'a>(&'a self, pairs: &mut Pairs<'a>, span: &Span<'a>) {
        pairs.set_text(&self.names.span_name_key, span.name);
        let nanoseconds = span.end.wrapping_sub(span.start) as i64;
        pairs.set_text(&self.names.duration_key, format!("{nanoseconds}ns").as_bytes());
        let status = match span.status {
            0 => None,
            1 => Some("Ok"),
            2 => Some("Error"),
            _ => Some(""),
        };
        if let Some(status) = status {
            pairs.set_text(&self.names.status_key, status.as_bytes());
        }
        for name in &self.span_attributes {
            pairs.set_some(name, span.attribute(name));
        }
    }
}

// === impl Lines ===

impl<'s> Lines<'s> {
    pub(super) fn new(settings: &'s Settings) -> Lines<'s> {
        Lines { settings, out: Vec::new(), records: 0 }
    }

    /// The payload, and how many records are in it.
    pub(super) fn finish(self) -> (Vec<u8>, u32) {
        (self.out, self.records)
    }

    /// Writes the records of a payload of spans, a group of its own for each resource and scope.
    pub(super) fn write(&mut self, payload: &[u8]) {
        let Lines { settings, out, records } = self;
        for group in walk::resources(payload) {
            let resource: Vec<Attribute<'_>> = group.attributes().collect();
            put_message(out, 1, |out| {
                put_bytes(out, 1, &[]);
                for scope in group.scopes() {
                    put_message(out, 2, |out| {
                        put_bytes(out, 1, &[]);
                        *records += scope_records(settings, &resource, scope.records(), out);
                    });
                }
            });
        }
    }
}

/// Writes the records of the spans of a scope; how many.
fn scope_records<'a>(
    settings: &'a Settings,
    resource: &[Attribute<'a>],
    spans: impl Iterator<Item = Message<'a>>,
    out: &mut Vec<u8>,
) -> u32 {
    let mut records = 0;
    let mut record = |kind: &str, pairs: &Pairs<'_>| {
        put_message(out, 2, |out| pairs.put_record(settings, kind, out));
        records += 1;
    };
    let mut last_trace: &[u8] = &[];
    for span in spans.map(Span::read) {
        let is_root = settings.roots && is_empty(span.parent_span_id);
        let trace_id = if is_empty(span.trace_id) { &[] } else { span.trace_id };
        let hex_id = hex(trace_id);
        if settings.processes && trace_id != last_trace {
            last_trace = trace_id;
            let mut pairs = Pairs::default();
            settings.set_process(&mut pairs, resource, &hex_id);
            record("process", &pairs);
        }
        if !settings.spans && !is_root && !settings.events {
            continue;
        }
        let mut pairs = Pairs::default();
        settings.set_span(&mut pairs, &span);
        settings.set_process(&mut pairs, resource, &hex_id);
        if settings.spans {
            record("span", &pairs);
        }
        if is_root {
            record("root", &pairs);
        }
        for event in span.events().filter(|_| settings.events) {
            let mut pairs = pairs.clone();
            for name in &settings.event_attributes {
                pairs.set_some(name, value(event.attributes(3), name));
            }
            record("event", &pairs);
        }
    }
    records
}

// === impl Pairs ===

impl<'a> Pairs<'a> {
    fn set(&mut self, name: &'a str, value: Cow<'a, [u8]>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    fn set_text(&mut self, name: &'a str, text: &[u8]) {
        self.set(name, any::text(text).into());
    }

    fn set_some(&mut self, name: &'a str, value: Option<AnyValue<'a>>) {
        if let Some(AnyValue(value)) = value {
            self.set(name, value.into());
        }
    }

    /// A `LogRecord`: body 5, attributes 6.
    fn put_record(&self, settings: &Settings, kind: &str, out: &mut Vec<u8>) {
        put_bytes(out, 5, &any::text(self.line().as_bytes()));
        let mut attributes = Pairs::default();
        attributes.set_text(&settings.names.logs_instance_tag, kind.as_bytes());
        for (name, value) in &self.0 {
            if settings.labels.iter().any(|label| label == name) {
                attributes.set(name, Cow::Borrowed(value));
            }
        }
        for (name, value) in &attributes.0 {
            put_message(out, 6, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_bytes(out, 2, value);
            });
        }
    }

    /// In logfmt. A name of which no letter can stand in a key is left out; Alloy refuses the payload then.
    fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.0 {
            if !push_key(&mut line, name) {
                continue;
            }
            match AnyValue(value).get() {
                Any::Text(text) => push_text(&mut line, &String::from_utf8_lossy(text)),
                Any::Bytes(text) => push_value(&mut line, &String::from_utf8_lossy(text)),
                Any::Empty => line.push_str("null"),
                Any::Bool(value) => line.push_str(&value.to_string()),
                Any::Int(value) => line.push_str(&value.to_string()),
                Any::Double(value) => line.push_str(&float::general(value)),
                Any::Array(_) | Any::Map(_) => push_value(&mut line, "unsupported value type"),
            }
        }
        line
    }
}
