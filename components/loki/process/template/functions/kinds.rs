//! Defaults, and what kind a value is of.

use gotmpl::Value;

use super::times::TIME;
use super::{Functions, MANY, fail, string, text_of};

pub fn add(functions: &mut Functions) {
    functions.add(&["default"], 1..=2, |a| Ok(if a.len() > 1 && a[1].is_truthy() { &a[1] } else { &a[0] }.clone()));
    functions.add(&["empty"], 1..=1, |a| Ok(Value::Bool(!a[0].is_truthy())));
    functions.add(&["coalesce"], 0..=MANY, |a| Ok(a.iter().find(|one| one.is_truthy()).cloned().unwrap_or(Value::Nil)));
    functions.add(&["all"], 0..=MANY, |a| Ok(Value::Bool(a.iter().all(Value::is_truthy))));
    functions.add(&["any"], 0..=MANY, |a| Ok(Value::Bool(a.iter().any(Value::is_truthy))));
    functions.add(&["ternary"], 3..=3, |a| match &a[2] {
        Value::Bool(yes) => Ok(a[usize::from(!*yes)].clone()),
        other => fail(format!("expected bool, got {}", other.type_name())),
    });
    functions.add(&["fail"], 1..=1, |a| fail(text_of(a, 0)?));
    functions.add(&["kindOf"], 1..=1, |a| string(kind(&a[0])));
    functions.add(&["typeOf"], 1..=1, |a| string(type_of(&a[0])));
    functions.add(&["kindIs"], 2..=2, |a| Ok(Value::Bool(text_of(a, 0)? == kind(&a[1]))));
    functions.add(&["typeIs", "typeIsLike"], 2..=2, |a| Ok(Value::Bool(text_of(a, 0)? == type_of(&a[1]))));
    functions.add(&["deepEqual"], 2..=2, |a| Ok(Value::Bool(a[0] == a[1])));
    functions.add(&["deepCopy", "mustDeepCopy"], 1..=1, |a| Ok(a[0].clone()));
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "slice",
        Value::Map(map) if map.contains_key(TIME) => "struct",
        Value::Map(_) => "map",
        Value::Function(_) => "func",
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Nil => "<nil>",
        Value::List(_) => "[]interface {}",
        Value::Map(map) if map.contains_key(TIME) => "time.Time",
        Value::Map(_) => "map[string]interface {}",
        other => kind(other),
    }
}
