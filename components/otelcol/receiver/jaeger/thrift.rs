//! Spans as Thrift: what jaeger.thrift and agent.thrift of jaeger-idl define.

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Text};
use sdk_protocols_thrift::{Encoding, Malformed, Reader, Type};

use super::model::{Log, Process, Reference, ReferenceKind, Span, Tag};
use super::translate::{self, Group, payload};

/// What the structures take at least, in the shorter encoding: so many bytes for each field that must be there, and an end.
const LEAST_TAG: usize = 5;
const LEAST_LOG: usize = 5;
const LEAST_REFERENCE: usize = 9;
const LEAST_SPAN: usize = 17;

/// The OTLP payload of the body of a request: a `Batch`.
pub(super) fn of_body(body: &Bytes) -> Result<Bytes, String> {
    Batches { source: body }.batch(&mut Reader::new(Encoding::Binary, body)).map_err(|malformed| malformed.to_string())
}

/// The OTLP payload of a datagram: a call of `emitBatch` with a `Batch`.
pub(super) fn of_datagram(encoding: Encoding, datagram: &Bytes) -> Result<Bytes, String> {
    let malformed = |malformed: Malformed| malformed.to_string();
    let mut reader = Reader::new(encoding, datagram);
    let message = reader.message().map_err(malformed)?;
    if message.name != b"emitBatch" {
        return Err(format!("unknown method {:?}", String::from_utf8_lossy(message.name)));
    }
    let mut batch = Bytes::new();
    let arguments = reader.structure(|reader, field| match (field.id, field.kind) {
        (1, Type::Struct) => {
            batch = Batches { source: datagram }.batch(reader)?;
            Ok(())
        }
        (_, kind) => reader.skip(kind),
    });
    arguments.map_err(malformed)?;
    Ok(batch)
}

/// Reads batches; texts are slices of the source.
struct Batches<'a> {
    source: &'a Bytes,
}

// === impl Batches ===

