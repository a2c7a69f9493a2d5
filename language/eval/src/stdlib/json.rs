//! JSON: `encoding.from_json`, `encoding.to_json`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::arguments::{bounded, count, get, holds_secret, tainted};
use crate::value::{FunctionError, Number, Object, Target, Text, Value};

/// A JSON text as written: fields in their order, whole numbers as such.
#[derive(Clone, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Json>),
    /// A name may stand twice; the last one counts.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &Text) -> Result<Json, FunctionError> {
        serde_json::from_str(&text.to_string_lossy()).map_err(|error| FunctionError::new(error.to_string()))
    }

    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => Value::Number(*number),
            Json::String(text) => Value::from(text.as_str()),
            Json::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.as_str(), value.to_value())).collect())
            }
        }
    }

    fn with_floats(self) -> Json {
        match self {
            Json::Number(number) => Json::Number(Number::Float(number.as_f64())),
            Json::Array(items) => Json::Array(items.into_iter().map(Json::with_floats).collect()),
            Json::Object(fields) => {
                Json::Object(fields.into_iter().map(|(name, value)| (name, value.with_floats())).collect())
            }
            other => other,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(Number::Int(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(Number::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(Number::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}

/// All numbers become floats, as Alloy's do.
pub fn from_json(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 1)?;
    Ok(Json::parse(&get(arguments, 0)?)?.with_floats().to_value())
}

pub fn to_json(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 1)?;
    let Value::Object(object) = &arguments[0] else {
        return Err(FunctionError::new("jsonEncode only supports map"));
    };
    let mut text = Vec::new();
    write_object(&mut text, object)?;
    Ok(tainted(Text::from(text), holds_secret(&arguments[0])))
}

fn write_value(text: &mut Vec<u8>, value: &Value) -> Result<(), FunctionError> {
    bounded(text.len())?;
    match value {
        Value::Null => text.extend(b"null"),
        Value::Bool(truth) => text.extend(truth.to_string().bytes()),
        Value::Number(Number::Float(number)) => {
            let written = base_stdx::float::json(*number).ok_or_else(|| {
                FunctionError::new(format!("json: unsupported value: {}", base_stdx::float::general(*number)))
            })?;
            text.extend(written.bytes());
        }
        Value::Number(number) => text.extend(number.to_string().bytes()),
        Value::String(string) => write_string(text, &string.to_string_lossy()),
        // The result is a secret when this one is: see `holds_secret`.
        Value::Secret(secret) => write_string(text, &secret.value.to_string_lossy()),
        Value::Array(items) => {
            text.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write_value(text, item)?;
            }
            text.push(b']');
        }
        Value::Object(object) => write_object(text, object)?,
        Value::Target(target) => write_target(text, target),
        Value::Capsule(_) => text.extend(b"{}"),
        Value::Function(function) => {
            return Err(FunctionError::new(format!("json: unsupported type: function {}", function.name)));
        }
    }
    Ok(())
}

fn write_object(text: &mut Vec<u8>, object: &Object) -> Result<(), FunctionError> {
    text.push(b'{');
    for (at, (name, value)) in object.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_string(text, name);
        text.push(b':');
        write_value(text, value)?;
    }
    text.push(b'}');
    Ok(())
}

fn write_target(text: &mut Vec<u8>, target: &Target) {
    text.push(b'{');
    for (at, (name, label)) in target.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_string(text, name);
        text.push(b':');
        write_string(text, label);
    }
    text.push(b'}');
}

/// With the escapes of Go's encoder, which also keep the text out of trouble inside HTML and JavaScript.
fn write_string(text: &mut Vec<u8>, string: &str) {
    text.push(b'"');
    for character in string.chars() {
        match character {
            '"' => text.extend(b"\\\""),
            '\\' => text.extend(b"\\\\"),
            '\n' => text.extend(b"\\n"),
            '\r' => text.extend(b"\\r"),
            '\t' => text.extend(b"\\t"),
            '\u{8}' => text.extend(b"\\b"),
            '\u{c}' => text.extend(b"\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.extend(format!("\\u{:04x}", u32::from(character)).bytes());
            }
            other => text.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    text.push(b'"');
}
