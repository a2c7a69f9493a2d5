//! Filters: `@.price < 10 && !(@.tag == 'x')`.

use super::super::json::Json;
use super::{Step, select};
use crate::value::Number;

#[derive(Clone, Debug)]
pub enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Compare {
        left: Operand,
        operator: Comparison,
        right: Operand,
    },
    /// A path leads somewhere (and, for a literal and what a function gives, it is true).
    Exists(Operand),
}

#[derive(Clone, Debug)]
pub enum Operand {
    Literal(Json),
    /// From the value at hand.
    Here(Vec<Step>),
    /// From the whole text.
    Root(Vec<Step>),
    Call(Function, Box<Operand>),
}

/// Functions of RFC 9535.
#[derive(Clone, Copy, Debug)]
pub enum Function {
    /// Of a text in bytes, of a list or an object in items.
    Length,
    /// How many values a path leads to.
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The left is among the items of the right.
    In,
    /// The left has no items, or has some: the right says which is asked for.
    Empty,
    /// The left is there, or is not: the right says which is asked for.
    Exists,
}

impl Filter {
    pub fn holds(&self, here: &Json, root: &Json) -> bool {
        match self {
            Filter::Or(filters) => filters.iter().any(|filter| filter.holds(here, root)),
            Filter::And(filters) => filters.iter().all(|filter| filter.holds(here, root)),
            Filter::Not(filter) => !filter.holds(here, root),
            Filter::Compare { left, operator, right } => {
                let (left, right) = (left.first(here, root), right.first(here, root));
                compare(left.as_ref(), *operator, right.as_ref())
            }
            Filter::Exists(operand @ (Operand::Literal(_) | Operand::Call(..))) => {
                matches!(operand.first(here, root), Some(Json::Bool(true)))
            }
            Filter::Exists(operand) => operand.first(here, root).is_some(),
        }
    }
}

impl Operand {
    fn first(&self, here: &Json, root: &Json) -> Option<Json> {
        let found = match self {
            Operand::Literal(literal) => return Some(literal.clone()),
            Operand::Here(steps) => select(steps, here, root),
            Operand::Root(steps) => select(steps, root, root),
            Operand::Call(function, operand) => return function.call(operand, here, root),
        };
        found.ok()?.first().map(|value| (*value).clone())
    }

    fn count(&self, here: &Json, root: &Json) -> Option<usize> {
        match self {
            Operand::Here(steps) => Some(select(steps, here, root).ok()?.len()),
            Operand::Root(steps) => Some(select(steps, root, root).ok()?.len()),
            Operand::Literal(_) | Operand::Call(..) => None,
        }
    }
}

impl Function {
    pub const ALL: [(&str, Function); 2] = [("length(", Function::Length), ("count(", Function::Count)];

    fn call(self, operand: &Operand, here: &Json, root: &Json) -> Option<Json> {
        let number = match self {
            Function::Length => length(&operand.first(here, root)?)?,
            Function::Count => operand.count(here, root)?,
        };
        Some(Json::Number(Number::from(number as u64)))
    }
}

fn length(value: &Json) -> Option<usize> {
    match value {
        Json::String(text) => Some(text.len()),
        Json::Array(items) => Some(items.len()),
        Json::Object(fields) => Some(fields.len()),
        _ => None,
    }
}

fn compare(left: Option<&Json>, operator: Comparison, right: Option<&Json>) -> bool {
    match (operator, left, right) {
        (Comparison::In, Some(left), Some(Json::Array(items))) => return items.iter().any(|item| equal(left, item)),
        (Comparison::Empty, Some(left), Some(Json::Bool(wanted))) => {
            return length(left).is_some_and(|length| (length == 0) == *wanted);
        }
        (Comparison::Exists, left, Some(Json::Bool(wanted))) => return left.is_some() == *wanted,
        (Comparison::In | Comparison::Empty | Comparison::Exists, ..) => return false,
        _ => {}
    }
    let order = match (left, right) {
        (Some(Json::Number(left)), Some(Json::Number(right))) => left.as_f64().partial_cmp(&right.as_f64()),
        (Some(Json::String(left)), Some(Json::String(right))) => Some(left.cmp(right)),
        _ => {
            let equal = match (left, right) {
                (Some(left), Some(right)) => equal(left, right),
                (None, None) => true,
                _ => false,
            };
            return match operator {
                Comparison::Equal | Comparison::LessOrEqual | Comparison::GreaterOrEqual => equal,
                Comparison::NotEqual => !equal,
                _ => false,
            };
        }
    };
    order.is_some_and(|order| match operator {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        _ => false,
    })
}

fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(left), Json::Bool(right)) => left == right,
        (Json::Number(left), Json::Number(right)) => Number::eq(left, right),
        (Json::String(left), Json::String(right)) => left == right,
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (left @ Json::Object(_), right @ Json::Object(_)) => left.to_value() == right.to_value(),
        _ => false,
    }
}
