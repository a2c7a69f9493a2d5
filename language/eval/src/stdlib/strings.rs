//! `string.*`, but for `format`.

use memchr::memmem;

use super::arguments::{bounded, count, get, only};
use crate::value::{FunctionError, Text, Value};

pub fn join(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let parts: Vec<Text> = get(arguments, 0)?;
    let separator: Text = get(arguments, 1)?;
    let separators = separator.as_bytes().len().saturating_mul(parts.len());
    bounded(parts.iter().map(|part| part.as_bytes().len()).sum::<usize>().saturating_add(separators))?;
    let parts: Vec<&[u8]> = parts.iter().map(Text::as_bytes).collect();
    Ok(Value::String(Text::from(parts.join(separator.as_bytes()))))
}

pub fn replace(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 3)?;
    let (text, old, new): (Text, Text, Text) = (get(arguments, 0)?, get(arguments, 1)?, get(arguments, 2)?);
    let (text, old, new) = (text.as_bytes(), old.as_bytes(), new.as_bytes());
    if old.is_empty() {
        // Before each character, and at the end.
        let characters = characters(text);
        bounded(new.len().saturating_mul(characters.len() + 1).saturating_add(text.len()))?;
        let mut result = new.to_vec();
        for character in characters {
            result.extend_from_slice(character);
            result.extend_from_slice(new);
        }
        return Ok(Value::String(Text::from(result)));
    }
    let found = memmem::find_iter(text, old).count();
    bounded(new.len().saturating_mul(found).saturating_add(text.len()))?;
    let mut result = Vec::with_capacity(text.len());
    let mut rest = 0;
    for at in memmem::find_iter(text, old) {
        result.extend_from_slice(&text[rest..at]);
        result.extend_from_slice(new);
        rest = at + old.len();
    }
    result.extend_from_slice(&text[rest..]);
    Ok(Value::String(Text::from(result)))
}

pub fn split(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let (text, separator): (Text, Text) = (get(arguments, 0)?, get(arguments, 1)?);
    let (text, separator) = (text.as_bytes(), separator.as_bytes());
    let mut parts = Vec::new();
    if separator.is_empty() {
        parts.extend(characters(text));
    } else {
        let mut rest = 0;
        for at in memmem::find_iter(text, separator) {
            parts.push(&text[rest..at]);
            rest = at + separator.len();
        }
        parts.push(&text[rest..]);
    }
    Ok(Value::Array(parts.into_iter().map(|part| Value::String(Text::from_bytes(part))).collect()))
}

pub fn to_lower(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: String = only(arguments)?;
    // One character for one, as Go does.
    let lower = text.chars().map(|character| character.to_lowercase().next().unwrap_or(character));
    Ok(Value::from(lower.collect::<String>()))
}

pub fn to_upper(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: String = only(arguments)?;
    let upper = text.chars().map(|character| {
        let mut upper = character.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    });
    Ok(Value::from(upper.collect::<String>()))
}

pub fn trim(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let (text, cut): (String, String) = (get(arguments, 0)?, get(arguments, 1)?);
    Ok(Value::from(text.trim_matches(|character| cut.contains(character))))
}

pub fn trim_prefix(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let (text, prefix): (Text, Text) = (get(arguments, 0)?, get(arguments, 1)?);
    let rest = text.as_bytes().strip_prefix(prefix.as_bytes());
    Ok(Value::String(rest.map_or(text.clone(), Text::from_bytes)))
}

pub fn trim_suffix(arguments: &[Value]) -> Result<Value, FunctionError> {
    count(arguments, 2)?;
    let (text, suffix): (Text, Text) = (get(arguments, 0)?, get(arguments, 1)?);
    let rest = text.as_bytes().strip_suffix(suffix.as_bytes());
    Ok(Value::String(rest.map_or(text.clone(), Text::from_bytes)))
}

pub fn trim_space(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: String = only(arguments)?;
    Ok(Value::from(text.trim()))
}

/// Each character as its bytes; a byte that belongs to none is one by itself.
fn characters(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            parts.push(&text[at..at + character.len_utf8()]);
            at += character.len_utf8();
        }
        for _ in chunk.invalid() {
            parts.push(&text[at..=at]);
            at += 1;
        }
    }
    parts
}
