//! What functions take: a value of one type, or anything that can be made one.

use std::borrow::Cow;

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Map, Text};

use crate::context::On;
use crate::error::{Error, Result};
use crate::expression::Expression;
use crate::text::json;
use crate::time::Time;
use crate::value::Value;

fn expected(wanted: &str, value: &Value<'_>) -> Error {
    let name = if matches!(value, Value::Nil) { "nil" } else { value.type_name() };
    Error::new(format!("expected {wanted} but got {name}"))
}

macro_rules! exactly {
    ($($name:ident: $variant:ident -> $type:ty, $wanted:literal;)*) => {
        $(pub(crate) fn $name(expression: &Expression, on: &On<'_>) -> Result<$type> {
            match expression.get(on)? {
                Value::$variant(value) => Ok(value),
                other => Err(expected($wanted, &other)),
            }
        })*
    };
}

exactly! {
    text: Text -> Text, "string";
    int: Int -> i64, "int64";
    time: Time -> Time, "time";
    duration: Duration -> i64, "duration";
}

/// Pairs.
pub(crate) fn map<'a>(expression: &Expression, on: &'a On<'_>) -> Result<Cow<'a, Map>> {
    as_map(expression.get(on)?)
}

pub(crate) fn as_map(value: Value<'_>) -> Result<Cow<'_, Map>> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(expected("pcommon.Map", &other)),
    }
}

/// A list of any kind.
pub(crate) fn list<'a>(expression: &Expression, on: &'a On<'_>) -> Result<Cow<'a, [AnyValue]>> {
    as_list(expression.get(on)?)
}

