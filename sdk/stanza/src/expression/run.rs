//! Running an expression on a record. Nothing is copied that is only looked at.

use std::borrow::Cow;
use std::cmp::Ordering;

use base_re2::Regex;
use sdk_protocols_otlp::model::AnyValue;

use super::functions::{self, Function, Predicate};
use super::{Node, Operator, Val};
use crate::entry::Entry;
use crate::field::Root;

/// One run.
#[derive(Clone, Copy)]
pub(super) struct Run<'e> {
    pub(super) entry: &'e Entry,
    /// What a predicate looks at.
    pub(super) element: Option<&'e AnyValue>,
}

static NIL: AnyValue = AnyValue::Empty;

impl<'e> Run<'e> {
    pub(super) fn truth(self, node: &Node) -> Result<bool, String> {
        let value = self.node(node)?;
        match &value {
            Val::Value(inner) => match **inner {
                AnyValue::Bool(value) => Ok(value),
                _ => Err(format!("{} is neither true nor false", value.type_of())),
            },
            Val::Map(_) => Err("a map is neither true nor false".to_owned()),
        }
    }

    pub(super) fn node(self, node: &Node) -> Result<Val<'e>, String> {
        Ok(match node {
            Node::Constant(value) => Val::own(value.clone()),
            Node::Root(Root::Body) => Val::Value(Cow::Borrowed(&self.entry.body)),
            Node::Root(Root::Attributes) => Val::Map(&self.entry.attributes),
            Node::Root(Root::Resource) => Val::Map(&self.entry.resource),
            Node::Element => Val::Value(Cow::Borrowed(self.element.unwrap_or(&NIL))),
            Node::Member { of, key, optional } => {
                let of = self.node(of)?;
                if *optional && of.is_nil() {
                    return Ok(Val::Value(Cow::Borrowed(&NIL)));
                }
                member(of, &self.node(key)?)?
            }
            Node::Not(inner) => Val::own(!self.truth(inner)?),
            Node::Negative(inner) => match self.node(inner)?.into_value() {
                AnyValue::Int(value) => Val::own(value.wrapping_neg()),
                AnyValue::Double(value) => Val::own(-value),
                other => return Err(format!("invalid operation: - {}", crate::entry::type_of(&other))),
            },
            Node::Matches(left, regex) => Val::own(matches(&self.node(left)?, regex)?),
            Node::Binary(Operator::And, left, right) => Val::own(self.truth(left)? && self.truth(right)?),
            Node::Binary(Operator::Or, left, right) => Val::own(self.truth(left)? || self.truth(right)?),
            Node::Binary(Operator::Coalesce, left, right) => match self.node(left)? {
                nil if nil.is_nil() => self.node(right)?,
                value => value,
            },
            Node::Binary(operator, left, right) => binary(*operator, &self.node(left)?, &self.node(right)?)?,
            Node::Condition(when, yes, no) => self.node(if self.truth(when)? { yes } else { no })?,
            Node::List(items) => {
                let items: Result<Vec<AnyValue>, String> = items.iter().map(|item| self.owned(item)).collect();
                Val::own(items?)
            }
            Node::Pairs(pairs) => {
                let pairs: Result<Vec<_>, String> =
                    pairs.iter().map(|(key, value)| Ok((key.clone(), self.owned(value)?))).collect();
                Val::own(functions::pairs(pairs?))
            }
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Over(predicate, list, test) => self.over(*predicate, list, test)?,
        })
    }

    fn owned(self, node: &Node) -> Result<AnyValue, String> {
        self.node(node).map(Val::into_value)
    }

    fn call(self, function: Function, arguments: &[Node]) -> Result<Val<'e>, String> {
        let arguments: Result<Vec<AnyValue>, String> = arguments.iter().map(|node| self.owned(node)).collect();
        functions::call(function, &arguments?).map(Val::own)
    }

    fn over(self, predicate: Predicate, list: &Node, test: &Node) -> Result<Val<'e>, String> {
        let list = self.owned(list)?;
        let AnyValue::Array(list) = &list else {
            return Err(format!("a list is expected, not a {}", crate::entry::type_of(&list)));
        };
        let run = |element: &AnyValue| Run { entry: self.entry, element: Some(element) }.owned(test);
        functions::over(predicate, list, run).map(Val::own)
    }
}

