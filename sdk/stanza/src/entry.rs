//! A log record under way.

use sdk_protocols_otlp::model::{AnyValue, Map};

/// A log record under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// When it happened, in nanoseconds since 1970, if that is known.
    pub timestamp: Option<i64>,
    /// When it was read.
    pub observed: i64,
    /// What was logged; [`AnyValue::Empty`] is nothing.
    pub body: AnyValue,
    /// What describes it.
    pub attributes: Map,
    /// What describes where it comes from.
    pub resource: Map,
    /// `SeverityNumber` of OTLP, 0 unknown.
    pub severity: i32,
    /// The source's own word for it.
    pub severity_text: String,
    /// The trace it belongs to; OTLP takes 16 bytes of it.
    pub trace_id: Vec<u8>,
    /// The span; OTLP takes 8 bytes.
    pub span_id: Vec<u8>,
    /// W3C trace flags; the first byte counts.
    pub trace_flags: Vec<u8>,
    /// The name of the instrumentation scope.
    pub scope_name: String,
    /// Which reading it comes from: a position may be saved when nothing of its reading is held any more.
    pub reading: u64,
}

impl Entry {
    /// A record of a line that was read now.
    #[must_use]
    pub fn new(body: impl Into<AnyValue>, observed: i64, reading: u64) -> Entry {
        Entry { body: body.into(), observed, reading, ..Entry::default() }
    }
}

/// Go's name of a value's type, as its errors have it.
pub(crate) fn type_of(value: &AnyValue) -> &'static str {
    match value {
        AnyValue::Empty => "<nil>",
        AnyValue::Text(_) => "string",
        AnyValue::Bool(_) => "bool",
        AnyValue::Int(_) => "int64",
        AnyValue::Double(_) => "float64",
        AnyValue::Array(_) => "[]interface {}",
        AnyValue::Map(_) => "map[string]interface {}",
        AnyValue::Bytes(_) => "[]uint8",
    }
}
