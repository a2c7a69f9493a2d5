//! Converters of lists and maps.

use std::cmp::Ordering;

use sdk_protocols_otlp::model::{AnyValue, Map, Text};

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::compare::equal;
use crate::error::{Error, Result};
use crate::text::{json, pairs};
use crate::value::{Value, any_type, as_text};

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("Coalesce", &[required("Values", Kind::Anys)], coalesce),
    everywhere("ContainsValue", &[required("Target", Kind::List), required("Item", Kind::Any)], contains_value),
    everywhere("Index", &[required("Target", Kind::Any), required("Value", Kind::Any)], index),
    everywhere("Keys", &[required("Target", Kind::Map)], |a| {
        let target = a.expression(0)?;
        converter(move |on| {
            let map = coerce::map(&target, on)?;
            Ok(Value::list(map.0.iter().map(|pair| AnyValue::Text(pair.key.clone())).collect()))
        })
    }),
    everywhere("Values", &[required("Target", Kind::Map)], |a| {
        let target = a.expression(0)?;
        converter(move |on| {
            let map = coerce::map(&target, on)?;
            Ok(Value::list(map.0.iter().map(|pair| pair.value().clone()).collect()))
        })
    }),
    everywhere("Len", &[required("Target", Kind::Any)], len),
    everywhere(
        "SliceToMap",
        &[
            required("Target", Kind::List),
            optional("KeyPath", Kind::LiteralTexts),
            optional("ValuePath", Kind::LiteralTexts),
        ],
        slice_to_map,
    ),
    everywhere("Sort", &[required("Target", Kind::Any), optional("Order", Kind::LiteralText)], sort),
    everywhere(
        "ToKeyValueString",
        &[
            required("Target", Kind::Map),
            optional("Delimiter", Kind::LiteralText),
            optional("PairDelimiter", Kind::LiteralText),
            optional("SortOutput", Kind::LiteralBool),
        ],
        to_key_value_string,
    ),
];

fn coalesce(a: &mut Arguments) -> std::result::Result<Built, String> {
    let values = a.expressions(0)?;
    if values.is_empty() {
        return Err("Coalesce requires at least one argument".to_owned());
    }
    converter(move |on| {
        for value in &values {
            match value.get(on)? {
                Value::Nil => {}
                found => return Ok(found),
            }
        }
        Ok(Value::Nil)
    })
}

fn contains_value(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, item) = (a.expression(0)?, a.expression(1)?);
    converter(move |on| {
        let list = coerce::list(&target, on)?;
        let item = item.get(on)?;
        Ok(Value::Bool(list.iter().any(|value| equal(&Value::of(value), &item))))
    })
}

fn index(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, value) = (a.expression(0)?, a.expression(1)?);
    converter(move |on| {
        let (target, value) = (target.get(on)?, value.get(on)?);
        let at = match (target, value) {
            (Value::Text(text), Value::Text(needle)) => pairs::find(text.as_bytes(), needle.as_bytes()),
            (Value::Text(_), _) => return Err("invalid value type for Index function, value must be a string".into()),
            (list, value) => coerce::as_list(list)?.iter().position(|other| equal(&Value::of(other), &value)),
        };
        Ok(Value::Int(at.map_or(-1, |at| at as i64)))
    })
}

fn len(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| {
        let value = target.get(on)?;
        let length = match &value {
            Value::Text(text) => text.as_bytes().len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Map(map) => map.0.len(),
            Value::Slice(list) => list.len(),
            Value::List(list) => list.len(),
            Value::Floats(list) => list.len(),
            Value::Counts(list) => list.len(),
            Value::Part(crate::value::Part { len: Some(length), .. }) => *length,
            other => return Err(Error::new(format!("Len: unsupported target type {}", other.type_name()))),
        };
        Ok(Value::Int(length as i64))
    })
}

