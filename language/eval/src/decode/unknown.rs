//! Names that nobody asked for, and what their author may have meant.

use std::collections::BTreeSet;

use base_stdx::nearest;
use language_syntax::Diagnostic;
use language_syntax::ast::Statement;

use super::Asked;
use super::body::{BodyInput, without_prefix};
use super::object::ObjectInput;
use crate::convert::ValueError;
use crate::schema::{FieldKind, FieldSchema};

/// How many names a hint lists.
const MAX_LISTED: usize = 24;

pub(super) fn report_in_body(input: &mut BodyInput<'_>, asked: &[Asked]) {
    let source = input.context.source;
    let mut seen = BTreeSet::new();
    for statement in &input.body.statements {
        match statement {
            Statement::Attribute(attribute) => {
                let name = attribute.name.name.as_str();
                let location = attribute.span().in_source(source);
                if !seen.insert(name) {
                    let message = format!("attribute {name:?} may only be provided once");
                    input.diagnostics.push(Diagnostic::error(location, message));
                } else if is_block(asked, name) {
                    let message = format!("{name:?} must be a block, but is used as an attribute");
                    input
                        .diagnostics
                        .push(Diagnostic::error(location, message).with_hint(format!("write {name} {{ … }}")));
                } else if !is_attribute(asked, name) {
                    let error = Diagnostic::error(location, format!("unrecognized attribute name {name:?}"));
                    input.diagnostics.push(match block_that_has(asked, name) {
                        Some(block) => error.with_hint(format!("it belongs into a block: {block} {{ {name} = … }}")),
                        None => suggest(error, name, &attributes(asked), &blocks(asked), "attributes"),
                    });
                }
            }
            Statement::Block(block) => {
                let name = block.full_name();
                let location = block.name_span().in_source(source);
                if is_block(asked, &name) {
                    continue;
                }
                if is_attribute(asked, &name) {
                    let message = format!("{name:?} must be an attribute, but is used as a block");
                    input.diagnostics.push(Diagnostic::error(location, message).with_hint(format!("write {name} = …")));
                } else {
                    let error = Diagnostic::error(location, format!("unrecognized block name {name:?}"));
                    input.diagnostics.push(suggest(error, &name, &blocks(asked), &attributes(asked), "blocks"));
                }
            }
        }
    }
}

pub(super) fn report_in_object(input: &mut ObjectInput<'_>, asked: &[Asked]) {
    let unknown =
        input.object.iter().map(|(name, _)| name).filter(|name| !is_attribute(asked, name) && !is_block(asked, name));
    let errors: Vec<ValueError> = unknown
        .map(|name| {
            let known = [attributes(asked), blocks(asked)].concat();
            let error = ValueError::new(format!("does not have field named {name:?}"));
            match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                None => error,
            }
        })
        .collect();
    input.errors.extend(errors);
}

fn suggest(error: Diagnostic, name: &str, same: &[String], other: &[String], kind: &str) -> Diagnostic {
    let near = nearest(name, same.iter().map(String::as_str));
    match near.or_else(|| nearest(name, other.iter().map(String::as_str))) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None if same.is_empty() => error.with_hint(format!("this block takes no {kind}")),
        None => {
            let listed = same.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if same.len() > MAX_LISTED { ", …" } else { "" };
            error.with_hint(format!("{kind} here are {listed}{more}"))
        }
    }
}

/// The child block that takes an attribute of this name.
fn block_that_has(asked: &[Asked], name: &str) -> Option<&'static str> {
    asked.iter().find_map(|asked| match asked {
        Asked::Block(block, schema) => {
            let is_it = |field: &FieldSchema| field.name == name && matches!(field.kind, FieldKind::Attribute { .. });
            schema().fields.iter().any(is_it).then_some(*block)
        }
        _ => None,
    })
}

fn is_attribute(asked: &[Asked], name: &str) -> bool {
    asked.iter().any(|asked| matches!(asked, Asked::Attribute(known) if *known == name))
}

fn is_block(asked: &[Asked], name: &str) -> bool {
    asked.iter().any(|asked| match asked {
        Asked::Attribute(_) => false,
        Asked::Block(known, _) => *known == name,
        Asked::Variants { prefix, variants } => {
            without_prefix(name, prefix).is_some_and(|name| variants.iter().any(|variant| variant.name == name))
        }
    })
}

fn attributes(asked: &[Asked]) -> Vec<String> {
    let names = asked.iter().filter_map(|asked| match asked {
        Asked::Attribute(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}

fn blocks(asked: &[Asked]) -> Vec<String> {
    let mut names = Vec::new();
    for asked in asked {
        match asked {
            Asked::Attribute(_) => {}
            Asked::Block(name, _) => names.push((*name).to_owned()),
            Asked::Variants { prefix: "", variants } => {
                names.extend(variants.iter().map(|variant| variant.name.to_owned()));
            }
            Asked::Variants { prefix, variants } => {
                names.extend(variants.iter().map(|variant| format!("{prefix}.{}", variant.name)));
            }
        }
    }
    names
}
