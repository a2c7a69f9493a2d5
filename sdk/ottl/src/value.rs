//! What an expression gives.

use std::borrow::Cow;

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Buckets, Map, Text};

use crate::error::Error;
use crate::text::json;
use crate::time::Time;

/// A value. Maps and lists of the data are borrowed from it; texts and bytes share its memory.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing: no such key, or an empty value.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Text.
    Text(Text),
    /// Bytes.
    Bytes(Bytes),
    /// Pairs.
    Map(Cow<'a, Map>),
    /// A list of the data, or one that a function made.
    Slice(Cow<'a, [AnyValue]>),
    /// A list as written in the statement.
    List(Vec<Value<'a>>),
    /// Bounds of a histogram.
    Floats(Cow<'a, [f64]>),
    /// Counts of buckets.
    Counts(Cow<'a, [u64]>),
    /// A moment.
    Time(Time),
    /// Nanoseconds.
    Duration(i64),
    /// A trace's id.
    TraceId([u8; 16]),
    /// A span's id.
    SpanId([u8; 8]),
    /// A profile's id.
    ProfileId([u8; 16]),
    /// Buckets of an exponential histogram.
    Buckets(Box<Buckets>),
    /// A part of the data that can only be counted, or set to itself: events, links, points, ...
    Part(Part),
}

/// See [`Value::Part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its Go type, for messages.
    pub name: &'static str,
    /// How many there are, if it is a list.
    pub len: Option<usize>,
}

impl Value<'_> {
    /// Its Go type, for messages: users of the Collector know these.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int64",
            Value::Double(_) => "float64",
            Value::Text(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::Map(_) => "pcommon.Map",
            Value::Slice(_) => "pcommon.Slice",
            Value::List(_) => "[]interface {}",
            Value::Floats(_) => "[]float64",
            Value::Counts(_) => "[]uint64",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::TraceId(_) => "pcommon.TraceID",
            Value::SpanId(_) => "pcommon.SpanID",
            Value::ProfileId(_) => "pprofile.ProfileID",
            Value::Buckets(_) => "pmetric.ExponentialHistogramDataPointBuckets",
            Value::Part(part) => part.name,
        }
    }

    /// Without what it borrows.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Nil => Value::Nil,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Double(value) => Value::Double(value),
            Value::Text(value) => Value::Text(value),
            Value::Bytes(value) => Value::Bytes(value),
            Value::Map(value) => Value::Map(Cow::Owned(value.into_owned())),
            Value::Slice(value) => Value::Slice(Cow::Owned(value.into_owned())),
            Value::List(list) => Value::List(list.into_iter().map(Value::into_owned).collect()),
            Value::Floats(value) => Value::Floats(Cow::Owned(value.into_owned())),
            Value::Counts(value) => Value::Counts(Cow::Owned(value.into_owned())),
            Value::Time(value) => Value::Time(value),
            Value::Duration(value) => Value::Duration(value),
            Value::TraceId(value) => Value::TraceId(value),
            Value::SpanId(value) => Value::SpanId(value),
            Value::ProfileId(value) => Value::ProfileId(value),
            Value::Buckets(value) => Value::Buckets(value),
            Value::Part(value) => Value::Part(value),
        }
    }

    /// As a value of the data, for setting one; what has no form there is refused.
    pub fn into_any(self) -> Result<AnyValue, Error> {
        Ok(match self {
            Value::Nil => AnyValue::Empty,
            Value::Bool(value) => AnyValue::Bool(value),
            Value::Int(value) => AnyValue::Int(value),
            Value::Double(value) => AnyValue::Double(value),
            Value::Text(value) => AnyValue::Text(value),
            Value::Bytes(value) => AnyValue::Bytes(value),
            Value::Map(value) => AnyValue::Map(value.into_owned()),
            Value::Slice(value) => AnyValue::Array(value.into_owned()),
            Value::Floats(value) => AnyValue::Array(value.iter().copied().map(AnyValue::Double).collect()),
            Value::List(list) => {
                AnyValue::Array(list.into_iter().map(Value::into_any).collect::<Result<Vec<_>, Error>>()?)
            }
            other => return Err(Error::new(format!("unsupported type {} for set operation", other.type_name()))),
        })
    }

    /// As a raw value, of which lists are made; unlike [`Value::into_any`], lists as written are taken only if they
    /// hold no map and no list of the data.
    pub(crate) fn into_raw(self) -> Result<AnyValue, Error> {
        match self {
            Value::Map(_) | Value::Slice(_) => Err(Error::new(format!("<Invalid value type {}>", self.type_name()))),
            Value::List(list) => list.into_iter().map(Value::into_raw).collect::<Result<_, _>>().map(AnyValue::Array),
            Value::Counts(counts) => Ok(AnyValue::Array(counts.iter().map(|n| AnyValue::Int(*n as i64)).collect())),
            Value::Time(_) | Value::Duration(_) | Value::TraceId(_) | Value::SpanId(_) | Value::ProfileId(_) => {
                Err(Error::new(format!("<Invalid value type {}>", self.type_name())))
            }
            other => other.into_any(),
        }
    }
}