/// The element at a place, counted from the end where it is negative.
pub(super) fn element(list: &[AnyValue], at: i64) -> Option<&AnyValue> {
    let at = if at < 0 { at.checked_add(list.len() as i64)? } else { at };
    list.get(usize::try_from(at).ok()?)
}

fn member<'e>(of: Val<'e>, key: &Val<'e>) -> Result<Val<'e>, String> {
    let Val::Value(key) = key else { return Err(format!("cannot fetch a map from {}", of.type_of())) };
    let wrong = |of: &AnyValue| {
        let of = crate::entry::type_of(of);
        format!("cannot fetch {} from {of}", if **key == NIL { "<nil>".into() } else { key.to_text() })
    };
    let pair = |map: &'e sdk_protocols_otlp::model::Map| match &**key {
        AnyValue::Text(key) => Ok(map.get(&key.as_str()).unwrap_or(&NIL)),
        _ => Err(format!("a key is text, not a {}", crate::entry::type_of(key))),
    };
    match of {
        Val::Map(map) => pair(map).map(|value| Val::Value(Cow::Borrowed(value))),
        Val::Value(Cow::Borrowed(AnyValue::Map(map))) => pair(map).map(|value| Val::Value(Cow::Borrowed(value))),
        Val::Value(value) => match (&*value, &**key) {
            (AnyValue::Map(map), AnyValue::Text(key)) => {
                Ok(Val::own(map.get(&key.as_str()).cloned().unwrap_or_default()))
            }
            (AnyValue::Array(list), AnyValue::Int(at)) => match element(list, *at) {
                Some(found) => Ok(Val::own(found.clone())),
                None => Err(format!("index out of range: {at} (array length is {})", list.len())),
            },
            (other, _) => Err(wrong(other)),
        },
    }
}

fn matches(value: &Val<'_>, regex: &Regex) -> Result<bool, String> {
    match value {
        Val::Value(value) => match &**value {
            AnyValue::Empty => Ok(false),
            AnyValue::Text(text) => Ok(regex.is_match(text.as_bytes())),
            AnyValue::Bytes(bytes) => Ok(regex.is_match(bytes)),
            other => Err(format!("invalid operation: {} matches string", crate::entry::type_of(other))),
        },
        Val::Map(_) => Err("invalid operation: a map matches nothing".to_owned()),
    }
}