impl<'a> Batches<'a> {
    fn batch(&self, reader: &mut Reader<'a>) -> Result<Bytes, Malformed> {
        let mut process = None;
        let mut spans: Option<Group> = None;
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::Struct) => process = Some(self.process(reader)?),
                (2, Type::List) => {
                    let mut group = Group::default();
                    let count = reader.list(Type::Struct, LEAST_SPAN)?;
                    let scope = if count == 0 { 0 } else { group.scope(Text::default(), Text::default()) };
                    for _ in 0..count {
                        let span = self.span(reader)?;
                        if span != Span::default() {
                            group.push(scope, &translate::span(span, false));
                        }
                    }
                    spans = Some(group);
                }
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        let process = required(process, "process", "Batch")?;
        let mut group = required(spans, "spans", "Batch")?;
        group.set_resource(&translate::resource(process));
        Ok(payload([&group]))
    }

    fn process(&self, reader: &mut Reader<'a>) -> Result<Process, Malformed> {
        let (mut service_name, mut tags) = (None, Vec::new());
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::Bytes) => service_name = Some(self.text(reader)?),
                (2, Type::List) => tags = self.tags(reader)?,
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        Ok(Process { service_name: required(service_name, "serviceName", "Process")?, tags })
    }

    fn span(&self, reader: &mut Reader<'a>) -> Result<Span, Malformed> {
        let mut ids = [None; 4];
        let (mut name, mut flags, mut times) = (None, None, [None; 2]);
        let mut span = Span::default();
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (id @ 1..=4, Type::I64) => ids[id as usize - 1] = Some(reader.i64()?),
                (5, Type::Bytes) => name = Some(self.text(reader)?),
                (6, Type::List) => {
                    let count = reader.list(Type::Struct, LEAST_REFERENCE)?;
                    span.references = (0..count).map(|_| reference(reader)).collect::<Result<_, _>>()?;
                }
                (7, Type::I32) => flags = Some(reader.i32()?),
                (id @ 8..=9, Type::I64) => times[id as usize - 8] = Some(reader.i64()?),
                (10, Type::List) => span.tags = self.tags(reader)?,
                (11, Type::List) => {
                    let count = reader.list(Type::Struct, LEAST_LOG)?;
                    span.logs = (0..count).map(|_| self.log(reader)).collect::<Result<_, _>>()?;
                }
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        let [low, high, id, parent] = ids;
        let [start, duration] = times;
        span.trace_id = trace_id(required(high, "traceIdHigh", "Span")?, required(low, "traceIdLow", "Span")?);
        span.id = required(id, "spanId", "Span")? as u64;
        span.parent = required(parent, "parentSpanId", "Span")? as u64;
        span.name = required(name, "operationName", "Span")?;
        span.flags = required(flags, "flags", "Span")? as u32;
        span.start = nanoseconds(required(start, "startTime", "Span")?);
        span.duration = nanoseconds(required(duration, "duration", "Span")?);
        Ok(span)
    }

    fn log(&self, reader: &mut Reader<'a>) -> Result<Log, Malformed> {
        let (mut timestamp, mut fields) = (None, None);
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::I64) => timestamp = Some(reader.i64()?),
                (2, Type::List) => fields = Some(self.tags(reader)?),
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        Ok(Log {
            timestamp: nanoseconds(required(timestamp, "timestamp", "Log")?),
            fields: required(fields, "fields", "Log")?,
        })
    }

    fn tags(&self, reader: &mut Reader<'a>) -> Result<Vec<Tag>, Malformed> {
        let count = reader.list(Type::Struct, LEAST_TAG)?;
        (0..count).map(|_| self.tag(reader)).collect()
    }

    fn tag(&self, reader: &mut Reader<'a>) -> Result<Tag, Malformed> {
        let (mut key, mut kind) = (None, None);
        let (mut text, mut double, mut truth, mut long, mut binary) = (Text::default(), 0.0, false, 0, Bytes::new());
        reader.structure(|reader, field| {
            match (field.id, field.kind) {
                (1, Type::Bytes) => key = Some(self.text(reader)?),
                (2, Type::I32) => kind = Some(reader.i32()?),
                (3, Type::Bytes) => text = self.text(reader)?,
                (4, Type::Double) => double = reader.double()?,
                (5, Type::Bool) => truth = reader.bool()?,
                (6, Type::I64) => long = reader.i64()?,
                (7, Type::Bytes) => binary = self.source.slice_ref(reader.bytes()?),
                (_, kind) => reader.skip(kind)?,
            }
            Ok(())
        })?;
        let value = match required(kind, "vType", "Tag")? {
            0 => AnyValue::Text(text),
            1 => AnyValue::Double(double),
            2 => AnyValue::Bool(truth),
            3 => AnyValue::Int(long),
            4 => AnyValue::Bytes(binary),
            _ => "<Unknown Jaeger TagType \"<UNSET>\">".into(),
        };
        Ok((required(key, "key", "Tag")?, value))
    }

    fn text(&self, reader: &mut Reader<'a>) -> Result<Text, Malformed> {
        reader.bytes().map(|bytes| Text::from(self.source.slice_ref(bytes)))
    }
}

fn reference(reader: &mut Reader<'_>) -> Result<Reference, Malformed> {
    let (mut kind, mut ids) = (None, [None; 3]);
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Type::I32) => kind = Some(reader.i32()?),
            (id @ 2..=4, Type::I64) => ids[id as usize - 2] = Some(reader.i64()?),
            (_, kind) => reader.skip(kind)?,
        }
        Ok(())
    })?;
    let [low, high, id] = ids;
    Ok(Reference {
        kind: ReferenceKind::of(required(kind, "refType", "SpanRef")?.into()),
        trace_id: trace_id(required(high, "traceIdHigh", "SpanRef")?, required(low, "traceIdLow", "SpanRef")?),
        span_id: required(id, "spanId", "SpanRef")? as u64,
    })
}

fn trace_id(high: i64, low: i64) -> u128 {
    u128::from(high as u64) << 64 | u128::from(low as u64)
}

fn nanoseconds(microseconds: i64) -> u64 {
    (microseconds as u64).wrapping_mul(1000)
}

fn required<T>(value: Option<T>, field: &'static str, structure: &'static str) -> Result<T, Malformed> {
    value.ok_or(Malformed::Missing { field, structure })
}
