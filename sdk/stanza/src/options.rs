//! An operator's object: every key is asked for by name, and what nobody asked for is refused.

use std::cell::RefCell;
use std::str::FromStr;

use base_re2::Regex;
use base_stdx::nearest::nearest;
use base_stdx::{ByteSize, GoDuration};
use language_eval::{Number, Object, Value, ValueError};
use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::expression::{Expression, Template};
use crate::field::Field;

/// An operator's object, or one inside of it.
pub(crate) struct Options<'a> {
    object: &'a Object,
    known: RefCell<Vec<&'static str>>,
}

type Read<T> = Result<T, ValueError>;

// === impl Options ===

impl<'a> Options<'a> {
    /// Of a value that must be an object.
    pub(crate) fn of(value: &'a Value) -> Read<Options<'a>> {
        match value {
            Value::Object(object) => Ok(Options { object, known: RefCell::default() }),
            other => Err(ValueError::mismatch("object", other)),
        }
    }

    /// Every key was asked for.
    pub(crate) fn finish(&self, what: &str) -> Read<()> {
        let known = self.known.borrow();
        for (key, _) in self.object.iter() {
            if !known.contains(&key) {
                let error = ValueError::new(format!("{what} has no key {key:?}")).at_field(key);
                return Err(match nearest(key, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                    None => error,
                });
            }
        }
        Ok(())
    }

    /// The value of a key; null is like none.
    pub(crate) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// What a key's value is read to.
    pub(crate) fn read<T>(&self, key: &'static str, read: impl FnOnce(&'a Value) -> Read<T>) -> Read<Option<T>> {
        self.value(key).map(read).transpose().map_err(|error| error.at_field(key))
    }

    /// The same, which must be there.
    pub(crate) fn required<T>(&self, key: &'static str, read: impl FnOnce(&'a Value) -> Read<T>) -> Read<T> {
        self.read(key, read)?.ok_or_else(|| ValueError::new(format!("missing required key {key:?}")))
    }

    pub(crate) fn text(&self, key: &'static str) -> Read<Option<String>> {
        self.read(key, text)
    }

    pub(crate) fn flag(&self, key: &'static str) -> Read<Option<bool>> {
        self.read(key, |value| match value {
            Value::Bool(flag) => Ok(*flag),
            other => Err(ValueError::mismatch("bool", other)),
        })
    }

    pub(crate) fn count(&self, key: &'static str) -> Read<Option<usize>> {
        self.read(key, |value| {
            let number = whole(value)?;
            usize::try_from(number).map_err(|_| ValueError::new("must not be negative"))
        })
    }

    pub(crate) fn field(&self, key: &'static str) -> Read<Option<Field>> {
        self.read(key, field)
    }

    pub(crate) fn expression(&self, key: &'static str) -> Read<Option<Expression>> {
        self.read(key, |value| Expression::truth(&text(value)?).map_err(ValueError::new))
    }

    /// A list of texts, or texts with commas between them.
    pub(crate) fn texts(&self, key: &'static str) -> Read<Option<Vec<String>>> {
        self.read(key, |value| match value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, item)| text(item).map_err(|error| error.at_index(at))).collect()
            }
            other => Ok(text(other)?.split(',').map(|part| part.trim().to_owned()).collect()),
        })
    }
}

/// A text.
pub(crate) fn text(value: &Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.to_string_lossy().into_owned()),
        Value::Secret(_) => Err(ValueError::new("a secret cannot be used here")),
        other => Err(ValueError::mismatch("string", other)),
    }
}

/// A whole number.
pub(crate) fn whole(value: &Value) -> Read<i64> {
    match value {
        Value::Number(Number::Int(number)) => Ok(*number),
        Value::Number(Number::Uint(number)) => {
            i64::try_from(*number).map_err(|_| ValueError::new("the number is too great"))
        }
        Value::Number(Number::Float(number)) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(*number as i64),
        other => Err(ValueError::mismatch("whole number", other)),
    }
}

/// A place in a record.
pub(crate) fn field(value: &Value) -> Read<Field> {
    Field::parse(&text(value)?).map_err(ValueError::new)
}

/// A place in a record, which may be all attributes or all of the resource.
pub(crate) fn rootable(value: &Value) -> Read<Field> {
    Field::parse_rootable(&text(value)?).map_err(ValueError::new)
}

/// A pattern.
pub(crate) fn regex(value: &Value) -> Read<Regex> {
    Regex::new(&text(value)?).map_err(|error| ValueError::new(error.to_string()))
}

/// A text with expressions in it.
pub(crate) fn template(value: &Value) -> Read<Template> {
    Template::new(&text(value)?).map_err(ValueError::new)
}

/// A time span in nanoseconds; a number is nanoseconds.
pub(crate) fn duration(value: &Value) -> Read<i64> {
    match value {
        Value::String(_) => {
            let text = text(value)?;
            GoDuration::from_str(&text).map(GoDuration::as_nanos).map_err(|error| ValueError::new(error.to_string()))
        }
        other => whole(other),
    }
}

/// A number of bytes, also as `1MiB`.
pub(crate) fn bytes(value: &Value) -> Read<usize> {
    let count = match value {
        Value::String(_) => ByteSize::from_str(&text(value)?).map_err(|error| ValueError::new(error.to_string()))?.0,
        other => whole(other)?,
    };
    usize::try_from(count).map_err(|_| ValueError::new("must not be negative"))
}

/// Any value, as a record holds it.
pub(crate) fn any(value: &Value) -> Read<AnyValue> {
    Ok(match value {
        Value::Null => AnyValue::Empty,
        Value::Bool(value) => AnyValue::Bool(*value),
        Value::Number(Number::Int(value)) => AnyValue::Int(*value),
        Value::Number(Number::Uint(value)) => AnyValue::Int(*value as i64),
        Value::Number(Number::Float(value)) => AnyValue::Double(*value),
        Value::String(_) => text(value)?.into(),
        Value::Array(items) => items.iter().map(any).collect::<Read<Vec<_>>>()?.into(),
        Value::Object(object) => {
            let pairs: Read<Vec<(String, AnyValue)>> =
                object.iter().map(|(key, value)| Ok((key.to_owned(), any(value)?))).collect();
            pairs?.into_iter().collect::<Map>().into()
        }
        other => return Err(ValueError::mismatch("value of a record", other)),
    })
}
