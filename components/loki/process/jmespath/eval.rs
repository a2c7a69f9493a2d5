//! Tree and data to value.

use super::parse::{Compare, Node};
use super::{Failed, functions};
use crate::process::json::Json;

/// What an expression sees beside the current value.
pub struct Scope<'s, 'a> {
    root: &'s Json<'a>,
    variables: Vec<(&'s str, Json<'a>)>,
}

pub fn search<'a>(node: &Node, data: &Json<'a>) -> Result<Json<'a>, Failed> {
    eval(node, data, &mut Scope { root: data, variables: Vec::new() })
}

pub(super) fn eval<'s, 'a>(node: &'s Node, data: &Json<'a>, scope: &mut Scope<'s, 'a>) -> Result<Json<'a>, Failed> {
    Ok(match node {
        Node::Current => data.clone(),
        Node::Root => scope.root.clone(),
        Node::Field(name) => data.field(name).cloned().unwrap_or(Json::Null),
        Node::Sub(left, right) => {
            let left = eval(left, data, scope)?;
            eval(right, &left, scope)?
        }
        Node::Index(left, index) => match eval(left, data, scope)? {
            Json::Array(mut elements) => {
                let length = elements.len() as i64;
                let index = if *index < 0 { length + index } else { *index };
                if (0..length).contains(&index) { elements.swap_remove(index as usize) } else { Json::Null }
            }
            _ => Json::Null,
        },
        Node::Slice(left, parts) => match eval(left, data, scope)? {
            Json::Array(elements) => {
                let picked = slice(elements.len(), parts);
                Json::Array(picked.into_iter().map(|at| elements[at].clone()).collect())
            }
            Json::String(text) => {
                let characters: Vec<char> = text.chars().collect();
                let picked = slice(characters.len(), parts);
                Json::String(picked.into_iter().map(|at| characters[at]).collect::<String>().into())
            }
            _ => Json::Null,
        },
        Node::Each(left, right) => match eval(left, data, scope)? {
            Json::Array(elements) => each(elements, right, scope)?,
            // Only a slice of text gets here with text, and text has no elements.
            Json::String(text) if matches!(**right, Node::Current) => Json::String(text),
            _ => Json::Null,
        },
        Node::EachValue(left, right) => match eval(left, data, scope)? {
            Json::Object(fields) => each(fields.into_iter().map(|(_, value)| value).collect(), right, scope)?,
            _ => Json::Null,
        },
        Node::EachIf(left, condition, right) => match eval(left, data, scope)? {
            Json::Array(elements) => {
                let mut kept = Vec::new();
                for element in elements {
                    if truth(&eval(condition, &element, scope)?) {
                        kept.push(element);
                    }
                }
                each(kept, right, scope)?
            }
            _ => Json::Null,
        },
        Node::Flatten(left) => match eval(left, data, scope)? {
            Json::Array(elements) => {
                let mut flat = Vec::new();
                for element in elements {
                    match element {
                        Json::Array(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                Json::Array(flat)
            }
            _ => Json::Null,
        },
        Node::List(nodes) => {
            if *data == Json::Null {
                return Ok(Json::Null);
            }
            Json::Array(nodes.iter().map(|node| eval(node, data, scope)).collect::<Result<_, _>>()?)
        }
        Node::Object(fields) => {
            if *data == Json::Null {
                return Ok(Json::Null);
            }
            let mut object = Vec::with_capacity(fields.len());
            for (name, node) in fields {
                object.push((name.clone().into(), eval(node, data, scope)?));
            }
            Json::Object(object)
        }
        Node::Literal(value) => value.clone(),
        Node::Or(left, right) => {
            let left = eval(left, data, scope)?;
            if truth(&left) { left } else { eval(right, data, scope)? }
        }
        Node::And(left, right) => {
            let left = eval(left, data, scope)?;
            if truth(&left) { eval(right, data, scope)? } else { left }
        }
        Node::Not(inner) => Json::Bool(!truth(&eval(inner, data, scope)?)),
        Node::Compare(compare, left, right) => {
            let (left, right) = (eval(left, data, scope)?, eval(right, data, scope)?);
            match (compare, &left, &right) {
                (Compare::Equal, _, _) => Json::Bool(left == right),
                (Compare::NotEqual, _, _) => Json::Bool(left != right),
                (Compare::Less, Json::Number(left), Json::Number(right)) => Json::Bool(left < right),
                (Compare::LessOrEqual, Json::Number(left), Json::Number(right)) => Json::Bool(left <= right),
                (Compare::Greater, Json::Number(left), Json::Number(right)) => Json::Bool(left > right),
                (Compare::GreaterOrEqual, Json::Number(left), Json::Number(right)) => Json::Bool(left >= right),
                _ => Json::Null,
            }
        }
        Node::Arithmetic(operator, left, right) => {
            let (left, right) = (eval(left, data, scope)?, eval(right, data, scope)?);
            let (Json::Number(left), Json::Number(right)) = (left, right) else { return Err(Failed) };
            let value = match operator {
                '+' => left + right,
                '-' => left - right,
                '*' => left * right,
                '/' => left / right,
                '%' => left % right,
                _ => (left / right).floor(),
            };
            if !value.is_finite() {
                return Err(Failed);
            }
            Json::Number(value)
        }
        Node::Call(name, arguments) => functions::call(name, arguments, data, scope)?,
        // A reference means something to a function only.
        Node::Reference(_) => return Err(Failed),
        Node::Variable(name) => {
            let bound = scope.variables.iter().rev().find(|(known, _)| known == name);
            bound.map(|(_, value)| value.clone()).ok_or(Failed)?
        }
        Node::Let(bindings, body) => {
            let outer = scope.variables.len();
            let mut bound = Vec::with_capacity(bindings.len());
            for (name, node) in bindings {
                bound.push((name.as_str(), eval(node, data, scope)?));
            }
            scope.variables.extend(bound);
            let result = eval(body, data, scope);
            scope.variables.truncate(outer);
            result?
        }
    })
}

fn each<'s, 'a>(elements: Vec<Json<'a>>, right: &'s Node, scope: &mut Scope<'s, 'a>) -> Result<Json<'a>, Failed> {
    let mut results = Vec::with_capacity(elements.len());
    for element in elements {
        match eval(right, &element, scope)? {
            Json::Null => {}
            value => results.push(value),
        }
    }
    Ok(Json::Array(results))
}

/// What counts as true: everything but null, false and what is empty.
pub(super) fn truth(value: &Json<'_>) -> bool {
    match value {
        Json::Null | Json::Bool(false) => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(elements) => !elements.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
        Json::Bool(true) | Json::Number(_) => true,
    }
}

/// The places that a slice picks, as in Python.
fn slice(length: usize, parts: &[Option<i64>; 3]) -> Vec<usize> {
    let length = length as i64;
    let step = parts[2].unwrap_or(1);
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |part: Option<i64>, absent: i64| match part {
        None => absent,
        Some(part) if part < 0 => part.saturating_add(length).clamp(lowest, highest),
        Some(part) => part.clamp(lowest, highest),
    };
    let (mut at, end) = if step > 0 {
        (bound(parts[0], 0), bound(parts[1], length))
    } else {
        (bound(parts[0], length - 1), bound(parts[1], -1))
    };
    let mut picked = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        picked.push(at as usize);
        at = at.saturating_add(step);
    }
    picked
}
