//! What holds other values: lists, maps, options, any value, shared and boxed ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{FromValue, ToValue, ValueError, from_value_or_zero};
use crate::schema::{TypeSchema, wrapped};
use crate::value::{Object, Value};

/// Every item of an array, an error saying which.
pub(crate) fn from_array<T: FromValue>(value: &Value) -> Result<Vec<T>, ValueError> {
    let Value::Array(items) = value else {
        return Err(ValueError::mismatch("array", value));
    };
    let decoded = items.iter().enumerate();
    decoded.map(|(index, item)| from_value_or_zero(item).map_err(|error| error.at_index(index))).collect()
}

/// Every field of an object (or label of a target), an error saying which.
fn from_object<T: FromValue, M: FromIterator<(String, T)>>(value: &Value) -> Result<M, ValueError> {
    let decode = |(name, field): (&str, &Value)| match from_value_or_zero(field) {
        Ok(field) => Ok((name.to_owned(), field)),
        Err(error) => Err(error.at_field(name)),
    };
    match value {
        Value::Object(object) => object.iter().map(decode).collect(),
        Value::Target(target) => target.iter().map(|(name, label)| decode((name, &Value::from(label)))).collect(),
        other => Err(ValueError::mismatch("object", other)),
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Vec<T>, ValueError> {
        T::list_from_value(value)
    }

    fn zero() -> Option<Vec<T>> {
        Some(Vec::new())
    }

    fn schema() -> TypeSchema {
        T::list_schema()
    }

    fn alloy_type() -> String {
        match T::list_schema() {
            TypeSchema::List(_) => wrapped("[]", &T::alloy_type()),
            other => other.alloy_type(),
        }
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        T::list_to_value(self)
    }
}

/// `null` and nothing are the same.
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Option<T>, ValueError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn zero() -> Option<Option<T>> {
        Some(None)
    }

    fn schema() -> TypeSchema {
        T::schema()
    }

    fn alloy_type() -> String {
        T::alloy_type()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: &Value) -> Result<BTreeMap<String, T>, ValueError> {
        from_object(value)
    }

    fn zero() -> Option<BTreeMap<String, T>> {
        Some(BTreeMap::new())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Map(Box::new(T::schema()))
    }

    fn alloy_type() -> String {
        wrapped("map[string]", &T::alloy_type())
    }
}

impl<T: ToValue> ToValue for BTreeMap<String, T> {
    fn to_value(&self) -> Value {
        Value::Object(self.iter().map(|(name, value)| (name.as_str(), value.to_value())).collect())
    }
}

impl<T: FromValue, S: std::hash::BuildHasher + Default> FromValue for HashMap<String, T, S> {
    fn from_value(value: &Value) -> Result<HashMap<String, T, S>, ValueError> {
        from_object(value)
    }

    fn zero() -> Option<HashMap<String, T, S>> {
        Some(HashMap::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Map(Box::new(T::schema()))
    }

    fn alloy_type() -> String {
        wrapped("map[string]", &T::alloy_type())
    }
}

impl<T: ToValue, S: std::hash::BuildHasher> ToValue for HashMap<String, T, S> {
    fn to_value(&self) -> Value {
        Value::Object(self.iter().map(|(name, value)| (name.as_str(), value.to_value())).collect())
    }
}

impl<T: FromValue> FromValue for Arc<T> {
    fn from_value(value: &Value) -> Result<Arc<T>, ValueError> {
        T::from_value(value).map(Arc::new)
    }

    fn zero() -> Option<Arc<T>> {
        T::zero().map(Arc::new)
    }

    fn schema() -> TypeSchema {
        T::schema()
    }

    fn alloy_type() -> String {
        T::alloy_type()
    }
}

impl<T: ToValue> ToValue for Arc<T> {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

/// Anything, as it is.
impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Value, ValueError> {
        Ok(value.clone())
    }

    fn zero() -> Option<Value> {
        Some(Value::Null)
    }

    fn schema() -> TypeSchema {
        TypeSchema::Any
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

/// An object of any values; a target reads as one.
impl FromValue for Object {
    fn from_value(value: &Value) -> Result<Object, ValueError> {
        match value {
            Value::Object(object) => Ok(object.clone()),
            Value::Target(target) => Ok(target.iter().map(|(name, label)| (name, Value::from(label))).collect()),
            other => Err(ValueError::mismatch("object", other)),
        }
    }

    fn zero() -> Option<Object> {
        Some(Object::default())
    }

    fn schema() -> TypeSchema {
        TypeSchema::Map(Box::new(TypeSchema::Any))
    }
}

impl ToValue for Object {
    fn to_value(&self) -> Value {
        Value::Object(self.clone())
    }
}
