//! Texts, and types that are written as a text of their own form: durations, sizes.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use base_stdx::{ByteSize, GoDuration, PrometheusDuration};

use super::{FromValue, ToValue, ValueError};
use crate::schema::TypeSchema;
use crate::value::{Text, Value};

impl FromValue for Text {
    fn from_value(value: &Value) -> Result<Text, ValueError> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string().into()),
            Value::Secret(secret) if secret.is_secret() => {
                Err(ValueError::new("secrets may not be converted into strings")
                    .with_hint("convert.nonsensitive(…) shows a secret on purpose"))
            }
            Value::Secret(secret) => Ok(secret.value.clone()),
            other => Err(ValueError::mismatch("string", other)),
        }
    }

    fn zero() -> Option<Text> {
        Some(Text::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::String
    }
}

impl ToValue for Text {
    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

/// Bytes that are not UTF-8 become U+FFFD; take a [`Text`] where they must survive.
impl FromValue for String {
    fn from_value(value: &Value) -> Result<String, ValueError> {
        Text::from_value(value).map(|text| text.to_string_lossy().into_owned())
    }

    fn zero() -> Option<String> {
        Some(String::new())
    }

    fn schema() -> TypeSchema {
        TypeSchema::String
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::from(self)
    }
}

impl FromValue for Arc<str> {
    fn from_value(value: &Value) -> Result<Arc<str>, ValueError> {
        Text::from_value(value).map(|text| text.to_string_lossy().into())
    }

    fn zero() -> Option<Arc<str>> {
        Some("".into())
    }

    fn schema() -> TypeSchema {
        TypeSchema::String
    }
}

impl ToValue for Arc<str> {
    fn to_value(&self) -> Value {
        Value::from(&**self)
    }
}

/// For a type with a text form: the text (a number counts as its digits), parsed; the parser's error is the message.
pub fn parse_text<T: FromStr<Err: Display>>(value: &Value) -> Result<T, ValueError> {
    let text = Text::from_value(value)?;
    let text = text.as_str().ok_or_else(|| ValueError::new("is not valid UTF-8"))?;
    text.parse().map_err(|error: T::Err| ValueError::new(error.to_string()))
}

macro_rules! parsed {
    ($($type:ty => $schema:expr, $hint:expr;)*) => {$(
        /// `null` is refused: Alloy takes it for zero and dies of it later (spec §9, 40a).
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<$type, ValueError> {
                parse_text(value).map_err(|error| match error.hint {
                    Some(_) => error,
                    None => error.with_hint($hint(value)),
                })
            }

            fn zero() -> Option<$type> {
                None
            }

            fn absent() -> Option<$type> {
                Some(<$type>::default())
            }

            fn schema() -> TypeSchema {
                $schema
            }
        }

        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::from(self.to_string())
            }
        }
    )*};
}

parsed!(
    GoDuration => TypeSchema::Duration, timed;
    PrometheusDuration => TypeSchema::Text("Prometheus duration"), |_: &Value| "a time is written with its units: \"15s\", \"12h\", \"7d\"";
    ByteSize => TypeSchema::Text("bytes size"), sized;
);

/// Days and weeks are known to other systems, and not here.
fn timed(value: &Value) -> String {
    let text = Text::from_value(value).ok();
    let text = text.as_ref().and_then(Text::as_str).unwrap_or_default();
    let days =
        text.strip_suffix('d').map(|days| (days, 24)).or_else(|| text.strip_suffix('w').map(|weeks| (weeks, 168)));
    let hours = days.and_then(|(number, hours)| number.parse::<u32>().ok()?.checked_mul(hours));
    match hours {
        Some(hours) => format!("the largest unit is the hour: \"{hours}h\""),
        None => "a time is written with its units: \"15s\", \"1m30s\", \"12h\"".to_owned(),
    }
}

/// A number alone is what many sizes are elsewhere: what it would be here is written out.
fn sized(value: &Value) -> String {
    let bytes = Text::from_value(value).ok().and_then(|text| text.as_str()?.trim().parse().ok());
    let meant = bytes.map(|bytes| format!("; if {bytes} are bytes, \"{}\"", ByteSize(bytes)));
    format!("a size is written with its unit: \"512KiB\", \"1MiB\"{}", meant.unwrap_or_default())
}
