//! Log records.

use bytes::Bytes;

use super::field::message;
use super::{AnyValue, Item, Map, Text};
use crate::Signal;

message! {
    /// A `LogRecord`. Times in nanoseconds since 1970.
    pub struct LogRecord {
        /// When it happened; 0 unknown.
        1 time_unix_nano: u64 as fixed64,
        /// When it was seen.
        11 observed_time_unix_nano: u64 as fixed64,
        /// `SeverityNumber`: 1 to 24, 0 unknown.
        2 severity_number: i32 as enumeration,
        /// The source's own word for it.
        3 severity_text: Text as text,
        /// What was logged.
        5 body: Option<AnyValue> as optional_value,
        /// What describes it.
        6 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        7 dropped_attributes_count: u32 as uint32,
        /// W3C trace flags.
        8 flags: u32 as fixed32,
        /// 16 bytes, or none.
        9 trace_id: Bytes as bytes,
        /// 8 bytes, or none.
        10 span_id: Bytes as bytes,
        /// The kind of event, where it is one.
        12 event_name: Text as text,
    }
}

impl Item for LogRecord {
    const SIGNAL: Signal = Signal::Logs;
}
