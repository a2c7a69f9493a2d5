//! Discovery targets (spec §2.5).

use super::{FromValue, ToValue, ValueError};
use crate::schema::TypeSchema;
use crate::value::{Number, Target, Value};

/// From any object of plain values.
impl FromValue for Target {
    fn from_value(value: &Value) -> Result<Target, ValueError> {
        match value {
            Value::Target(target) => Ok(target.clone()),
            Value::Object(object) => object.iter().map(|(name, value)| Ok((name, label_value(name, value)?))).collect(),
            Value::String(address) => {
                let address = address.to_string_lossy();
                Err(not_from("string").with_hint(format!("a target is written {{\"__address__\" = {address:?}}}")))
            }
            Value::Array(items) if is_targets(items) => {
                Err(not_from("[]discovery.Target").with_hint("it is a list of targets: array.concat joins such lists"))
            }
            other => Err(not_from(origin(other))),
        }
    }

    fn zero() -> Option<Target> {
        Some(Target::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Target
    }
}

impl ToValue for Target {
    fn to_value(&self) -> Value {
        Value::Target(self.clone())
    }
}

/// In Alloy's words.
fn not_from(origin: &str) -> ValueError {
    ValueError::new(format!("target::ConvertFrom: conversion from '{origin}' is not supported"))
}

fn is_targets(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| matches!(item, Value::Target(_)))
}

/// What Alloy calls the type of a value that is no target.
fn origin(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(Number::Int(_)) => "int64",
        Value::Number(Number::Uint(_)) => "uint64",
        Value::Number(Number::Float(_)) => "float64",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]value.Value",
        Value::Secret(secret) => secret.kind.type_name(),
        Value::Capsule(capsule) => capsule.object().type_name(),
        other => other.kind(),
    }
}

/// The error is about the object, not the field: Alloy blames the whole target too.
fn label_value(name: &str, value: &Value) -> Result<String, ValueError> {
    let refuse = |what: &str| {
        Err(ValueError::new(format!("cannot use {what} as a target value"))
            .with_hint(format!("the value of {name:?} must be a string, a number or a bool")))
    };
    match value {
        Value::String(text) => Ok(text.to_string_lossy().into_owned()),
        Value::Number(Number::Float(number)) => Ok(base_stdx::float::general(*number)),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Secret(secret) if !secret.is_secret() => Ok(secret.value.to_string_lossy().into_owned()),
        Value::Secret(_) => Err(ValueError::new("target::ConvertFrom: cannot use a secret as a target value")),
        Value::Null => Err(ValueError::new("target::ConvertFrom: cannot convert a nil value to a target value")
            .with_hint(format!("the value of {name:?} must be a string, a number or a bool"))),
        Value::Array(_) => refuse("an array"),
        Value::Object(_) | Value::Target(_) => refuse("an object"),
        Value::Function(_) => refuse("a function"),
        Value::Capsule(_) => refuse("a capsule"),
    }
}
