//! bool and numbers.

use super::{FromValue, ToValue, ValueError};
use crate::schema::TypeSchema;
use crate::value::{Number, Value};

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<bool, ValueError> {
        match value {
            Value::Bool(truth) => Ok(*truth),
            other => Err(ValueError::mismatch("bool", other)),
        }
    }

    fn zero() -> Option<bool> {
        Some(false)
    }

    fn schema() -> TypeSchema {
        TypeSchema::Bool
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

/// Numbers, and texts that Alloy takes for numbers (spec §2.5): a leading `-` means int64, a point or an exponent float,
/// anything else uint64; no `+`, no blanks, no other base.
pub(crate) fn number(value: &Value) -> Result<Number, ValueError> {
    let text = match value {
        Value::Number(number) => return Ok(*number),
        Value::String(text) => text,
        Value::Secret(secret) if !secret.is_secret() => &secret.value,
        other => return Err(ValueError::mismatch("number", other)),
    };
    let parsed = text.as_str().and_then(|text| {
        if text.starts_with('-') {
            text.parse().ok().map(Number::Int)
        } else if text.contains(['.', 'e', 'E']) {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float)
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse::<u64>().ok().map(Number::from)
        } else {
            None
        }
    });
    parsed.ok_or_else(|| ValueError::mismatch("number", value))
}

/// A whole number within bounds. Alloy cuts fractions off, and so do we; it wraps around at the bounds, and we refuse.
fn integer(value: &Value, least: i128, most: i128) -> Result<i128, ValueError> {
    let number = match number(value)? {
        Number::Int(number) => i128::from(number),
        Number::Uint(number) => i128::from(number),
        // `as` saturates, and takes NaN for 0, which no expression gives.
        Number::Float(number) => number as i128,
    };
    if number < least || number > most {
        return Err(ValueError::new(format!("is out of range: must be from {least} to {most}")));
    }
    Ok(number)
}

macro_rules! integers {
    ($($type:ty => $schema:ident $name:literal),*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<$type, ValueError> {
                let number = integer(value, <$type>::MIN as i128, <$type>::MAX as i128)?;
                Ok(number as $type)
            }

            fn zero() -> Option<$type> {
                Some(0)
            }

            fn schema() -> TypeSchema {
                TypeSchema::$schema
            }

            fn alloy_type() -> String {
                $name.to_owned()
            }
        }

        impl ToValue for $type {
            fn to_value(&self) -> Value {
                match i64::try_from(*self) {
                    Ok(number) => Value::Number(Number::Int(number)),
                    Err(_) => Value::Number(Number::Uint(*self as u64)),
                }
            }
        }
    )*};
}

integers!(
    i8 => Int "int8", i16 => Int "int16", i32 => Int "int32", i64 => Int "int", isize => Int "int",
    u16 => Uint "uint16", u32 => Uint "uint32", u64 => Uint "uint64", usize => Uint "uint"
);

/// A byte; a list of them is also a text.
impl FromValue for u8 {
    fn from_value(value: &Value) -> Result<u8, ValueError> {
        Ok(integer(value, 0, i128::from(u8::MAX))? as u8)
    }

    fn zero() -> Option<u8> {
        Some(0)
    }

    fn schema() -> TypeSchema {
        TypeSchema::Uint
    }

    fn list_from_value(value: &Value) -> Result<Vec<u8>, ValueError> {
        match value {
            Value::String(text) => Ok(text.as_bytes().to_vec()),
            Value::Secret(secret) if !secret.is_secret() => Ok(secret.value.as_bytes().to_vec()),
            other => super::lists::from_array(other),
        }
    }

    fn list_schema() -> TypeSchema {
        TypeSchema::String
    }
}

impl ToValue for u8 {
    fn to_value(&self) -> Value {
        Value::Number(Number::Int(i64::from(*self)))
    }

    fn list_to_value(list: &[u8]) -> Value {
        Value::String(crate::Text::from_bytes(list))
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<f64, ValueError> {
        number(value).map(Number::as_f64)
    }

    fn zero() -> Option<f64> {
        Some(0.0)
    }

    fn schema() -> TypeSchema {
        TypeSchema::Float
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> Value {
        Value::Number(Number::Float(*self))
    }
}

impl FromValue for f32 {
    fn from_value(value: &Value) -> Result<f32, ValueError> {
        let wide = number(value)?.as_f64();
        let narrow = wide as f32;
        if narrow.is_infinite() && wide.is_finite() {
            return Err(ValueError::new(format!("is out of range: must be from {:e} to {:e}", f32::MIN, f32::MAX)));
        }
        Ok(narrow)
    }

    fn zero() -> Option<f32> {
        Some(0.0)
    }

    fn schema() -> TypeSchema {
        TypeSchema::Float
    }

    fn alloy_type() -> String {
        "float32".to_owned()
    }
}

impl ToValue for f32 {
    fn to_value(&self) -> Value {
        Value::Number(Number::Float(f64::from(*self)))
    }
}

impl FromValue for Number {
    fn from_value(value: &Value) -> Result<Number, ValueError> {
        number(value)
    }

    fn zero() -> Option<Number> {
        Some(Number::Int(0))
    }

    fn schema() -> TypeSchema {
        TypeSchema::Float
    }
}

impl ToValue for Number {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }
}
