//! What decodes, as it does in Alloy, and probably not to what its author meant (spec §9, 2 and 3).

use crate::convert::{ValueError, number};
use crate::schema::{BlockSchema, FieldKind, TypeSchema};
use crate::value::{Number, Object, Value};

/// So many warnings are enough for one attribute.
const MAX_DOUBTS: usize = 8;

/// What `null` as the value of an attribute amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NullMeans {
    /// The same as to leave the attribute out.
    LeftOut,
    /// An empty value instead of the default.
    NotTheDefault,
    /// An empty value where one is required.
    Given,
}

/// Whole numbers that lose their fraction, and a null that hides a default.
pub(super) fn of(value: &Value, schema: &TypeSchema, null: NullMeans) -> Vec<ValueError> {
    let mut doubts = Vec::new();
    match (value, null) {
        (Value::Null, NullMeans::NotTheDefault) => {
            let doubt = ValueError::new("counts as an empty value, and not as the default");
            doubts.push(doubt.with_hint("leave the attribute out to have the default"));
        }
        (Value::Null, NullMeans::Given) => doubts.push(ValueError::new("counts as an empty value")),
        _ if holds_whole_numbers(schema) => fractions(value, schema, &mut doubts),
        _ => {}
    }
    doubts.truncate(MAX_DOUBTS);
    doubts
}

/// Whether it is worth to look into a value; targets may be many.
fn holds_whole_numbers(schema: &TypeSchema) -> bool {
    match schema {
        TypeSchema::Int | TypeSchema::Uint | TypeSchema::Struct(_) => true,
        TypeSchema::List(inner) | TypeSchema::Map(inner) => holds_whole_numbers(inner),
        _ => false,
    }
}

fn fractions(value: &Value, schema: &TypeSchema, doubts: &mut Vec<ValueError>) {
    match (schema, value) {
        (TypeSchema::Int | TypeSchema::Uint, value) => {
            if let Ok(Number::Float(float)) = number(value)
                && float.fract() != 0.0
            {
                doubts.push(ValueError::new(format!("is no whole number; it counts as {}", float.trunc())));
            }
        }
        (TypeSchema::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                inside(item, inner, doubts, |doubt| doubt.at_index(index));
            }
        }
        (TypeSchema::Map(inner), Value::Object(object)) => {
            for (name, field) in object.iter() {
                inside(field, inner, doubts, |doubt| doubt.at_field(name));
            }
        }
        (TypeSchema::Struct(schema), Value::Object(object)) => fields(object, &schema(), doubts),
        _ => {}
    }
}

fn fields(object: &Object, schema: &BlockSchema, doubts: &mut Vec<ValueError>) {
    for field in &schema.fields {
        if let (FieldKind::Attribute { value: inner, .. }, Some(value)) = (&field.kind, object.get(field.name)) {
            inside(value, inner, doubts, |doubt| doubt.at_field(field.name));
        }
    }
}

fn inside(value: &Value, schema: &TypeSchema, doubts: &mut Vec<ValueError>, placed: impl Fn(ValueError) -> ValueError) {
    if doubts.len() < MAX_DOUBTS {
        let mut found = Vec::new();
        fractions(value, schema, &mut found);
        doubts.extend(found.into_iter().map(placed));
    }
}