fn slice_to_map(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, key_path, value_path) = (a.expression(0)?, a.given_texts(1), a.given_texts(2));
    converter(move |on| {
        let list = coerce::list(&target, on)?;
        let mut found = Vec::with_capacity(list.len());
        for (at, element) in list.iter().enumerate() {
            let map = match element {
                AnyValue::Map(map) => Some(map),
                other if key_path.is_some() || value_path.is_some() => {
                    return Err(Error::new(format!(
                        "slice elements must be maps when using `key_path` or `value_path`, but could not cast element of type `{}` to a map",
                        any_type(other)
                    )));
                }
                _ => None,
            };
            let key = match (&key_path, map) {
                (Some(path), Some(map)) => match extract(map, path)? {
                    AnyValue::Text(text) => text.clone(),
                    other => {
                        let kind = any_type(other);
                        let message =
                            format!("element {at}: extracted key attribute is not of type string, got {kind:?}");
                        return Err(Error::new(message));
                    }
                },
                _ => Text::from(at.to_string()),
            };
            let value = match (&value_path, map) {
                (Some(path), Some(map)) => extract(map, path)?,
                _ => element,
            };
            found.push((key, value.clone()));
        }
        Ok(Value::map(json::unique(found)))
    })
}

fn extract<'a>(map: &'a Map, path: &[String]) -> Result<&'a AnyValue> {
    let Some((first, rest)) = path.split_first() else { return Err("must provide at least one path item".into()) };
    let missing = || Error::new(format!("provided object does not contain the path {path:?}"));
    let value = map.get(first).ok_or_else(missing)?;
    match (value, rest) {
        (value, []) => Ok(value),
        (AnyValue::Map(map), rest) => extract(map, rest),
        _ => Err(missing()),
    }
}

fn sort(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, order) = (a.expression(0)?, a.given_text(1).unwrap_or_else(|| "asc".to_owned()));
    let descending = match order.as_str() {
        "asc" => false,
        "desc" => true,
        _ => return Err(format!("invalid arguments: {order}. Order should be either 'asc' or 'desc'")),
    };
    converter(move |on| {
        let list = match target.get(on)? {
            list @ (Value::Slice(_) | Value::List(_) | Value::Floats(_)) => coerce::as_list(list)?,
            other => {
                let name = other.type_name();
                return Err(Error::new(format!("sort with unsupported type: '{name}'. Target is not a list")));
            }
        };
        Ok(Value::list(sorted(list.into_owned(), descending)))
    })
}

/// Numbers by value; with anything else among them, all by their texts. Lists of maps and lists stay as they are.
fn sorted(mut list: Vec<AnyValue>, descending: bool) -> Vec<AnyValue> {
    let number = |value: &AnyValue| match value {
        AnyValue::Int(value) => *value as f64,
        AnyValue::Double(value) => *value,
        _ => 0.0,
    };
    let is = |test: fn(&AnyValue) -> bool| list.iter().any(test);
    if is(|value| matches!(value, AnyValue::Map(_) | AnyValue::Array(_) | AnyValue::Bytes(_))) {
        return list;
    }
    let direct = |ordering: Ordering| if descending { ordering.reverse() } else { ordering };
    if is(|value| matches!(value, AnyValue::Text(_) | AnyValue::Bool(_) | AnyValue::Empty)) {
        list.sort_by_cached_key(as_text);
        if descending {
            list.reverse();
        }
    } else if is(|value| matches!(value, AnyValue::Double(_))) {
        // NaN comes first, as in Go.
        let compare = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
        list.sort_by(|a, b| direct(compare(number(a), number(b))));
    } else {
        let whole = |value: &AnyValue| if let AnyValue::Int(value) = value { *value } else { 0 };
        list.sort_by(|a, b| direct(whole(a).cmp(&whole(b))));
    }
    list
}

fn to_key_value_string(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let (delimiter, pair_delimiter) = super::parsing::delimiters(a)?;
    let sort = a.given_bool(3).unwrap_or(false);
    converter(move |on| {
        let map = coerce::map(&target, on)?;
        let mut pairs: Vec<_> = map.0.iter().collect();
        if sort {
            pairs.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let quoted = |text: &str| {
            let text = text.replace('"', "\\\"");
            if text.contains(&pair_delimiter) || text.contains(&delimiter) { format!("\"{text}\"") } else { text }
        };
        let texts = pairs.iter().map(|pair| {
            format!("{}{delimiter}{}", quoted(&pair.key.as_str()), quoted(&as_text(pair.value()).as_str()))
        });
        Ok(Value::text(texts.collect::<Vec<_>>().join(&pair_delimiter)))
    })
}
