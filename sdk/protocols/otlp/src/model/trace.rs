//! Spans.

use bytes::Bytes;

use super::field::message;
use super::{Item, Map, Text};
use crate::Signal;

message! {
    /// A `Span`. Times in nanoseconds since 1970.
    pub struct Span {
        /// 16 bytes.
        1 trace_id: Bytes as bytes,
        /// 8 bytes.
        2 span_id: Bytes as bytes,
        /// W3C trace state.
        3 trace_state: Text as text,
        /// 8 bytes; none for a root.
        4 parent_span_id: Bytes as bytes,
        /// W3C trace flags and two bits of OTLP's own.
        16 flags: u32 as fixed32,
        /// What it did.
        5 name: Text as text,
        /// `SpanKind`.
        6 kind: i32 as enumeration,
        /// Start.
        7 start_time_unix_nano: u64 as fixed64,
        /// End.
        8 end_time_unix_nano: u64 as fixed64,
        /// What describes it.
        9 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        10 dropped_attributes_count: u32 as uint32,
        /// What happened meanwhile.
        11 events: Vec<Event> as messages,
        /// Events that were left out at the source.
        12 dropped_events_count: u32 as uint32,
        /// Other spans that have to do with it.
        13 links: Vec<Link> as messages,
        /// Links that were left out at the source.
        14 dropped_links_count: u32 as uint32,
        /// How it ended.
        15 status: Status as message,
    }
}

message! {
    /// A `Span.Event`.
    pub struct Event {
        /// When, in nanoseconds since 1970.
        1 time_unix_nano: u64 as fixed64,
        /// What.
        2 name: Text as text,
        /// What describes it.
        3 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        4 dropped_attributes_count: u32 as uint32,
    }
}

message! {
    /// A `Span.Link`.
    pub struct Link {
        /// 16 bytes.
        1 trace_id: Bytes as bytes,
        /// 8 bytes.
        2 span_id: Bytes as bytes,
        /// W3C trace state.
        3 trace_state: Text as text,
        /// What describes it.
        4 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        5 dropped_attributes_count: u32 as uint32,
        /// W3C trace flags and two bits of OTLP's own.
        6 flags: u32 as fixed32,
    }
}

message! {
    /// A `Status`.
    pub struct Status {
        /// For people.
        2 message: Text as text,
        /// 0 unset, 1 ok, 2 error.
        3 code: i32 as enumeration,
    }
}

impl Item for Span {
    const SIGNAL: Signal = Signal::Traces;
}
