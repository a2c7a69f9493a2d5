//! A span as connectors read it: its fields where they lie, found in one pass.

use sdk_protocols_otlp::walk::{AnyValue, Attribute, Message};

/// A view of a `Span`.
pub(crate) struct Span<'a> {
    message: Message<'a>,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub name: &'a [u8],
    /// `SpanKind`.
    pub kind: i32,
    /// 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// In nanoseconds since 1970.
    pub start: u64,
    /// In nanoseconds since 1970.
    pub end: u64,
}

/// `SpanKind`: it answers a request.
pub(crate) const SERVER: i32 = 2;
/// `SpanKind`: it makes one.
pub(crate) const CLIENT: i32 = 3;
/// `SpanKind`: it sends a message.
pub(crate) const PRODUCER: i32 = 4;
/// `SpanKind`: it gets one.
pub(crate) const CONSUMER: i32 = 5;

/// Status of a span that failed.
pub(crate) const ERROR: i32 = 2;

// === impl Span ===

impl<'a> Span<'a> {
    pub fn read(message: Message<'a>) -> Span<'a> {
        let mut span = Span {
            trace_id: &[],
            span_id: &[],
            parent_span_id: &[],
            trace_state: &[],
            name: &[],
            kind: 0,
            status: 0,
            start: 0,
            end: 0,
            message,
        };
        let message = span.message.clone();
        for field in message.fields() {
            match field.number {
                1 => span.trace_id = field.value.bytes(),
                2 => span.span_id = field.value.bytes(),
                3 => span.trace_state = field.value.bytes(),
                4 => span.parent_span_id = field.value.bytes(),
                5 => span.name = field.value.bytes(),
                6 => span.kind = field.value.number() as i32,
                7 => span.start = field.value.number(),
                8 => span.end = field.value.number(),
                15 => span.status = Message::whole(field.value.bytes()).number(3) as i32,
                _ => {}
            }
        }
        span
    }

    /// How long it took, in nanoseconds; 0 for one that ends before it starts.
    pub fn nanoseconds(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.message.attributes(9)
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<AnyValue<'a>> {
        value(self.attributes(), name)
    }

    /// Its events: name 2, attributes 3.
    pub fn events(&self) -> impl Iterator<Item = Message<'a>> + use<'a> {
        self.message.messages(11)
    }
}

/// The first value under a name.
pub(crate) fn value<'a>(mut attributes: impl Iterator<Item = Attribute<'a>>, name: &str) -> Option<AnyValue<'a>> {
    attributes.find(|pair| pair.key == name.as_bytes()).map(|pair| pair.value)
}

/// Whether an id says nothing.
pub(crate) fn is_empty(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}
