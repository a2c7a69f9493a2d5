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
            Value::Secret(_) | Value::Capsule(_) | Value::Function(_) => {
                Err(ValueError::new(format!("is a {}, which cannot be a target", value.kind())))
            }
            other => Err(ValueError::mismatch("object", other)),
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
        Value::Secret(_) => refuse("a secret"),
        Value::Null => refuse("null"),
        Value::Array(_) => refuse("an array"),
        Value::Object(_) | Value::Target(_) => refuse("an object"),
        Value::Function(_) => refuse("a function"),
        Value::Capsule(_) => refuse("a capsule"),
    }
}
