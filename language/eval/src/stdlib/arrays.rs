//! `array.*`

use std::collections::HashMap;

use super::arguments::bounded;
use crate::convert::{FromValue, ValueError};
use crate::value::{FunctionError, Number, Object, Text, Value};

pub fn concat(arguments: &[Value]) -> Result<Value, FunctionError> {
    let lists = (0..arguments.len()).map(|at| list(arguments, at)).collect::<Result<Vec<_>, _>>()?;
    if let [only] = arguments {
        return Ok(only.clone());
    }
    Ok(Value::Array(lists.into_iter().flatten().cloned().collect()))
}

/// Joins two lists of objects on the given keys: wherever all of them are there and equal, both objects in one, the right
/// one winning. With `passthrough`, what is on the left and matches nothing is kept, once.
pub fn combine_maps(arguments: &[Value]) -> Result<Value, FunctionError> {
    if !matches!(arguments.len(), 3 | 4) {
        return Err(FunctionError::new(format!("combine_maps: expected 3 or 4 arguments, got {}", arguments.len())));
    }
    let left = objects(arguments, 0)?;
    let right = objects(arguments, 1)?;
    let keys = keys(arguments)?;
    let passthrough = match arguments.get(3) {
        Some(Value::Bool(passthrough)) => *passthrough,
        Some(other) => return Err(FunctionError::argument(3, ValueError::mismatch("bool", other))),
        None => false,
    };

    let mut places: HashMap<Vec<Key>, Vec<usize>> = HashMap::new();
    for (at, object) in right.iter().enumerate() {
        if let Some(key) = join_key(object, &keys).map_err(|error| FunctionError::argument(1, error.at_index(at)))? {
            places.entry(key).or_default().push(at);
        }
    }
    let mut combined = Vec::new();
    for (at, object) in left.iter().enumerate() {
        let key = join_key(object, &keys).map_err(|error| FunctionError::argument(0, error.at_index(at)))?;
        let matches = key.and_then(|key| places.get(&key)).map(Vec::as_slice).unwrap_or_default();
        if matches.is_empty() && passthrough {
            combined.push(Value::Object(object.clone()));
        }
        bounded((combined.len() + matches.len()) * 64)?;
        for place in matches {
            let fields = object.iter().chain(right[*place].iter());
            combined.push(Value::Object(fields.map(|(name, value)| (name, value.clone())).collect()));
        }
    }
    Ok(Value::Array(combined.into()))
}

/// Groups a list of objects by the text under a key, in the order in which the texts first appear.
pub fn group_by(arguments: &[Value]) -> Result<Value, FunctionError> {
    if arguments.len() != 3 {
        return Err(FunctionError::new(format!("group_by: expected 3 arguments, got {}", arguments.len())));
    }
    let items = objects(arguments, 0)?;
    let key = match &arguments[1] {
        Value::String(key) => key.to_string_lossy(),
        other => return Err(FunctionError::argument(1, ValueError::mismatch("string", other))),
    };
    let Value::Bool(drop_missing) = arguments[2] else {
        return Err(FunctionError::argument(2, ValueError::mismatch("bool", &arguments[2])));
    };
    let mut places: HashMap<Text, usize> = HashMap::new();
    let mut groups: Vec<(Text, Vec<Value>)> = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let text = match item.get(&key) {
            None if drop_missing => continue,
            None => Text::default(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                let error = ValueError::mismatch("string", other).at_field(key.as_ref()).at_index(at);
                return Err(FunctionError::argument(0, error));
            }
        };
        let place = *places.entry(text.clone()).or_insert_with(|| {
            groups.push((text, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(Value::Object(item));
    }
    let groups = groups.into_iter().map(|(text, items)| {
        let fields = [(key.as_ref(), Value::String(text)), ("items", Value::Array(items.into()))];
        Value::Object(fields.into_iter().collect())
    });
    Ok(Value::Array(groups.collect()))
}

fn list(arguments: &[Value], at: usize) -> Result<&[Value], FunctionError> {
    match &arguments[at] {
        Value::Array(items) => Ok(items),
        other => Err(FunctionError::argument(at, ValueError::mismatch("array", other))),
    }
}

/// Every item as an object; targets read as such.
fn objects(arguments: &[Value], at: usize) -> Result<Vec<Object>, FunctionError> {
    let items = list(arguments, at)?.iter().enumerate();
    let objects = items.map(|(index, item)| Object::from_value(item).map_err(|error| error.at_index(index)));
    objects.collect::<Result<_, _>>().map_err(|error| FunctionError::argument(at, error))
}

fn keys(arguments: &[Value]) -> Result<Vec<String>, FunctionError> {
    let keys = list(arguments, 2)?.iter().enumerate().map(|(index, key)| match key {
        Value::String(key) => Ok(key.to_string_lossy().into_owned()),
        other => Err(ValueError::mismatch("string", other).at_index(index)),
    });
    let keys: Vec<String> = keys.collect::<Result<_, _>>().map_err(|error| FunctionError::argument(2, error))?;
    if keys.is_empty() {
        let error = ValueError::new("combine_maps: merge conditions must not be empty");
        return Err(FunctionError::argument(2, error));
    }
    Ok(keys)
}

/// A value to join on: equal if and only if the operator `==` says so.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Null,
    Bool(bool),
    Text(Text),
    Whole(i128),
    Float(u64),
}

/// `None` if a key is missing; an error for values that cannot be joined on.
fn join_key(object: &Object, keys: &[String]) -> Result<Option<Vec<Key>>, ValueError> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(value) = object.get(key) else { return Ok(None) };
        found.push(match value {
            Value::Null => Key::Null,
            Value::Bool(truth) => Key::Bool(*truth),
            Value::String(text) => Key::Text(text.clone()),
            Value::Secret(secret) => Key::Text(secret.value.clone()),
            Value::Number(Number::Int(number)) => Key::Whole((*number).into()),
            Value::Number(Number::Uint(number)) => Key::Whole((*number).into()),
            Value::Number(Number::Float(number)) if number.fract() == 0.0 && number.abs() < 1e30 => {
                Key::Whole(*number as i128)
            }
            Value::Number(Number::Float(number)) => Key::Float(number.to_bits()),
            other => {
                let error = ValueError::new(format!("cannot be joined on: it is of type {}", other.kind()));
                return Err(error.at_field(key.as_str()));
            }
        });
    }
    Ok(Some(found))
}
