//! Fields of spans and of their events.

use sdk_protocols_otlp::model::{Event, Span, Text};

use super::key::{Key, Resolved};
use super::{expect, missing};
use crate::coerce::hexadecimal;
use crate::context::{Item, On, nowhere};
use crate::error::{Error, Result};
use crate::text::trace_state;
use crate::time::Time;
use crate::value::{Part, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    TraceId,
    TraceIdString,
    SpanId,
    SpanIdString,
    ParentSpanId,
    ParentSpanIdString,
    TraceState,
    Name,
    Kind,
    KindString,
    KindDeprecatedString,
    StartTimeUnixNano,
    StartTime,
    EndTimeUnixNano,
    EndTime,
    DroppedAttributes,
    Events,
    DroppedEvents,
    Links,
    DroppedLinks,
    Status,
    StatusCode,
    StatusMessage,
    Flags,
}

pub(super) const FIELDS: &[(&str, Field)] = &[
    ("trace_id", Field::TraceId),
    ("trace_id.string", Field::TraceIdString),
    ("span_id", Field::SpanId),
    ("span_id.string", Field::SpanIdString),
    ("parent_span_id", Field::ParentSpanId),
    ("parent_span_id.string", Field::ParentSpanIdString),
    ("trace_state", Field::TraceState),
    ("name", Field::Name),
    ("kind", Field::Kind),
    ("kind.string", Field::KindString),
    ("kind.deprecated_string", Field::KindDeprecatedString),
    ("start_time_unix_nano", Field::StartTimeUnixNano),
    ("start_time", Field::StartTime),
    ("end_time_unix_nano", Field::EndTimeUnixNano),
    ("end_time", Field::EndTime),
    ("dropped_attributes_count", Field::DroppedAttributes),
    ("events", Field::Events),
    ("dropped_events_count", Field::DroppedEvents),
    ("links", Field::Links),
    ("dropped_links_count", Field::DroppedLinks),
    ("status", Field::Status),
    ("status.code", Field::StatusCode),
    ("status.message", Field::StatusMessage),
    ("flags", Field::Flags),
];

const KINDS: [(&str, &str); 6] = [
    ("Unspecified", "SPAN_KIND_UNSPECIFIED"),
    ("Internal", "SPAN_KIND_INTERNAL"),
    ("Server", "SPAN_KIND_SERVER"),
    ("Client", "SPAN_KIND_CLIENT"),
    ("Producer", "SPAN_KIND_PRODUCER"),
    ("Consumer", "SPAN_KIND_CONSUMER"),
];

const EVENTS: &str = "ptrace.SpanEventSlice";
const LINKS: &str = "ptrace.SpanLinkSlice";
const STATUS: &str = "ptrace.Status";

// === impl Field ===

