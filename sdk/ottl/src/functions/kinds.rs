//! Converters that ask what a value is.

use super::{Arguments, Built, Function, Kind, converter, everywhere, required};
use crate::coerce;
use crate::error::Error;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("IsBool", &[required("Target", Kind::Bool)], |a| is(a, |value| matches!(value, Value::Bool(_)))),
    everywhere("IsDouble", &[required("Target", Kind::Double)], |a| is(a, |value| matches!(value, Value::Double(_)))),
    everywhere("IsInt", &[required("Target", Kind::Int)], |a| is(a, |value| matches!(value, Value::Int(_)))),
    everywhere("IsString", &[required("Target", Kind::Text)], |a| is(a, |value| matches!(value, Value::Text(_)))),
    everywhere("IsMap", &[required("Target", Kind::Map)], |a| is(a, |value| matches!(value, Value::Map(_)))),
    everywhere("IsList", &[required("Target", Kind::Any)], |a| is(a, is_list)),
    everywhere("IsEmpty", &[required("Target", Kind::Any)], |a| is(a, is_empty)),
    everywhere("IsMatch", &[required("Target", Kind::TextLike), required("Pattern", Kind::Text)], |a| {
        let (target, pattern) = (a.expression(0)?, a.pattern(1, "IsMatch")?);
        converter(move |on| {
            let pattern = pattern.get(on)?;
            let text = coerce::text_like(&target, on)?;
            Ok(Value::Bool(text.is_some_and(|text| pattern.is_match(text.as_bytes()))))
        })
    }),
    everywhere("IsValidLuhn", &[required("Target", Kind::TextLike)], is_valid_luhn),
];

fn is(a: &mut Arguments, test: fn(&Value<'_>) -> bool) -> Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| Ok(Value::Bool(test(&target.get(on)?))))
}

fn is_list(value: &Value<'_>) -> bool {
    match value {
        Value::Slice(_) | Value::List(_) | Value::Floats(_) => true,
        Value::Part(part) => part.len.is_some(),
        _ => false,
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Nil => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Double(value) => value.to_bits() == 0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Map(map) => map.0.is_empty(),
        Value::Slice(list) => list.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Floats(list) => list.is_empty(),
        Value::Counts(list) => list.is_empty(),
        Value::TraceId(id) | Value::ProfileId(id) => *id == [0; 16],
        Value::SpanId(id) => *id == [0; 8],
        Value::Part(part) => part.len == Some(0),
        Value::Time(_) | Value::Buckets(_) => false,
    }
}

/// Whether a number ends in the right check digit. Blanks do not count.
fn is_valid_luhn(a: &mut Arguments) -> Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| {
        let Some(text) = coerce::text_like(&target, on)? else { return Err("invalid input: <nil>".into()) };
        let digits = text.as_bytes().iter().filter(|byte| **byte != b' ');
        let digit = |byte: &u8| {
            let digit = (*byte as char).to_digit(10);
            digit.ok_or_else(|| Error::new(format!("strconv.Atoi: parsing \"{}\": invalid syntax", *byte as char)))
        };
        let digits = digits.map(digit).collect::<crate::error::Result<Vec<u32>>>()?;
        let Some((check, rest)) = digits.split_last() else { return Ok(Value::Bool(false)) };
        let weighed = rest.iter().rev().enumerate().map(|(at, digit)| match digit * 2 {
            _ if at % 2 == 1 => *digit,
            doubled if doubled > 9 => doubled - 9,
            doubled => doubled,
        });
        Ok(Value::Bool((10 - weighed.sum::<u32>() % 10) % 10 == *check))
    })
}
