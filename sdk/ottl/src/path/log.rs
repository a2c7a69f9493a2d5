//! Fields of log records.

use sdk_protocols_otlp::model::{AnyValue, LogRecord};

use super::expect;
use crate::coerce::hexadecimal;
use crate::error::Result;
use crate::time::Time;
use crate::value::{Value, as_text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    TimeUnixNano,
    Time,
    ObservedTimeUnixNano,
    ObservedTime,
    SeverityNumber,
    SeverityText,
    BodyString,
    Dropped,
    Flags,
    TraceId,
    TraceIdString,
    SpanId,
    SpanIdString,
    EventName,
}

pub(super) const FIELDS: &[(&str, Field)] = &[
    ("time_unix_nano", Field::TimeUnixNano),
    ("time", Field::Time),
    ("observed_time_unix_nano", Field::ObservedTimeUnixNano),
    ("observed_time", Field::ObservedTime),
    ("severity_number", Field::SeverityNumber),
    ("severity_text", Field::SeverityText),
    ("body.string", Field::BodyString),
    ("dropped_attributes_count", Field::Dropped),
    ("flags", Field::Flags),
    ("trace_id", Field::TraceId),
    ("trace_id.string", Field::TraceIdString),
    ("span_id", Field::SpanId),
    ("span_id.string", Field::SpanIdString),
    ("event_name", Field::EventName),
];

impl Field {
    pub fn get(self, record: &LogRecord) -> Result<Value<'_>> {
        Ok(match self {
            Field::TimeUnixNano => Value::Int(record.time_unix_nano as i64),
            Field::Time => Value::Time(Time::utc(record.time_unix_nano as i64)),
            Field::ObservedTimeUnixNano => Value::Int(record.observed_time_unix_nano as i64),
            Field::ObservedTime => Value::Time(Time::utc(record.observed_time_unix_nano as i64)),
            Field::SeverityNumber => Value::Int(record.severity_number.into()),
            Field::SeverityText => Value::Text(record.severity_text.clone()),
            Field::BodyString => Value::Text(record.body.as_ref().map(as_text).unwrap_or_default()),
            Field::Dropped => Value::Int(record.dropped_attributes_count.into()),
            Field::Flags => Value::Int(record.flags.into()),
            Field::TraceId => Value::TraceId(expect::id(&record.trace_id)),
            Field::TraceIdString => Value::text(hexadecimal(&expect::id::<16>(&record.trace_id))),
            Field::SpanId => Value::SpanId(expect::id(&record.span_id)),
            Field::SpanIdString => Value::text(hexadecimal(&expect::id::<8>(&record.span_id))),
            Field::EventName => Value::Text(record.event_name.clone()),
        })
    }

    pub fn set(self, record: &mut LogRecord, value: Value<'_>) -> Result<()> {
        match self {
            Field::TimeUnixNano => record.time_unix_nano = expect::nanoseconds(value)?,
            Field::Time => record.time_unix_nano = expect::moment(value)?,
            Field::ObservedTimeUnixNano => record.observed_time_unix_nano = expect::nanoseconds(value)?,
            Field::ObservedTime => record.observed_time_unix_nano = expect::moment(value)?,
            Field::SeverityNumber => record.severity_number = expect::int(value)? as i32,
            Field::SeverityText => record.severity_text = expect::text(value)?,
            Field::BodyString => record.body = Some(AnyValue::Text(expect::text(value)?)),
            Field::Dropped => record.dropped_attributes_count = expect::int(value)? as u32,
            Field::Flags => record.flags = expect::int(value)? as u32,
            Field::TraceId => record.trace_id = expect::id_bytes(&expect::trace_id(value)?),
            Field::TraceIdString => {
                record.trace_id = expect::id_bytes(&expect::id_of_text::<16>(&expect::text(value)?, "trace")?);
            }
            Field::SpanId => record.span_id = expect::id_bytes(&expect::span_id(value)?),
            Field::SpanIdString => {
                record.span_id = expect::id_bytes(&expect::id_of_text::<8>(&expect::text(value)?, "span")?);
            }
            Field::EventName => record.event_name = expect::text(value)?,
        }
        Ok(())
    }
}
