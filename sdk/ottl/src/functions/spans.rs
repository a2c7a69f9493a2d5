//! Functions on spans.

use sdk_protocols_otlp::model::{AnyValue, Map, Span, Text};

use super::{Arguments, Built, Function, Kind, Where, converter, editor, optional, required};
use crate::context::Context;
use crate::value::{Value, as_text};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "IsRootSpan",
        parameters: &[],
        place: Where::Only(Context::Span),
        build: |_| converter(|on| Ok(Value::Bool(on.span()?.parent_span_id.iter().all(|byte| *byte == 0)))),
    },
    Function {
        name: "set_semconv_span_name",
        parameters: &[
            required("SemconvVersion", Kind::LiteralText),
            optional("OriginalSpanNameAttribute", Kind::LiteralText),
        ],
        place: Where::Statements(Context::Span),
        build: set_semconv_span_name,
    },
];

/// The versions of the semantic conventions whose names of spans are known.
const VERSIONS: ((u64, u64, u64), (u64, u64, u64)) = ((1, 37, 0), (1, 40, 0));

fn set_semconv_span_name(a: &mut Arguments) -> Result<Built, String> {
    let (version, original) = (a.text(0)?, a.given_text(1));
    let parts: Vec<Option<u64>> =
        version.trim_start_matches('v').splitn(3, '.').map(|part| part.parse().ok()).collect();
    let number = match parts[..] {
        [Some(major)] => (major, 0, 0),
        [Some(major), Some(minor)] => (major, minor, 0),
        [Some(major), Some(minor), Some(patch)] => (major, minor, patch),
        _ => return Err(format!("{version:?} is no version")),
    };
    if !(VERSIONS.0..=VERSIONS.1).contains(&number) {
        return Err(format!("unsupported semconv version {version:?}: must be between 1.37.0 and 1.40.0"));
    }
    if original.as_deref() == Some("") {
        return Err("original_span_name_attribute cannot be an empty string".to_owned());
    }
    editor(move |on| {
        on.changed = true;
        let span = on.span_mut()?;
        let Some(name) = semantic_name(span) else { return Ok(()) };
        let name = Text::from(name);
        let before = std::mem::replace(&mut span.name, name);
        if before != span.name
            && let Some(original) = &original
        {
            span.attributes.set(original.as_str(), before);
        }
        Ok(())
    })
}

/// The name that the conventions give a span of its kind; none where they give none.
/// Source: the span names of the HTTP, RPC, database and messaging conventions.
fn semantic_name(span: &Span) -> Option<String> {
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    const PRODUCER: i32 = 4;
    const CONSUMER: i32 = 5;
    let of = &span.attributes;
    match span.kind {
        SERVER => http(of, "http.route").or_else(|| rpc(of)).or_else(|| messaging(of)),
        CLIENT => http(of, "url.template").or_else(|| rpc(of)).or_else(|| database(of)).or_else(|| messaging(of)),
        PRODUCER | CONSUMER => messaging(of),
        _ => None,
    }
    .filter(|name| !name.is_empty())
}

fn text(of: &Map, key: &str) -> Option<String> {
    of.get(key).map(|value| as_text(value).as_str().into_owned())
}

fn either(of: &Map, key: &str, older: &str) -> Option<String> {
    text(of, key).or_else(|| text(of, older))
}

fn http(of: &Map, subject: &str) -> Option<String> {
    let method = either(of, "http.request.method", "http.method")?;
    Some(match text(of, subject) {
        Some(subject) => format!("{method} {subject}"),
        None => method,
    })
}

fn rpc(of: &Map) -> Option<String> {
    let system = either(of, "rpc.system.name", "rpc.system")?;
    let method = either(of, "rpc.method", "rpc.grpc.method");
    let service = either(of, "rpc.service", "rpc.grpc.service");
    Some(match (service, method) {
        (Some(service), Some(method)) => format!("{service}/{method}"),
        (None, Some(method)) => method,
        (Some(service), None) => format!("{service}/*"),
        (None, None) => system,
    })
}

fn server(of: &Map) -> Option<String> {
    let address = text(of, "server.address")?;
    Some(match text(of, "server.port") {
        Some(port) => format!("{address}:{port}"),
        None => address,
    })
}

fn database(of: &Map) -> Option<String> {
    let system = either(of, "db.system.name", "db.system")?;
    if let Some(summary) = text(of, "db.query.summary") {
        return Some(summary);
    }
    let operation = either(of, "db.operation.name", "db.operation").filter(|operation| !operation.is_empty());
    let namespace = either(of, "db.namespace", "db.name").filter(|namespace| !namespace.is_empty());
    let target = match text(of, "db.collection.name").or_else(|| text(of, "db.stored_procedure.name")) {
        Some(target) => Some(match &namespace {
            Some(namespace) => format!("{namespace}.{target}"),
            None => target,
        }),
        None => namespace.or_else(|| server(of)),
    };
    Some(match (operation, target.filter(|target| !target.is_empty())) {
        (Some(operation), Some(target)) => format!("{operation} {target}"),
        (Some(operation), None) => operation,
        (None, Some(target)) => target,
        (None, None) => system,
    })
}

fn messaging(of: &Map) -> Option<String> {
    let system = text(of, "messaging.system")?;
    let operation = either(of, "messaging.operation.name", "messaging.operation");
    let is = |key: &str| matches!(of.get(key), Some(AnyValue::Bool(true)));
    let destination = if is("messaging.destination.temporary") {
        Some("(temporary)".to_owned())
    } else if is("messaging.destination.anonymous") {
        Some("(anonymous)".to_owned())
    } else {
        let named = text(of, "messaging.destination.template");
        named.or_else(|| either(of, "messaging.destination.name", "messaging.destination")).or_else(|| server(of))
    };
    Some(match (operation, destination.filter(|destination| !destination.is_empty())) {
        (Some(operation), Some(destination)) => format!("{operation} {destination}"),
        (None, Some(destination)) => destination,
        (Some(operation), None) => operation,
        (None, None) => system,
    })
}
