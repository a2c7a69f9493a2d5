//! Keys in brackets, applied to maps and lists.

use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};

use crate::context::On;
use crate::error::{Error, Result};
use crate::expression::Expression;
use crate::value::{Value, any_type};

/// A compiled key.
pub(crate) enum Key {
    Text(Text),
    Int(i64),
    Expression(Box<Expression>),
}

/// A key whose value is known.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    Text(Text),
    Int(i64),
}

impl Key {
    /// Its value on an item.
    pub fn resolve(&self, on: &On<'_>) -> Result<Resolved> {
        match self {
            Key::Text(text) => Ok(Resolved::Text(text.clone())),
            Key::Int(index) => Ok(Resolved::Int(*index)),
            Key::Expression(expression) => match expression.get(on)? {
                Value::Text(text) => Ok(Resolved::Text(text)),
                Value::Int(index) => Ok(Resolved::Int(index)),
                Value::Nil => Err("key expression returned nil, expected an int or string".into()),
                other => {
                    let name = other.type_name();
                    Err(Error::new(format!("key expression must evaluate to string or int, got {name}")))
                }
            },
        }
    }
}

/// The values of keys.
pub(crate) fn resolve(keys: &[Key], on: &On<'_>) -> Result<Vec<Resolved>> {
    keys.iter().map(|key| key.resolve(on)).collect()
}

fn no_text() -> Error {
    "unable to resolve a string index in map: the key is no text".into()
}

fn no_index() -> Error {
    "unable to resolve an integer index in slice: the key is no whole number".into()
}

fn out_of_bounds(index: i64) -> Error {
    Error::new(format!("index {index} out of bounds"))
}

fn not_indexable(value: &AnyValue) -> Error {
    Error::new(format!("type {} does not support string indexing", any_type(value)))
}

/// The value under a text, without making a text of the key.
pub(crate) fn lookup<'a>(map: &'a Map, key: &Text) -> Option<&'a AnyValue> {
    map.0.iter().find(|pair| pair.key == *key).map(KeyValue::value)
}

/// Reads a value of a map; what is missing is nil.
pub(crate) fn get<'a>(map: &'a Map, keys: &[Key], on: &'a On<'_>) -> Result<Value<'a>> {
    let Some((first, rest)) = keys.split_first() else { return Ok(Value::Nil) };
    let found = match first {
        // The usual key needs no copy.
        Key::Text(text) => lookup(map, text),
        other => match other.resolve(on)? {
            Resolved::Text(text) => lookup(map, &text),
            Resolved::Int(_) => return Err(no_text()),
        },
    };
    match found {
        None => Ok(Value::Nil),
        Some(value) => get_in(value, rest, on),
    }
}

fn get_in<'a>(mut value: &'a AnyValue, keys: &[Key], on: &'a On<'_>) -> Result<Value<'a>> {
    for key in keys {
        let key = key.resolve(on)?;
        match (value, key) {
            (AnyValue::Map(map), Resolved::Text(text)) => match lookup(map, &text) {
                Some(found) => value = found,
                None => return Ok(Value::Nil),
            },
            (AnyValue::Map(_), _) => return Err(no_text()),
            (AnyValue::Array(list), Resolved::Int(index)) => {
                let found = usize::try_from(index).ok().and_then(|index| list.get(index));
                value = found.ok_or_else(|| out_of_bounds(index))?;
            }
            (AnyValue::Array(_), _) => return Err(no_index()),
            (other, _) => return Err(not_indexable(other)),
        }
    }
    Ok(Value::of(value))
}

/// Reads a value of a body, which must be a map or a list.
pub(crate) fn get_in_body<'a>(body: &'a AnyValue, keys: &[Key], on: &'a On<'_>) -> Result<Value<'a>> {
    match body {
        AnyValue::Map(_) | AnyValue::Array(_) => get_in(body, keys, on),
        other => Err(no_body(other)),
    }
}

fn no_body(body: &AnyValue) -> Error {
    Error::new(format!("log bodies of type {} cannot be indexed", any_type(body)))
}

/// Writes a value of a body, which must be a map or a list.
pub(crate) fn set_in_body(body: &mut AnyValue, keys: &[Resolved], value: Value<'static>) -> Result<()> {
    match body {
        AnyValue::Map(_) | AnyValue::Array(_) => set_in(body, keys, value),
        other => Err(no_body(other)),
    }
}

/// Writes a value of a map; what is missing on the way comes into being.
pub(crate) fn set(map: &mut Map, keys: &[Resolved], value: Value<'static>) -> Result<()> {
    let Some((first, rest)) = keys.split_first() else { return Err("cannot set map value without keys".into()) };
    let Resolved::Text(text) = first else { return Err(no_text()) };
    set_in(entry(map, text), rest, value)
}