fn binary<'e>(operator: Operator, left: &Val<'e>, right: &Val<'e>) -> Result<Val<'e>, String> {
    use Operator::*;
    let (a, b) = match (left, right) {
        (Val::Value(a), Val::Value(b)) => (&**a, &**b),
        // Maps are looked at whole by few.
        _ => return with_map(operator, left, right),
    };
    let invalid = || format!("invalid operation: {} {} {}", left.type_of(), operator.sign(), right.type_of());
    Ok(match operator {
        Equal => Val::own(equal(a, b)),
        Unequal => Val::own(!equal(a, b)),
        Less | Greater | AtMost | AtLeast => {
            let order = order(a, b).ok_or_else(invalid)?;
            Val::own(match operator {
                Less => order == Some(Ordering::Less),
                Greater => order == Some(Ordering::Greater),
                AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            })
        }
        In => Val::own(match b {
            AnyValue::Empty => false,
            AnyValue::Array(list) => list.iter().any(|item| equal(item, a)),
            AnyValue::Map(map) => a.text().is_some_and(|key| map.get(&key.as_str()).is_some()),
            _ => return Err(format!("operator \"in\" not defined on {}", right.type_of())),
        }),
        Matches | Contains | StartsWith | EndsWith => match (a, b) {
            (AnyValue::Empty, _) | (_, AnyValue::Empty) => Val::own(false),
            (AnyValue::Text(a), AnyValue::Text(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                Val::own(match operator {
                    Contains => a.contains(&*b),
                    StartsWith => a.starts_with(&*b),
                    EndsWith => a.ends_with(&*b),
                    _ => Regex::new(&b).map_err(|error| error.to_string())?.is_match(a.as_bytes()),
                })
            }
            _ => return Err(invalid()),
        },
        Plus => match (a, b) {
            (AnyValue::Text(a), AnyValue::Text(b)) => Val::own(format!("{}{}", a.as_str(), b.as_str())),
            _ => arithmetic(operator, a, b).ok_or_else(invalid)?,
        },
        Modulo => match (a, b) {
            (AnyValue::Int(_), AnyValue::Int(0)) => return Err("integer divide by zero".to_owned()),
            (AnyValue::Int(a), AnyValue::Int(b)) => Val::own(a.wrapping_rem(*b)),
            _ => return Err(invalid()),
        },
        _ => arithmetic(operator, a, b).ok_or_else(invalid)?,
    })
}

fn with_map<'e>(operator: Operator, left: &Val<'e>, right: &Val<'e>) -> Result<Val<'e>, String> {
    if let (Operator::In, Val::Value(key), Val::Map(map)) = (operator, left, right) {
        return Ok(Val::own(key.text().is_some_and(|key| map.get(&key.as_str()).is_some())));
    }
    match operator {
        Operator::Equal | Operator::Unequal => {
            let same = equal(&left.clone().into_value(), &right.clone().into_value());
            Ok(Val::own(same == (operator == Operator::Equal)))
        }
        Operator::Contains | Operator::StartsWith | Operator::EndsWith | Operator::Matches
            if left.is_nil() || right.is_nil() =>
        {
            Ok(Val::own(false))
        }
        _ => Err(format!("invalid operation: {} {} {}", left.type_of(), operator.sign(), right.type_of())),
    }
}

/// 1 and 1.0 are equal.
fn equal(a: &AnyValue, b: &AnyValue) -> bool {
    match (a, b) {
        (AnyValue::Int(a), AnyValue::Double(b)) | (AnyValue::Double(b), AnyValue::Int(a)) => *a as f64 == *b,
        (AnyValue::Array(a), AnyValue::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (AnyValue::Map(a), AnyValue::Map(b)) => {
            let same = |key: &str, value: &AnyValue| b.get(key).is_some_and(|other| equal(value, other));
            a.0.len() == b.0.len() && a.0.iter().all(|pair| same(&pair.key.as_str(), pair.value()))
        }
        (a, b) => a == b,
    }
}

/// None where they cannot be compared, `Some(None)` for what is not a number.
fn order(a: &AnyValue, b: &AnyValue) -> Option<Option<Ordering>> {
    Some(match (a, b) {
        (AnyValue::Int(a), AnyValue::Int(b)) => Some(a.cmp(b)),
        (AnyValue::Text(a), AnyValue::Text(b)) => Some(a.cmp(b)),
        _ => float(a)?.partial_cmp(&float(b)?),
    })
}

fn float(value: &AnyValue) -> Option<f64> {
    match value {
        AnyValue::Int(value) => Some(*value as f64),
        AnyValue::Double(value) => Some(*value),
        _ => None,
    }
}

fn arithmetic<'e>(operator: Operator, a: &AnyValue, b: &AnyValue) -> Option<Val<'e>> {
    if let (AnyValue::Int(a), AnyValue::Int(b)) = (a, b) {
        match operator {
            Operator::Plus => return Some(Val::own(a.wrapping_add(*b))),
            Operator::Minus => return Some(Val::own(a.wrapping_sub(*b))),
            Operator::Times => return Some(Val::own(a.wrapping_mul(*b))),
            _ => {}
        }
    }
    let (a, b) = (float(a)?, float(b)?);
    Some(Val::own(match operator {
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::Times => a * b,
        Operator::Divided => a / b,
        Operator::Power => a.powf(b),
        _ => return None,
    }))
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Operator::Or => "or",
            Operator::And => "and",
            Operator::Equal => "==",
            Operator::Unequal => "!=",
            Operator::Less => "<",
            Operator::Greater => ">",
            Operator::AtMost => "<=",
            Operator::AtLeast => ">=",
            Operator::In => "in",
            Operator::Matches => "matches",
            Operator::Contains => "contains",
            Operator::StartsWith => "startsWith",
            Operator::EndsWith => "endsWith",
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Times => "*",
            Operator::Divided => "/",
            Operator::Modulo => "%",
            Operator::Power => "**",
            Operator::Coalesce => "??",
        }
    }
}