impl<'a> Value<'a> {
    /// A value of the data.
    pub fn of(any: &'a AnyValue) -> Value<'a> {
        match any {
            AnyValue::Empty => Value::Nil,
            AnyValue::Text(value) => Value::Text(value.clone()),
            AnyValue::Bool(value) => Value::Bool(*value),
            AnyValue::Int(value) => Value::Int(*value),
            AnyValue::Double(value) => Value::Double(*value),
            AnyValue::Array(value) => Value::Slice(Cow::Borrowed(value)),
            AnyValue::Map(value) => Value::Map(Cow::Borrowed(value)),
            AnyValue::Bytes(value) => Value::Bytes(value.clone()),
        }
    }

    /// A value that somebody made.
    pub fn from_any(any: AnyValue) -> Value<'static> {
        match any {
            AnyValue::Empty => Value::Nil,
            AnyValue::Text(value) => Value::Text(value),
            AnyValue::Bool(value) => Value::Bool(value),
            AnyValue::Int(value) => Value::Int(value),
            AnyValue::Double(value) => Value::Double(value),
            AnyValue::Array(value) => Value::Slice(Cow::Owned(value)),
            AnyValue::Map(value) => Value::Map(Cow::Owned(value)),
            AnyValue::Bytes(value) => Value::Bytes(value),
        }
    }

    /// A text made here.
    pub fn text(text: impl Into<String>) -> Value<'static> {
        Value::Text(Text::from(text.into()))
    }

    /// A map made here.
    pub fn map(map: Map) -> Value<'static> {
        Value::Map(Cow::Owned(map))
    }

    /// A list made here.
    pub fn list(values: Vec<AnyValue>) -> Value<'static> {
        Value::Slice(Cow::Owned(values))
    }
}

/// The type of a value of the data, for messages.
pub(crate) fn any_type(any: &AnyValue) -> &'static str {
    match any {
        AnyValue::Empty => "Empty",
        AnyValue::Text(_) => "Str",
        AnyValue::Bool(_) => "Bool",
        AnyValue::Int(_) => "Int",
        AnyValue::Double(_) => "Double",
        AnyValue::Array(_) => "Slice",
        AnyValue::Map(_) => "Map",
        AnyValue::Bytes(_) => "Bytes",
    }
}

/// A value of the data as text: maps and lists as JSON, bytes in base64.
pub(crate) fn as_text(any: &AnyValue) -> Text {
    match any {
        AnyValue::Empty => Text::default(),
        AnyValue::Text(text) => text.clone(),
        AnyValue::Bool(value) => Text::from(value.to_string()),
        AnyValue::Int(value) => Text::from(value.to_string()),
        AnyValue::Double(value) => {
            let mut out = String::new();
            match json::number(*value, &mut out) {
                Ok(()) => Text::from(out),
                Err(message) => Text::from(message),
            }
        }
        AnyValue::Bytes(bytes) => {
            use base64::Engine as _;
            Text::from(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        AnyValue::Array(_) | AnyValue::Map(_) => {
            let mut out = String::new();
            // What JSON cannot say is the empty text, as in the Collector.
            if json::write(any, &mut out).is_err() {
                out.clear();
            }
            Text::from(out)
        }
    }
}
