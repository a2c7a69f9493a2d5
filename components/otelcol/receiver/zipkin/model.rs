//! A span of version 2, whatever it was written in.

use std::collections::BTreeMap;

use sdk_protocols_otlp::model::AnyValue;

/// A span.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Span {
    pub(super) trace_id: u128,
    pub(super) id: u64,
    pub(super) parent_id: Option<u64>,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970, if it is known.
    pub(super) timestamp: Option<u64>,
    /// Nanoseconds.
    pub(super) duration: u64,
    pub(super) local: Option<Endpoint>,
    pub(super) remote: Option<Endpoint>,
    pub(super) annotations: Vec<Annotation>,
    pub(super) tags: BTreeMap<String, String>,
}

/// What a span did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Unknown,
    Client,
    Server,
    Producer,
    Consumer,
}

/// One end of a connection.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Endpoint {
    pub(super) service_name: String,
    pub(super) ipv4: Option<String>,
    pub(super) ipv6: Option<String>,
    pub(super) port: u16,
}

/// What happened meanwhile.
#[derive(Debug, PartialEq)]
pub(super) struct Annotation {
    /// Nanoseconds since 1970.
    pub(super) timestamp: u64,
    pub(super) value: String,
}

/// Microseconds as nanoseconds, with the wrap of Go.
pub(super) fn nanoseconds(microseconds: u64) -> u64 {
    microseconds.wrapping_mul(1000)
}

/// The value of a tag: a number or a truth value, if they are wanted and it looks like one.
pub(super) fn value(text: &str, parse: bool) -> AnyValue {
    if !parse {
        return AnyValue::from(text);
    }
    if let "true" | "false" = text {
        return AnyValue::Bool(text == "true");
    }
    let number = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(number) {
        // What is too large becomes the largest there is, as Go's parser leaves it.
        let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        return AnyValue::Int(text.parse().unwrap_or(limit));
    }
    match number.split_once('.') {
        Some((whole, part)) if digits(whole) && digits(part) => {
            text.parse().map_or_else(|_| AnyValue::from(text), AnyValue::Double)
        }
        _ => AnyValue::from(text),
    }
}
