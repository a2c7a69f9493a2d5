//! Arguments of a call to typed values.

use crate::convert::{FromValue, from_value_or_zero};
use crate::value::{FunctionError, Secret, SecretKind, Text, Value};

/// Exactly so many arguments.
pub fn count(arguments: &[Value], expected: usize) -> Result<(), FunctionError> {
    if arguments.len() == expected {
        return Ok(());
    }
    Err(FunctionError::new(format!("expected {expected} args, got {}", arguments.len())))
}

/// One argument (from 0), which is there.
pub fn get<T: FromValue>(arguments: &[Value], at: usize) -> Result<T, FunctionError> {
    from_value_or_zero(&arguments[at]).map_err(|error| FunctionError::argument(at, error))
}

/// The only argument.
pub fn only<T: FromValue>(arguments: &[Value]) -> Result<T, FunctionError> {
    count(arguments, 1)?;
    get(arguments, 0)
}

/// A text as result: secret, if one of the values that it was made of is.
pub fn tainted(text: Text, secret: bool) -> Value {
    match secret {
        true => Value::Secret(Secret { value: text, kind: SecretKind::OptionalSecret }),
        false => Value::String(text),
    }
}

/// Whether there is a secret anywhere in a value.
pub fn holds_secret(value: &Value) -> bool {
    match value {
        Value::Secret(secret) => secret.is_secret(),
        Value::Array(items) => items.iter().any(holds_secret),
        Value::Object(object) => object.iter().any(|(_, value)| holds_secret(value)),
        _ => false,
    }
}

/// Refuses a result before it is made.
pub fn bounded(length: usize) -> Result<(), FunctionError> {
    if length <= super::MAX_RESULT {
        return Ok(());
    }
    Err(FunctionError::new(format!("the result would be longer than {} MiB", super::MAX_RESULT >> 20)))
}
