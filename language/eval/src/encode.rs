//! Typed structs back to bodies: what `Block::encode` is made of.

use std::collections::BTreeMap;

use crate::block::{Block, BlockVariants, BodyNode};
use crate::convert::ToValue;
use crate::value::{Object, Value};

/// `name = value`, unless it is what applies anyway.
pub fn attribute<T: ToValue>(body: &mut Vec<BodyNode>, name: &str, value: &T, default: Option<Value>) {
    let value = value.to_value();
    if T::shown_always() || default.is_none_or(|default| default != value) {
        body.push(BodyNode::Attribute { name: name.to_owned(), value });
    }
}

/// `name { … }`
pub fn block<T: Block>(body: &mut Vec<BodyNode>, name: &str, block: &T) {
    body.push(BodyNode::Block { name: name.to_owned(), label: block.label(), body: block.encode() });
}

/// `name { … }`, unless it is what applies anyway.
pub fn block_unless<T: Block>(body: &mut Vec<BodyNode>, name: &str, value: &T, default: &T) {
    if value.encode() != default.encode() {
        block(body, name, value);
    }
}

/// `prefix.name { … }`
pub fn variant<T: BlockVariants>(body: &mut Vec<BodyNode>, prefix: &str, value: &T) {
    let (name, label, inner) = value.encode_variant();
    let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    body.push(BodyNode::Block { name, label, body: inner });
}

/// A body as a value: attributes and blocks are fields, repeated blocks an array.
pub fn body_to_object(body: Vec<BodyNode>) -> Value {
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    let mut repeated: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for node in body {
        match node {
            BodyNode::Attribute { name, value } => {
                fields.insert(name, value);
            }
            BodyNode::Block { name, body, .. } => repeated.entry(name).or_default().push(body_to_object(body)),
        }
    }
    for (name, mut blocks) in repeated {
        let value = match blocks.len() {
            1 => blocks.remove(0),
            _ => Value::Array(blocks.into()),
        };
        fields.insert(name, value);
    }
    Value::Object(fields.into_iter().collect::<Object>())
}
