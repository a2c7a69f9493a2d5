//! What a field takes.

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Text};

use crate::coerce::from_hexadecimal;
use crate::error::{Error, Result};
use crate::time::Time;
use crate::value::Value;

macro_rules! expect {
    ($($name:ident: $variant:ident -> $type:ty, $go:literal;)*) => {
        $(pub fn $name(value: Value<'_>) -> Result<$type> {
            match value {
                Value::$variant(value) => Ok(value),
                other => Err(unexpected(&other, $go)),
            }
        })*
    };
}

expect! {
    int: Int -> i64, "int64";
    double: Double -> f64, "float64";
    boolean: Bool -> bool, "bool";
    text: Text -> Text, "string";
    time: Time -> Time, "time.Time";
    trace_id: TraceId -> [u8; 16], "pcommon.TraceID";
    span_id: SpanId -> [u8; 8], "pcommon.SpanID";
}

pub fn unexpected(value: &Value<'_>, wanted: &str) -> Error {
    match value {
        Value::Nil => "setting a value to nil is not supported".into(),
        other => Error::new(format!("expects {wanted} but got {}", other.type_name())),
    }
}

/// A part of the data takes itself; nothing else can hold one.
pub fn part(value: &Value<'_>, name: &'static str) -> Result<()> {
    match value {
        Value::Part(part) if part.name == name => Ok(()),
        other => Err(unexpected(other, name)),
    }
}

/// As many nanoseconds as a time or an id of the wire has.
pub fn nanoseconds(value: Value<'_>) -> Result<u64> {
    int(value).map(|nanoseconds| nanoseconds as u64)
}

/// Nanoseconds of a moment.
pub fn moment(value: Value<'_>) -> Result<u64> {
    time(value).map(|time| time.unix_nano() as u64)
}

/// An id as it is sent: none when it is zero.
pub fn id_bytes(id: &[u8]) -> Bytes {
    if id.iter().all(|byte| *byte == 0) { Bytes::new() } else { Bytes::copy_from_slice(id) }
}

/// An id of the wire; one of a wrong length is zero.
pub fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// An id from hexadecimal digits.
pub fn id_of_text<const N: usize>(text: &Text, what: &str) -> Result<[u8; N]> {
    let digits = text.as_bytes();
    // Half of an odd length is rounded down, and the odd digit found out afterwards.
    if digits.len() / 2 != N {
        return Err(Error::new(format!("{what} ids must be {} hex characters", N * 2)));
    }
    from_hexadecimal(digits)
        .and_then(|bytes| bytes.try_into().map_err(|_| "encoding/hex: odd length hex string".into()))
}

/// Numbers of one type.
pub fn numbers<T>(value: Value<'_>, of: &'static str, each: impl Fn(&AnyValue) -> Option<T>) -> Result<Vec<T>> {
    let bad = || Error::new(format!("invalid value type provided for a slice of {of}"));
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Slice(list) => list.iter().map(|value| each(value).ok_or_else(bad)).collect(),
        Value::List(list) => {
            let list = list.into_iter().map(Value::into_raw);
            list.map(|value| each(&value?).ok_or_else(bad)).collect()
        }
        other => Err(Error::new(format!("cannot set a slice of {of} from a value type: {}", other.type_name()))),
    }
}

/// Counts of buckets.
pub fn counts(value: Value<'_>) -> Result<Vec<u64>> {
    match value {
        Value::Counts(counts) => Ok(counts.into_owned()),
        other => numbers(other, "uint64", |value| if let AnyValue::Int(n) = value { Some(*n as u64) } else { None }),
    }
}

/// Bounds of buckets.
pub fn bounds(value: Value<'_>) -> Result<Vec<f64>> {
    match value {
        Value::Floats(bounds) => Ok(bounds.into_owned()),
        other => numbers(other, "float64", |value| if let AnyValue::Double(n) = value { Some(*n) } else { None }),
    }
}
