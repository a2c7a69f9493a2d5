//! Fields out of an object: a struct that stands as an attribute (spec §2.5).

use super::{BodyDecoder, Input, Lookup};
use crate::block::Block;
use crate::convert::{FromValue, ValueError, from_value_or_zero};
use crate::value::{Object, Value};

pub(super) struct ObjectInput<'a> {
    pub object: &'a Object,
    pub errors: Vec<ValueError>,
}

/// What the derive's `FromValue` does for a struct.
pub fn struct_from_value<T: Block>(value: &Value) -> Result<T, ValueError> {
    let object = Object::from_value(value)?;
    let input = ObjectInput { object: &object, errors: Vec::new() };
    let mut decoder = BodyDecoder { input: Input::Object(input), asked: Vec::new() };
    let decoded = T::decode(&mut decoder);
    decoder.finish();
    let Input::Object(input) = decoder.input else { return Err(ValueError::mismatch("object", value)) };
    match (input.errors.into_iter().next(), decoded) {
        (None, Ok(decoded)) => Ok(decoded),
        (Some(error), _) => Err(error),
        (None, Err(_)) => Err(ValueError::new("cannot be decoded")),
    }
}

impl ObjectInput<'_> {
    pub fn attribute<T: FromValue>(&mut self, name: &str) -> Lookup<T> {
        match self.object.get(name) {
            None => Lookup::Absent,
            Some(value) => self.found(name, from_value_or_zero(value)),
        }
    }

    pub fn block<T: Block>(&mut self, name: &str) -> Lookup<T> {
        match self.object.get(name) {
            None | Some(Value::Null) => Lookup::Absent,
            Some(value) => self.found(name, struct_from_value(value)),
        }
    }

    pub fn blocks<T: Block>(&mut self, name: &str) -> Option<Vec<T>> {
        let items = match self.object.get(name) {
            None | Some(Value::Null) => return Some(Vec::new()),
            Some(Value::Array(items)) => items.clone(),
            Some(one) => [one.clone()].into(),
        };
        let decoded = items.iter().enumerate();
        let decoded = decoded.map(|(index, item)| struct_from_value(item).map_err(|error| error.at_index(index)));
        match self.found(name, decoded.collect()) {
            Lookup::Found(blocks) => Some(blocks),
            _ => None,
        }
    }

    fn found<T>(&mut self, name: &str, decoded: Result<T, ValueError>) -> Lookup<T> {
        match decoded {
            Ok(decoded) => Lookup::Found(decoded),
            Err(error) => {
                self.errors.push(error.at_field(name));
                Lookup::Failed
            }
        }
    }
}