impl Field {
    pub fn get<'a>(self, span: &'a Span, keys: &[Key], on: &'a On<'_>) -> Result<Value<'a>> {
        let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind));
        Ok(match self {
            Field::TraceId => Value::TraceId(expect::id(&span.trace_id)),
            Field::TraceIdString => Value::text(hexadecimal(&expect::id::<16>(&span.trace_id))),
            Field::SpanId => Value::SpanId(expect::id(&span.span_id)),
            Field::SpanIdString => Value::text(hexadecimal(&expect::id::<8>(&span.span_id))),
            Field::ParentSpanId => Value::SpanId(expect::id(&span.parent_span_id)),
            Field::ParentSpanIdString => Value::text(hexadecimal(&expect::id::<8>(&span.parent_span_id))),
            Field::TraceState => match keys.first() {
                None => Value::Text(span.trace_state.clone()),
                Some(key) => {
                    let key = state_key(&key.resolve(on)?)?;
                    // A state that is malformed has no members, and nobody is told.
                    trace_state::get(&span.trace_state, &key).map_or(Value::Nil, Value::Text)
                }
            },
            Field::Name => Value::Text(span.name.clone()),
            Field::Kind => Value::Int(span.kind.into()),
            Field::KindString => Value::text(kind.map_or("", |(name, _)| name)),
            Field::KindDeprecatedString => Value::text(kind.map_or("", |(_, name)| name)),
            Field::StartTimeUnixNano => Value::Int(span.start_time_unix_nano as i64),
            Field::StartTime => Value::Time(Time::utc(span.start_time_unix_nano as i64)),
            Field::EndTimeUnixNano => Value::Int(span.end_time_unix_nano as i64),
            Field::EndTime => Value::Time(Time::utc(span.end_time_unix_nano as i64)),
            Field::DroppedAttributes => Value::Int(span.dropped_attributes_count.into()),
            Field::Events => Value::Part(Part { name: EVENTS, len: Some(span.events.len()) }),
            Field::DroppedEvents => Value::Int(span.dropped_events_count.into()),
            Field::Links => Value::Part(Part { name: LINKS, len: Some(span.links.len()) }),
            Field::DroppedLinks => Value::Int(span.dropped_links_count.into()),
            Field::Status => Value::Part(Part { name: STATUS, len: None }),
            Field::StatusCode => Value::Int(span.status.code.into()),
            Field::StatusMessage => Value::Text(span.status.message.clone()),
            Field::Flags => Value::Int(span.flags.into()),
        })
    }

    pub fn set(self, span: &mut Span, keys: &[Resolved], value: Value<'_>) -> Result<()> {
        match self {
            Field::TraceId => span.trace_id = expect::id_bytes(&expect::trace_id(value)?),
            Field::TraceIdString => {
                span.trace_id = expect::id_bytes(&expect::id_of_text::<16>(&expect::text(value)?, "trace")?);
            }
            Field::SpanId => span.span_id = expect::id_bytes(&expect::span_id(value)?),
            Field::SpanIdString => {
                span.span_id = expect::id_bytes(&expect::id_of_text::<8>(&expect::text(value)?, "span")?);
            }
            Field::ParentSpanId => span.parent_span_id = expect::id_bytes(&expect::span_id(value)?),
            Field::ParentSpanIdString => {
                span.parent_span_id = expect::id_bytes(&expect::id_of_text::<8>(&expect::text(value)?, "span")?);
            }
            Field::TraceState => {
                let value = expect::text(value)?;
                match keys.first() {
                    None => span.trace_state = value,
                    Some(key) => {
                        if let Some(state) = trace_state::insert(&span.trace_state, &state_key(key)?, &value) {
                            span.trace_state = state;
                        }
                    }
                }
            }
            Field::Name => span.name = expect::text(value)?,
            Field::Kind => span.kind = expect::int(value)? as i32,
            Field::KindString => span.kind = kind_of(&expect::text(value)?, "span kind string", |(name, _)| name)?,
            Field::KindDeprecatedString => {
                span.kind = kind_of(&expect::text(value)?, "span kind deprecated string", |(_, name)| name)?;
            }
            Field::StartTimeUnixNano => span.start_time_unix_nano = expect::nanoseconds(value)?,
            Field::StartTime => span.start_time_unix_nano = expect::moment(value)?,
            Field::EndTimeUnixNano => span.end_time_unix_nano = expect::nanoseconds(value)?,
            Field::EndTime => span.end_time_unix_nano = expect::moment(value)?,
            Field::DroppedAttributes => span.dropped_attributes_count = expect::int(value)? as u32,
            Field::Events => expect::part(&value, EVENTS)?,
            Field::DroppedEvents => span.dropped_events_count = expect::int(value)? as u32,
            Field::Links => expect::part(&value, LINKS)?,
            Field::DroppedLinks => span.dropped_links_count = expect::int(value)? as u32,
            Field::Status => expect::part(&value, STATUS)?,
            Field::StatusCode => span.status.code = expect::int(value)? as i32,
            Field::StatusMessage => span.status.message = expect::text(value)?,
            Field::Flags => {
                let flags = expect::int(value)?;
                let out_of_range = |_| Error::new(format!("value {flags} is out of range for uint32"));
                span.flags = u32::try_from(flags).map_err(out_of_range)?;
            }
        }
        Ok(())
    }
}

fn state_key(key: &Resolved) -> Result<Text> {
    match key {
        Resolved::Text(text) => Ok(text.clone()),
        Resolved::Int(_) => Err("trace_state indexing type must be a string".into()),
    }
}

fn kind_of(text: &Text, what: &str, name: fn((&'static str, &'static str)) -> &'static str) -> Result<i32> {
    let at = KINDS.iter().position(|kind| *text == *name(*kind));
    at.map(|kind| kind as i32).ok_or_else(|| Error::new(format!("unknown {what}, {}", text.as_str())))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventField {
    TimeUnixNano,
    Time,
    Name,
    Dropped,
    Index,
}

pub(super) const EVENT_FIELDS: &[(&str, EventField)] = &[
    ("time_unix_nano", EventField::TimeUnixNano),
    ("time", EventField::Time),
    ("name", EventField::Name),
    ("dropped_attributes_count", EventField::Dropped),
    ("event_index", EventField::Index),
];

/// The event that a statement runs on.
pub(super) fn event<'a>(on: &'a On<'_>) -> Result<&'a Event> {
    let Item::Event(span, at) = &on.item else { return Err(nowhere("span event")) };
    missing(span.events.get(*at), "span event")
}

/// The event that a statement runs on, to be changed.
pub(super) fn event_mut<'a>(on: &'a mut On<'_>) -> Result<&'a mut Event> {
    let Item::Event(span, at) = &mut on.item else { return Err(nowhere("span event")) };
    missing(span.events.get_mut(*at), "span event")
}

// === impl EventField ===

impl EventField {
    pub fn get<'a>(self, on: &'a On<'_>) -> Result<Value<'a>> {
        let event = event(on)?;
        Ok(match self {
            EventField::TimeUnixNano => Value::Int(event.time_unix_nano as i64),
            EventField::Time => Value::Time(Time::utc(event.time_unix_nano as i64)),
            EventField::Name => Value::Text(event.name.clone()),
            EventField::Dropped => Value::Int(event.dropped_attributes_count.into()),
            // The Collector never says which one it is, and fails.
            EventField::Index => return Err("no 'event_index' property has been set".into()),
        })
    }

    pub fn set(self, on: &mut On<'_>, value: Value<'_>) -> Result<()> {
        let event = event_mut(on)?;
        match self {
            EventField::TimeUnixNano => event.time_unix_nano = expect::nanoseconds(value)?,
            EventField::Time => event.time_unix_nano = expect::moment(value)?,
            EventField::Name => event.name = expect::text(value)?,
            EventField::Dropped => event.dropped_attributes_count = expect::int(value)? as u32,
            EventField::Index => return Err("the 'event_index' path cannot be modified".into()),
        }
        Ok(())
    }
}
