//! A record as a line: JSON, logfmt, or its body alone.

use base_stdx::float;
use base_stdx::json::{escape_html, unescape};
use base_stdx::logfmt::Pairs;
use sdk_otel::describe::hex;
use sdk_otel::logfmt::{push_key, push_text, push_value};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Any, AnyValue, Attribute, Message, array, map};

use super::labels::Attributes;

/// A body longer than this is not looked through for pairs.
const LONGEST_LOGFMT: usize = 64 << 10;

/// Lists and maps nested deeper than this are left out of a logfmt line.
const DEPTH: u32 = 64;

/// A log record without what became labels.
pub(super) struct Record<'a> {
    pub(super) body: AnyValue<'a>,
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) severity: &'a [u8],
    pub(super) flags: u64,
    pub(super) attributes: Attributes<'a>,
    pub(super) resource: Attributes<'a>,
    /// Name 1, version 2, attributes 3.
    pub(super) scope: &'a Message<'a>,
}

/// Keys and values of a logfmt line.
#[derive(Default)]
struct Keyvals(Vec<(String, Value)>);

enum Value {
    /// Quoted where it reads as something else.
    Text(String),
    /// As it is.
    Plain(String),
    /// As it stood in a body that is logfmt itself; what it says is said again where the record says it too.
    Read(String),
}

/// A number that JSON lacks is `null` in the line.
pub(super) fn json(record: &Record<'_>) -> String {
    let mut out = vec![b'{'];
    if record.body.get() != Any::Empty {
        member(&mut out, "body", |out| text::push_json(out, record.body));
    }
    for (name, id) in [("traceid", record.trace_id), ("spanid", record.span_id)] {
        if is_id(id) {
            member(&mut out, name, |out| text::push_json_string(out, hex(id).as_bytes()));
        }
    }
    if !record.severity.is_empty() {
        member(&mut out, "severity", |out| text::push_json_string(out, record.severity));
    }
    if record.flags != 0 {
        member(&mut out, "flags", |out| out.extend_from_slice(record.flags.to_string().as_bytes()));
    }
    object(&mut out, "attributes", record.attributes.clone());
    object(&mut out, "resources", record.resource.clone());
    let (name, version) = (record.scope.bytes(1), record.scope.bytes(2));
    if !name.is_empty() {
        member(&mut out, "instrumentation_scope", |out| {
            out.push(b'{');
            member(out, "name", |out| text::push_json_string(out, name));
            if !version.is_empty() {
                member(out, "version", |out| text::push_json_string(out, version));
            }
            object(out, "attributes", record.scope.attributes(3).collect());
            out.push(b'}');
        });
    }
    out.push(b'}');
    escape_html(String::from_utf8_lossy(&out).into_owned())
}

fn object(out: &mut Vec<u8>, name: &str, pairs: Attributes<'_>) {
    if !pairs.is_empty() {
        member(out, name, |out| text::push_json_object(out, pairs));
    }
}

fn member(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    text::push_json_string(out, name.as_bytes());
    out.push(b':');
    write(out);
}

/// Whether the protocol counts it as an id: all zeros is none.
fn is_id(id: &[u8]) -> bool {
    id.iter().any(|byte| *byte != 0)
}

/// # Errors
/// A key of which nothing can stand in a line.
pub(super) fn logfmt(record: &Record<'_>) -> Result<String, String> {
    let mut pairs = Keyvals::default();
    match record.body.get() {
        Any::Text(body) => pairs.read(&String::from_utf8_lossy(body)),
        Any::Map(_) => pairs.push("", record.body, DEPTH),
        Any::Array(_) => pairs.push("body", record.body, DEPTH),
        _ => pairs.push("msg", record.body, DEPTH),
    }
    for (name, id) in [("traceID", record.trace_id), ("spanID", record.span_id)] {
        if is_id(id) {
            pairs.set(name, Value::Text(hex(id)));
        }
    }
    if !record.severity.is_empty() {
        pairs.set("severity", Value::Text(String::from_utf8_lossy(record.severity).into_owned()));
    }
    if record.flags != 0 {
        pairs.set("flags", Value::Plain(record.flags.to_string()));
    }
    pairs.push_all("attribute_", &record.attributes);
    pairs.push_all("resource_", &record.resource);
    let [name, version] = [1, 2].map(|field| record.scope.text(field).into_owned());
    if !name.is_empty() {
        pairs.0.push(("instrumentation_scope_name".to_owned(), Value::Text(name)));
        if !version.is_empty() {
            pairs.0.push(("instrumentation_scope_version".to_owned(), Value::Text(version)));
        }
        let attributes: Attributes<'_> = record.scope.attributes(3).collect();
        pairs.push_all("instrumentation_scope_attribute_", &attributes);
    }
    pairs.line()
}

// === impl Keyvals ===

impl Keyvals {
    /// The pairs of a body that is logfmt (its first line), or the body as `msg`.
    fn read(&mut self, body: &str) {
        let line = body.lines().next().unwrap_or_default();
        let mut reader = Pairs::new(line.as_bytes());
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&line.as_bytes()[range]).into_owned();
        for pair in reader.by_ref() {
            let value = if pair.escaped {
                let mut plain = Vec::new();
                unescape(&line.as_bytes()[pair.value], &mut plain);
                String::from_utf8_lossy(&plain).into_owned()
            } else {
                text(pair.value)
            };
            self.0.push((text(pair.key), Value::Read(value)));
        }
        if reader.failed() || line.len() >= LONGEST_LOGFMT {
            self.0 = vec![("msg".to_owned(), Value::Text(body.to_owned()))];
        }
    }

    fn push_all(&mut self, prefix: &str, attributes: &[Attribute<'_>]) {
        for pair in attributes {
            self.push(&format!("{prefix}{}", pair.key()), pair.value, DEPTH);
        }
    }

    /// A value, or the values in it with keys of their own.
    fn push(&mut self, key: &str, value: AnyValue<'_>, depth: u32) {
        let Some(deeper) = depth.checked_sub(1) else { return };
        let prefix = if key.is_empty() { String::new() } else { format!("{key}_") };
        let plain = match value.get() {
            Any::Empty => return,
            Any::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            Any::Bool(value) => Value::Plain(value.to_string()),
            Any::Int(value) => Value::Plain(value.to_string()),
            Any::Double(value) => Value::Plain(float::general(value)),
            Any::Bytes(bytes) => Value::Plain(String::from_utf8_lossy(bytes).into_owned()),
            Any::Map(list) => {
                return map(list).for_each(|pair| self.push(&format!("{prefix}{}", pair.key()), pair.value, deeper));
            }
            Any::Array(list) => {
                return array(list)
                    .enumerate()
                    .for_each(|(i, value)| self.push(&format!("{prefix}{i}"), value, deeper));
            }
        };
        self.0.push((key.to_owned(), plain));
    }

    /// In place of what the body said under this key, unless the body is logfmt itself.
    fn set(&mut self, key: &str, value: Value) {
        match self.0.iter_mut().find(|(known, value)| known == key && !matches!(value, Value::Read(_))) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    fn line(self) -> Result<String, String> {
        let mut line = String::new();
        for (key, value) in self.0 {
            if !push_key(&mut line, &key) {
                return Err(format!("{key:?} cannot be a key of logfmt"));
            }
            match value {
                Value::Text(text) => push_text(&mut line, &text),
                Value::Plain(text) | Value::Read(text) => push_value(&mut line, &text),
            }
        }
        Ok(line)
    }
}
