//! JSON: `encoding.from_json`, `encoding.to_json`.

use std::borrow::Cow;
use std::collections::HashSet;
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
    /// Of a name that stood twice, the last one.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &Text) -> Result<Json, FunctionError> {
        let text = text.to_string_lossy();
        serde_json::from_str(&with_whole_characters(&text)).map_err(|error| FunctionError::new(error.to_string()))
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

/// The text with `\ufffd` for each half of a character that stands alone, as in `"\ud83d"`: Go reads such a text, and who
/// cuts texts at a length writes them.
fn with_whole_characters(text: &str) -> Cow<'_, str> {
    let mut whole = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text.as_bytes()[at..]) {
        at += found;
        // Texts of the same length take each other's place, so that places in errors stay right.
        at += match (escaped_unit(text, at), escaped_unit(text, at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                whole.to_mut().replace_range(at..at + 6, "\\ufffd");
                6
            }
            (Some(_), _) => 6,
            // An escape of two bytes; the second may begin a longer character, in a text that is wrong anyway.
            (None, _) => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    whole
}

/// What `\u1234` stands for, if that is there.
fn escaped_unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
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
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        let mut known = HashSet::with_capacity(object.len());
        let last: Vec<bool> = object.iter().rev().map(|(name, _)| known.insert(name.as_str())).collect();
        if last.contains(&false) {
            let mut last = last.into_iter().rev();
            object.retain(|_| last.next() == Some(true));
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
        Value::String(string) => write_text(text, string.as_bytes()),
        // The result is a secret when this one is: see `holds_secret`.
        Value::Secret(secret) => write_text(text, secret.value.as_bytes()),
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
    write_text(text, string.as_bytes());
}

/// A byte that is no UTF-8 becomes the escape of the character that stands for such bytes.
fn write_text(text: &mut Vec<u8>, string: &[u8]) {
    text.push(b'"');
    for chunk in string.utf8_chunks() {
        write_characters(text, chunk.valid());
        chunk.invalid().iter().for_each(|_| text.extend(b"\\ufffd"));
    }
    text.push(b'"');
}

fn write_characters(text: &mut Vec<u8>, string: &str) {
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
}