/// The value under a key, empty if it is new.
pub(crate) fn entry<'a>(map: &'a mut Map, key: &Text) -> &'a mut AnyValue {
    let at = map.0.iter().position(|pair| pair.key == *key).unwrap_or_else(|| {
        map.0.push(KeyValue { key: key.clone(), value: Some(AnyValue::Empty), unknown: Vec::new() });
        map.0.len() - 1
    });
    map.0[at].value.get_or_insert_default()
}

/// A list that comes into being by an index holds at most so many values.
const MAX_NEW_LIST: i64 = 10_000;

fn set_in(mut target: &mut AnyValue, keys: &[Resolved], value: Value<'static>) -> Result<()> {
    for key in keys {
        if matches!(target, AnyValue::Empty) {
            *target = match key {
                Resolved::Text(_) => AnyValue::Map(Map::default()),
                Resolved::Int(index) if !(0..MAX_NEW_LIST).contains(index) => return Err(out_of_bounds(*index)),
                Resolved::Int(index) => AnyValue::Array(vec![AnyValue::Empty; *index as usize + 1]),
            };
        }
        target = match (target, key) {
            (AnyValue::Map(map), Resolved::Text(text)) => entry(map, text),
            (AnyValue::Map(_), _) => return Err(no_text()),
            (AnyValue::Array(list), Resolved::Int(index)) => {
                let found = usize::try_from(*index).ok().and_then(|index| list.get_mut(index));
                found.ok_or_else(|| out_of_bounds(*index))?
            }
            (AnyValue::Array(_), _) => return Err(no_index()),
            (other, _) => return Err(not_indexable(other)),
        };
    }
    put(target, value)
}

/// Writes a value, if it has a form in the data.
pub(crate) fn put(target: &mut AnyValue, value: Value<'static>) -> Result<()> {
    match value.into_any() {
        Ok(value) => *target = value,
        Err(error) => return Err(Error::new(format!("{error}; current value type is {}", any_type(target)))),
    }
    Ok(())
}

/// The value in a map, if it is there.
pub(crate) fn find_mut<'a>(map: &'a mut Map, keys: &[Resolved]) -> Option<&'a mut AnyValue> {
    let (first, rest) = keys.split_first()?;
    let Resolved::Text(text) = first else { return None };
    let pair = map.0.iter_mut().find(|pair| pair.key == *text)?;
    find_in_mut(pair.value.get_or_insert_default(), rest)
}

/// The value in a value, if it is there.
pub(crate) fn find_in_mut<'a>(mut value: &'a mut AnyValue, keys: &[Resolved]) -> Option<&'a mut AnyValue> {
    for key in keys {
        value = match (value, key) {
            (AnyValue::Map(map), Resolved::Text(text)) => {
                map.0.iter_mut().find(|pair| pair.key == *text)?.value.get_or_insert_default()
            }
            (AnyValue::Array(list), Resolved::Int(index)) => list.get_mut(usize::try_from(*index).ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// Applies the keys behind a converter's call; here, what is missing is an error.
pub(crate) fn index<'a>(mut value: Value<'a>, keys: &[Key], on: &'a On<'_>) -> Result<Value<'a>> {
    use std::borrow::Cow;
    for key in keys {
        let key = key.resolve(on)?;
        let at = |len: usize, index: i64| {
            usize::try_from(index).ok().filter(|at| *at < len).ok_or_else(|| out_of_bounds(index))
        };
        value = match (value, key) {
            (Value::Map(map), Resolved::Text(text)) => {
                let missing = || Error::from("key not found in map");
                match map {
                    Cow::Borrowed(map) => Value::of(lookup(map, &text).ok_or_else(missing)?),
                    Cow::Owned(map) => {
                        let pair = map.0.into_iter().find(|pair| pair.key == text).ok_or_else(missing)?;
                        Value::from_any(pair.value.unwrap_or_default())
                    }
                }
            }
            (Value::Slice(list), Resolved::Int(index)) => {
                let at = at(list.len(), index)?;
                match list {
                    Cow::Borrowed(list) => Value::of(&list[at]),
                    Cow::Owned(mut list) => Value::from_any(list.swap_remove(at)),
                }
            }
            (Value::List(mut list), Resolved::Int(index)) => {
                let at = at(list.len(), index)?;
                list.swap_remove(at)
            }
            (Value::Floats(list), Resolved::Int(index)) => Value::Double(list[at(list.len(), index)?]),
            (Value::Bytes(bytes), Resolved::Int(index)) => Value::Int(i64::from(bytes[at(bytes.len(), index)?])),
            (other, Resolved::Text(_)) => {
                return Err(Error::new(format!("type {} does not support string indexing", other.type_name())));
            }
            (other, Resolved::Int(_)) => {
                return Err(Error::new(format!("type {} does not support int indexing", other.type_name())));
            }
        };
    }
    Ok(value)
}
