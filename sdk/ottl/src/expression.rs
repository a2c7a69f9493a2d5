//! Expressions and conditions, compiled: what is evaluated on every item.

use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};

use crate::compare::compare;
use crate::context::On;
use crate::error::{Error, Result};
use crate::math;
use crate::path::{Key, Path, key};
use crate::syntax::{Comparison, Operator};
use crate::value::Value;

/// What gives a value.
pub(crate) enum Expression {
    Literal(Value<'static>),
    Path(Path),
    Call(Body, Box<[Key]>),
    List(Vec<Expression>),
    Map(Vec<(Text, Expression)>),
    Math(Box<(Expression, Operator, Expression)>),
    Negative(Box<Expression>),
    /// `+x` and `(x)`.
    Same(Box<Expression>),
    /// What an editor gives to the function that was passed to it.
    Input,
}

/// What a converter does.
pub(crate) type Body = Box<dyn for<'a, 'm> Fn(&'a On<'m>) -> Result<Value<'a>> + Send + Sync>;

/// What an editor does.
pub(crate) type Edit = Box<dyn for<'m> Fn(&mut On<'m>) -> Result<()> + Send + Sync>;

/// What is true or false of an item.
pub(crate) enum Condition {
    Literal(bool),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare(Expression, Comparison, Expression),
    Call(Expression),
}

// === impl Expression ===

impl Expression {
    /// Its value on an item.
    pub fn get<'a>(&self, on: &'a On<'_>) -> Result<Value<'a>> {
        match self {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Path(path) => path.get(on),
            Expression::Call(body, keys) => {
                let value = body(on)?;
                if keys.is_empty() { Ok(value) } else { key::index(value, keys, on) }
            }
            Expression::List(list) => {
                list.iter().map(|expression| expression.get(on)).collect::<Result<_>>().map(Value::List)
            }
            Expression::Map(pairs) => {
                let mut map = Map(Vec::with_capacity(pairs.len()));
                for (key, expression) in pairs {
                    let value = Some(member(expression.get(on)?)?);
                    map.0.push(KeyValue { key: key.clone(), value, unknown: Vec::new() });
                }
                Ok(Value::map(map))
            }
            Expression::Math(parts) => {
                let (left, operator, right) = &**parts;
                math::calculate(&left.get(on)?, *operator, &right.get(on)?)
            }
            Expression::Negative(inner) => math::negate(&inner.get(on)?),
            Expression::Same(inner) => inner.get(on),
            Expression::Input => Ok(Value::Text(on.input.clone())),
        }
    }

    /// Its value, if it is the same on every item.
    pub fn literal(&self) -> Option<&Value<'static>> {
        if let Expression::Literal(value) = self { Some(value) } else { None }
    }
}

/// A value as one of a map's. As in the Collector, lists of the data are refused there, lists as written are not.
fn member(value: Value<'_>) -> Result<AnyValue> {
    match value {
        Value::Map(map) => Ok(AnyValue::Map(map.into_owned())),
        Value::List(list) => {
            let each = list.into_iter().map(|value| match value {
                Value::Map(map) => Ok(AnyValue::Map(map.into_owned())),
                other => other.into_raw(),
            });
            each.collect::<Result<_>>().map(AnyValue::Array)
        }
        other => other.into_raw(),
    }
}

// === impl Condition ===

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, on: &On<'_>) -> Result<bool> {
        match self {
            Condition::Literal(value) => Ok(*value),
            Condition::Not(inner) => inner.holds(on).map(|holds| !holds),
            Condition::And(all) => {
                for one in all {
                    if !one.holds(on)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Or(all) => {
                for one in all {
                    if one.holds(on)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Compare(left, comparison, right) => Ok(compare(&left.get(on)?, &right.get(on)?, *comparison)),
            Condition::Call(call) => match call.get(on)? {
                Value::Bool(value) => Ok(value),
                other => {
                    let name = other.type_name();
                    let message =
                        format!("value returned from Converter in constant expression must be bool but got {name}");
                    Err(Error::new(message))
                }
            },
        }
    }

    /// All of them. One that never holds decides alone, one that always holds is left out.
    pub fn all(conditions: Vec<Condition>) -> Condition {
        Condition::joined(conditions, false, Condition::And)
    }

    /// Any of them.
    pub fn any(conditions: Vec<Condition>) -> Condition {
        Condition::joined(conditions, true, Condition::Or)
    }

    fn joined(conditions: Vec<Condition>, decisive: bool, join: fn(Vec<Condition>) -> Condition) -> Condition {
        let mut open = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match condition {
                Condition::Literal(value) if value == decisive => return Condition::Literal(decisive),
                Condition::Literal(_) => {}
                other => open.push(other),
            }
        }
        match open.len() {
            0 => Condition::Literal(!decisive),
            1 => open.remove(0),
            _ => join(open),
        }
    }

    pub fn negated(self) -> Condition {
        match self {
            Condition::Literal(value) => Condition::Literal(!value),
            other => Condition::Not(Box::new(other)),
        }
    }
}
