//! Spans as protobuf: what `PostSpans` of jaeger-idl's api_v2 gets.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, KeyValue, Message as _, Text};
use sdk_protocols_otlp::wire::{Fields, Value};

use super::model::{Log, Process, Reference, ReferenceKind, Span, Tag};
use super::translate::{self, Group, payload};

/// The service of processes that stand for none.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";
/// What is not set is the year 1 in Go: its seconds, and the nanoseconds that 64 bits make of them.
const FIRST_SECOND: i64 = -62_135_596_800;
const NO_TIME: u64 = FIRST_SECOND.wrapping_mul(1_000_000_000) as u64;
/// The second after the last one that is a timestamp.
const LAST_SECOND: i64 = 253_402_300_800;
/// Seconds of the longest duration.
const LONGEST: i64 = 315_576_000_000;

/// The OTLP payload of a `PostSpansRequest`.
pub(super) fn read(request: Bytes) -> Result<Bytes, String> {
    Request { source: &request }.read()
}

/// Reads a request; texts are slices of the source.
struct Request<'a> {
    source: &'a Bytes,
}

/// A field's place in the source, and what it holds.
type Field<'a> = (Range<usize>, Value<'a>);

/// Spans by what made them: spans may bring a process of their own, and equal ones are one.
#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    places: HashMap<Vec<u8>, usize>,
}

// === impl Groups ===

impl Groups {
    /// The group of a process, or of none.
    fn of(&mut self, process: Process) -> usize {
        let mut identity = process.service_name.as_bytes().to_vec();
        for (key, value) in &process.tags {
            let pair = KeyValue { key: key.clone(), value: Some(value.clone()), unknown: Vec::new() };
            identity.extend_from_slice(&pair.encode());
        }
        let groups = &mut self.groups;
        *self.places.entry(identity).or_insert_with(|| {
            let mut group = Group::default();
            if process.service_name != *NO_SERVICE {
                group.set_resource(&translate::resource(process));
            }
            groups.push(group);
            groups.len() - 1
        })
    }
}

// === impl Request ===

impl<'a> Request<'a> {
    fn read(&self) -> Result<Bytes, String> {
        let mut batches = Vec::new();
        self.each(0..self.source.len(), |number, field| {
            if number == 1 {
                batches.push(bytes(number, field)?);
            }
            Ok(())
        })?;
        // The process stands behind the spans, and they need it first.
        let mut process: Option<Process> = None;
        for batch in &batches {
            self.each(batch.clone(), |number, field| match number {
                2 => self.process(bytes(number, field)?, process.get_or_insert_default()),
                _ => Ok(()),
            })?;
        }
        let named = process.is_some();
        let mut groups = Groups::default();
        let first = groups.of(process.unwrap_or_default());
        for batch in batches {
            self.each(batch, |number, field| {
                if number != 1 {
                    return Ok(());
                }
                let (mut span, process) = self.span(bytes(number, field)?)?;
                if span == blank() && process.is_none() {
                    return Ok(());
                }
                let group = process.map_or(first, |process| groups.of(process));
                let group = &mut groups.groups[group];
                let (name, version) = scope(&mut span.tags);
                let scope = group.scope(name, version);
                group.push(scope, &translate::span(span, true));
                Ok(())
            })?;
        }
        let nobody = |place: usize, group: &Group| place == first && !named && group.is_empty();
        Ok(payload(
            groups.groups.iter().enumerate().filter(|(place, group)| !nobody(*place, group)).map(|(_, group)| group),
        ))
    }

