//! What can be said of an expression before the graph runs, though a part of it depends on the graph: the literals in it
//! have types.

use language_syntax::Diagnostics;
use language_syntax::ast::{Expr, ExprKind};

use super::Context;
use crate::SecretString;
use crate::convert::{FromValue, ValueError, number};
use crate::evaluate::{Evaluator, Failure, blame_value};
use crate::schema::{BlockSchema, FieldKind, TypeSchema};
use crate::value::{Object, Target, Text, Value};

/// Checks the parts of an expression that as a whole has no value yet.
pub(super) fn parts(expr: &Expr, schema: &TypeSchema, context: &Context<'_>, diagnostics: &mut Diagnostics) {
    let mut refuse = |error: ValueError| diagnostics.push(blame_value(expr, context.source, &error));
    match (&expr.kind, schema) {
        (_, TypeSchema::Any) => {}
        (ExprKind::Paren(inner), schema) => parts(inner, schema, context, diagnostics),
        (ExprKind::Array(items), TypeSchema::List(item_type)) => {
            items.iter().for_each(|item| whole(item, item_type, context, diagnostics));
        }
        (ExprKind::Array(_), schema) => {
            if let Err(error) = fits(&Value::Array([].into()), schema) {
                refuse(error);
            }
        }
        (ExprKind::Object(fields), TypeSchema::Map(value_type)) => {
            fields.iter().for_each(|field| whole(&field.value, value_type, context, diagnostics));
        }
        (ExprKind::Object(fields), TypeSchema::Target) => {
            fields.iter().for_each(|field| whole(&field.value, &TypeSchema::Any, context, diagnostics));
        }
        (ExprKind::Object(fields), TypeSchema::Struct(schema)) => {
            let schema = schema();
            for field in fields {
                match attribute_type(&schema, &field.name.name) {
                    Some(value_type) => whole(&field.value, value_type, context, diagnostics),
                    None => whole(&field.value, &TypeSchema::Any, context, diagnostics),
                }
            }
        }
        (ExprKind::Object(_), schema) => {
            if let Err(error) = fits(&Value::Object(Object::default()), schema) {
                refuse(error);
            }
        }
        _ => {}
    }
}

fn whole(expr: &Expr, schema: &TypeSchema, context: &Context<'_>, diagnostics: &mut Diagnostics) {
    let evaluator = Evaluator { source: context.source, scope: context.scope, unknown_names: true };
    match evaluator.value(expr, 0) {
        Ok(value) => {
            if let Err(error) = fits(&value, schema) {
                diagnostics.push(blame_value(expr, context.source, &error));
            }
        }
        Err(Failure::Unknown) => parts(expr, schema, context, diagnostics),
        Err(Failure::Diagnostic(diagnostic)) => diagnostics.push(*diagnostic),
    }
}

/// Whether a value could be of a type. Words and text forms of their own are left to the decoder, which knows them.
fn fits(value: &Value, schema: &TypeSchema) -> Result<(), ValueError> {
    match (schema, value) {
        (TypeSchema::Any, _) | (_, Value::Null) => Ok(()),
        (TypeSchema::Bool, value) => bool::from_value(value).map(drop),
        (TypeSchema::Int | TypeSchema::Uint | TypeSchema::Float, value) => number(value).map(drop),
        (TypeSchema::String | TypeSchema::Duration | TypeSchema::Text(_) | TypeSchema::Word(_), value) => {
            Text::from_value(value).map(drop)
        }
        (TypeSchema::Secret, value) => SecretString::from_value(value).map(drop),
        (TypeSchema::Target, value) => Target::from_value(value).map(drop),
        (TypeSchema::Capsule(_), Value::Capsule(_)) => Ok(()),
        (TypeSchema::Capsule(_), other) => Err(ValueError::mismatch("capsule", other)),
        (TypeSchema::List(item_type), Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| fits(item, item_type).map_err(|error| error.at_index(index)))
        }
        (TypeSchema::List(_), other) => Err(ValueError::mismatch("array", other)),
        (TypeSchema::Map(value_type), Value::Object(object)) => {
            let mut fields = object.iter();
            fields.try_for_each(|(name, field)| fits(field, value_type).map_err(|error| error.at_field(name)))
        }
        (TypeSchema::Map(_) | TypeSchema::Struct(_), Value::Object(_) | Value::Target(_)) => Ok(()),
        (TypeSchema::Map(_) | TypeSchema::Struct(_), other) => Err(ValueError::mismatch("object", other)),
    }
}

fn attribute_type<'s>(schema: &'s BlockSchema, name: &str) -> Option<&'s TypeSchema> {
    schema.fields.iter().find(|field| field.name == name).and_then(|field| match &field.kind {
        FieldKind::Attribute { value, .. } => Some(value),
        FieldKind::Block { .. } => None,
    })
}