pub(crate) fn as_list(value: Value<'_>) -> Result<Cow<'_, [AnyValue]>> {
    match value {
        Value::Slice(list) => Ok(list),
        list @ (Value::List(_) | Value::Floats(_) | Value::Counts(_)) => match list.into_raw()? {
            AnyValue::Array(list) => Ok(Cow::Owned(list)),
            other => Err(expected("pcommon.Slice", &Value::of(&other))),
        },
        other => Err(expected("pcommon.Slice", &other)),
    }
}

/// Anything as text; nil has none. Bytes are written in hexadecimal digits, lists and maps as JSON.
pub(crate) fn text_like(expression: &Expression, on: &On<'_>) -> Result<Option<Text>> {
    as_text_like(expression.get(on)?)
}

pub(crate) fn as_text_like(value: Value<'_>) -> Result<Option<Text>> {
    let mut out = String::new();
    match value {
        Value::Nil => return Ok(None),
        Value::Text(text) => return Ok(Some(text)),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Int(value) | Value::Duration(value) => out.push_str(&value.to_string()),
        Value::Double(value) => json::number(value, &mut out)?,
        Value::Bytes(bytes) => out = hexadecimal(&bytes),
        Value::Map(map) => json::map(&map, &mut out)?,
        Value::Slice(list) => json::list(&list, &mut out)?,
        Value::Time(time) => json::quote(&time.rfc3339(), &mut out),
        Value::TraceId(id) | Value::ProfileId(id) => numbers(&id, &mut out),
        Value::SpanId(id) => numbers(&id, &mut out),
        list @ (Value::List(_) | Value::Floats(_) | Value::Counts(_)) => json::write(&list.into_raw()?, &mut out)?,
        // What is inside cannot be seen.
        Value::Buckets(_) | Value::Part(_) => out.push_str("{}"),
    }
    Ok(Some(Text::from(out)))
}

fn numbers(id: &[u8], out: &mut String) {
    let numbers: Vec<String> = id.iter().map(u8::to_string).collect();
    out.push_str(&format!("[{}]", numbers.join(",")));
}

/// Bytes in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

/// Bytes from hexadecimal digits.
pub(crate) fn from_hexadecimal(digits: &[u8]) -> Result<Vec<u8>> {
    let digit = |byte: u8| {
        let digit = (byte as char).to_digit(16);
        digit.ok_or_else(|| Error::new(format!("encoding/hex: invalid byte: {:?}", byte as char)))
    };
    if digits.len() % 2 == 1 {
        return Err("encoding/hex: odd length hex string".into());
    }
    digits.chunks_exact(2).map(|pair| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

fn unsupported(value: &Value<'_>) -> Error {
    Error::new(format!("unsupported type: {}", value.type_name()))
}

/// A number.
pub(crate) fn float_like(expression: &Expression, on: &On<'_>) -> Result<Option<f64>> {
    as_float_like(&expression.get(on)?)
}

pub(crate) fn as_float_like(value: &Value<'_>) -> Result<Option<f64>> {
    Ok(Some(match value {
        Value::Nil => return Ok(None),
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => parse_float(&text.as_str())?,
        other => return Err(unsupported(other)),
    }))
}

/// A number as Go reads it: also with `_` between digits only in other bases, which nobody has; so `1_000` is none.
pub(crate) fn parse_float(text: &str) -> Result<f64> {
    let bad = || {
        Error::new(format!("strconv.ParseFloat: parsing {}: invalid syntax", base_stdx::quote::quote(text.as_bytes())))
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let value: f64 = match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if unsigned.len() == text.len() => return Ok(f64::NAN),
        lower if lower.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            lower.parse().map_err(|_| bad())?
        }
        _ => return Err(bad()),
    };
    if value.is_infinite() && unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        let quoted = base_stdx::quote::quote(text.as_bytes());
        return Err(Error::new(format!("strconv.ParseFloat: parsing {quoted}: value out of range")));
    }
    Ok(if text.starts_with('-') { -value } else { value })
}

/// A whole number; fractions are cut off, and a text that is none is nil.
pub(crate) fn int_like(expression: &Expression, on: &On<'_>) -> Result<Option<i64>> {
    as_int_like(&expression.get(on)?)
}

pub(crate) fn as_int_like(value: &Value<'_>) -> Result<Option<i64>> {
    Ok(match value {
        Value::Nil => None,
        Value::Int(value) => Some(*value),
        // What does not fit becomes the least number, as on Go's usual machines.
        Value::Double(value) if !(i64::MIN as f64..-(i64::MIN as f64)).contains(value) => Some(i64::MIN),
        Value::Double(value) => Some(*value as i64),
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Text(text) => text.as_str().parse().ok(),
        other => return Err(unsupported(other)),
    })
}

/// A truth value.
pub(crate) fn bool_like(expression: &Expression, on: &On<'_>) -> Result<Option<bool>> {
    as_bool_like(&expression.get(on)?)
}

pub(crate) fn as_bool_like(value: &Value<'_>) -> Result<Option<bool>> {
    Ok(Some(match value {
        Value::Nil => return Ok(None),
        Value::Bool(value) => *value,
        Value::Int(value) => *value != 0,
        Value::Double(value) => *value != 0.0,
        Value::Text(text) => parse_bool(&text.as_str())?,
        other => return Err(unsupported(other)),
    }))
}

/// A truth value as Go reads it.
pub(crate) fn parse_bool(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            let quoted = base_stdx::quote::quote(text.as_bytes());
            Err(Error::new(format!("strconv.ParseBool: parsing {quoted}: invalid syntax")))
        }
    }
}

/// Bytes; numbers are written big-endian.
pub(crate) fn bytes_like(expression: &Expression, on: &On<'_>) -> Result<Bytes> {
    as_bytes_like(expression.get(on)?)
}

pub(crate) fn as_bytes_like(value: Value<'_>) -> Result<Bytes> {
    Ok(match value {
        Value::Nil => Bytes::new(),
        Value::Bytes(bytes) => bytes,
        Value::Text(text) => text.as_bytes().clone(),
        Value::Int(value) => Bytes::copy_from_slice(&value.to_be_bytes()),
        Value::Double(value) => Bytes::copy_from_slice(&value.to_be_bytes()),
        Value::Bool(value) => Bytes::copy_from_slice(&[u8::from(value)]),
        other => return Err(unsupported(&other)),
    })
}
