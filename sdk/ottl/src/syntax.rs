//! The tree of a statement. Every node knows its place.

use std::ops::Range;

pub(crate) use crate::lexer::Comparison;

/// An editor's call and the condition on which it is made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub editor: Call,
    pub condition: Option<Boolean>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Boolean {
    Literal(bool),
    Not(Box<Boolean>),
    And(Vec<Boolean>),
    Or(Vec<Boolean>),
    Compare(Box<Value>, Comparison, Box<Value>),
    Converter(Call),
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub kind: ValueKind,
    pub at: Range<usize>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueKind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    /// A bare name with a capital: an enum's symbol, or a function that is passed on.
    Name(String),
    Path(Path),
    Converter(Call),
    List(Vec<Value>),
    Map(Vec<(Vec<u8>, Value)>),
    Negative(Box<Value>),
    /// `+x`, which is `x` and yet no literal.
    Positive(Box<Value>),
    Math(Box<Value>, Operator, Box<Value>),
}

/// An operation on two numbers or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub name: String,
    pub name_at: Range<usize>,
    pub arguments: Vec<Argument>,
    pub keys: Vec<Key>,
    pub at: Range<usize>,
}

/// An argument, perhaps with its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    pub name: Option<(String, Range<usize>)>,
    pub value: Value,
}

/// `resource.attributes["a"][0]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    pub segments: Vec<Segment>,
    pub at: Range<usize>,
}

/// One name of a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    pub name: String,
    pub keys: Vec<Key>,
    pub at: Range<usize>,
}

/// What stands in brackets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Text(Vec<u8>),
    Int(i64),
    /// A path, a converter or arithmetic.
    Expression(Value),
}

// === impl Path ===

impl Path {
    /// The context that it names, if it does: a first name without keys before others.
    pub fn context(&self) -> Option<&str> {
        match &self.segments[..] {
            [first, _, ..] if first.keys.is_empty() => Some(&first.name),
            _ => None,
        }
    }
}

/// Whatever a statement names; for finding the context that is meant.
pub(crate) trait Visitor {
    fn path(&mut self, path: &Path);
    fn function(&mut self, call: &Call);
    fn name(&mut self, name: &str, at: &Range<usize>);
}

impl Statement {
    pub fn visit(&self, visitor: &mut dyn Visitor) {
        self.editor.visit(visitor);
        if let Some(condition) = &self.condition {
            condition.visit(visitor);
        }
    }
}

impl Boolean {
    pub fn visit(&self, visitor: &mut dyn Visitor) {
        match self {
            Boolean::Literal(_) => {}
            Boolean::Not(inner) => inner.visit(visitor),
            Boolean::And(all) | Boolean::Or(all) => all.iter().for_each(|one| one.visit(visitor)),
            Boolean::Compare(left, _, right) => {
                left.visit(visitor);
                right.visit(visitor);
            }
            Boolean::Converter(call) => call.visit(visitor),
        }
    }
}

impl Call {
    fn visit(&self, visitor: &mut dyn Visitor) {
        visitor.function(self);
        self.arguments.iter().for_each(|argument| argument.value.visit(visitor));
        visit_keys(&self.keys, visitor);
    }
}

impl Value {
    fn visit(&self, visitor: &mut dyn Visitor) {
        match &self.kind {
            ValueKind::Name(name) => visitor.name(name, &self.at),
            ValueKind::Path(path) => {
                visitor.path(path);
                path.segments.iter().for_each(|segment| visit_keys(&segment.keys, visitor));
            }
            ValueKind::Converter(call) => call.visit(visitor),
            ValueKind::List(list) => list.iter().for_each(|value| value.visit(visitor)),
            ValueKind::Map(pairs) => pairs.iter().for_each(|(_, value)| value.visit(visitor)),
            ValueKind::Negative(value) | ValueKind::Positive(value) => value.visit(visitor),
            ValueKind::Math(left, _, right) => {
                left.visit(visitor);
                right.visit(visitor);
            }
            _ => {}
        }
    }
}

fn visit_keys(keys: &[Key], visitor: &mut dyn Visitor) {
    for key in keys {
        if let Key::Expression(value) = key {
            value.visit(visitor);
        }
    }
}