    /// Hands every field of a message to `take`.
    fn each(
        &self,
        message: Range<usize>,
        mut take: impl FnMut(u32, Field<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut fields = Fields::inside(self.source, message);
        while let Some(field) = fields.try_next().map_err(|malformed| format!("proto: {malformed}"))? {
            take(field.number, (field.body(), field.value))?;
        }
        Ok(())
    }

    fn process(&self, message: Range<usize>, process: &mut Process) -> Result<(), String> {
        self.each(message, |number, field| {
            match number {
                1 => process.service_name = self.text(number, field)?,
                2 => process.tags.push(self.tag(bytes(number, field)?)?),
                _ => {}
            }
            Ok(())
        })
    }

    fn span(&self, message: Range<usize>) -> Result<(Span, Option<Process>), String> {
        let mut span = blank();
        let mut process: Option<Process> = None;
        self.each(message, |number, field| {
            match number {
                1 => span.trace_id = self.trace_id(number, field)?,
                2 => span.id = self.span_id(number, field)?,
                3 => span.name = self.text(number, field)?,
                4 => span.references.push(self.reference(bytes(number, field)?)?),
                5 => span.flags = varint(number, field)? as u32,
                6 => span.start = self.timestamp(bytes(number, field)?)?,
                7 => span.duration = self.duration(bytes(number, field)?)?,
                8 => span.tags.push(self.tag(bytes(number, field)?)?),
                9 => span.logs.push(self.log(bytes(number, field)?)?),
                10 => self.process(bytes(number, field)?, process.get_or_insert_default())?,
                11 | 12 => bytes(number, field).map(|_| ())?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((span, process))
    }

    fn reference(&self, message: Range<usize>) -> Result<Reference, String> {
        let mut reference = Reference { trace_id: 0, span_id: 0, kind: ReferenceKind::ChildOf };
        self.each(message, |number, field| {
            match number {
                1 => reference.trace_id = self.trace_id(number, field)?,
                2 => reference.span_id = self.span_id(number, field)?,
                3 => reference.kind = ReferenceKind::of(i64::from(varint(number, field)? as i32)),
                _ => {}
            }
            Ok(())
        })?;
        Ok(reference)
    }

    fn log(&self, message: Range<usize>) -> Result<Log, String> {
        let mut log = Log { timestamp: NO_TIME, fields: Vec::new() };
        self.each(message, |number, field| {
            match number {
                1 => log.timestamp = self.timestamp(bytes(number, field)?)?,
                2 => log.fields.push(self.tag(bytes(number, field)?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(log)
    }

    fn tag(&self, message: Range<usize>) -> Result<Tag, String> {
        let (mut key, mut kind) = (Text::default(), 0);
        let (mut text, mut truth, mut long, mut double, mut binary) = (Text::default(), false, 0, 0.0, Bytes::new());
        self.each(message, |number, field| {
            match number {
                1 => key = self.text(number, field)?,
                2 => kind = varint(number, field)? as i32,
                3 => text = self.text(number, field)?,
                4 => truth = varint(number, field)? != 0,
                5 => long = varint(number, field)? as i64,
                6 => match field.1 {
                    Value::Fixed64(bits) => double = f64::from_bits(bits),
                    _ => return Err(wrong(number)),
                },
                7 => binary = self.source.slice(bytes(number, field)?),
                _ => {}
            }
            Ok(())
        })?;
        let value = match kind {
            0 => AnyValue::Text(text),
            1 => AnyValue::Bool(truth),
            2 => AnyValue::Int(long),
            3 => AnyValue::Double(double),
            4 => AnyValue::Bytes(binary),
            other => AnyValue::from(format!("<Unknown Jaeger TagType \"{other}\">")),
        };
        Ok((key, value))
    }

    fn text(&self, number: u32, field: Field<'a>) -> Result<Text, String> {
        Ok(Text::from(self.source.slice(bytes(number, field)?)))
    }

    fn trace_id(&self, number: u32, field: Field<'a>) -> Result<u128, String> {
        let id = &self.source[bytes(number, field)?];
        match id.len() {
            8 | 16 => Ok(id.iter().fold(0, |id, byte| id << 8 | u128::from(*byte))),
            _ => Err("invalid length for TraceID".to_owned()),
        }
    }

    fn span_id(&self, number: u32, field: Field<'a>) -> Result<u64, String> {
        let id = &self.source[bytes(number, field)?];
        id.try_into().map(u64::from_be_bytes).map_err(|_| "invalid length for SpanID".to_owned())
    }

    /// Nanoseconds since 1970.
    fn timestamp(&self, message: Range<usize>) -> Result<u64, String> {
        let (seconds, nanos) = self.seconds(message)?;
        if !(FIRST_SECOND..LAST_SECOND).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
            return Err(format!("timestamp of {seconds} s and {nanos} ns is out of range"));
        }
        Ok(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos.into()) as u64)
    }

    fn duration(&self, message: Range<usize>) -> Result<u64, String> {
        let (seconds, nanos) = self.seconds(message)?;
        let signs_agree = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
        let within = (-LONGEST..=LONGEST).contains(&seconds) && (-999_999_999..=999_999_999).contains(&nanos);
        let duration = seconds.checked_mul(1_000_000_000).and_then(|duration| duration.checked_add(nanos.into()));
        match duration {
            Some(duration) if signs_agree && within => Ok(duration as u64),
            _ => Err(format!("duration of {seconds} s and {nanos} ns is out of range")),
        }
    }

    /// The seconds and nanoseconds of a `Timestamp` or `Duration`.
    fn seconds(&self, message: Range<usize>) -> Result<(i64, i32), String> {
        let (mut seconds, mut nanos) = (0, 0);
        self.each(message, |number, field| {
            match number {
                1 => seconds = varint(number, field)? as i64,
                2 => nanos = varint(number, field)? as i32,
                _ => {}
            }
            Ok(())
        })?;
        Ok((seconds, nanos))
    }
}

/// A span of which nothing is set.
fn blank() -> Span {
    Span { start: NO_TIME, ..Span::default() }
}

/// The scope that the tags name, which then do not; the version only where there is a name.
fn scope(tags: &mut Vec<Tag>) -> (Text, Text) {
    let mut take = |name: &str| {
        let place = tags.iter().position(|(key, _)| *key == *name)?;
        Some(if let (_, AnyValue::Text(text)) = tags.remove(place) { text } else { Text::default() })
    };
    let Some(name) = take("otel.scope.name") else { return Default::default() };
    (name, take("otel.scope.version").unwrap_or_default())
}

fn bytes(number: u32, (place, value): Field<'_>) -> Result<Range<usize>, String> {
    if let Value::Bytes(_) = value { Ok(place) } else { Err(wrong(number)) }
}

fn varint(number: u32, (_, value): Field<'_>) -> Result<u64, String> {
    if let Value::Varint(value) = value { Ok(value) } else { Err(wrong(number)) }
}

fn wrong(number: u32) -> String {
    format!("proto: wrong wire type for field {number}")
}
