//! Bodies of blocks to typed structs (spec §2.6): every error of a body in one go, each with its place.
//!
//! [`Block::decode`] asks a [`BodyDecoder`] for each of its fields; when all have been asked for, whatever is left over
//! in the body is unknown, and what was asked for tells what the author may have meant. The same questions work on an
//! object, where a struct stands as an attribute.

mod body;
mod check;
mod doubts;
mod object;
mod unknown;

use std::sync::Arc;

use language_syntax::ast::Body;
use language_syntax::{Diagnostic, Diagnostics, Severity, Source};

use crate::block::{Block, BlockVariants, BodySource, Invalid, Validate, Variant};
use crate::convert::{FromValue, ValueError};
use crate::schema::BlockSchema;
use crate::scope::Scope;
use crate::value::Object;

use body::BodyInput;
use doubts::NullMeans;
use object::ObjectInput;

pub use object::struct_from_value;

/// How deep blocks may nest.
const MAX_DEPTH: usize = 100;

// === impl BodySource ===

impl BodySource<'_> {
    /// The typed struct, or every diagnostic of the body, in source order.
    pub fn decode<T: Block>(&self) -> Result<T, Diagnostics> {
        self.decode_with_warnings().map(|(decoded, _)| decoded)
    }

    /// The typed struct with what its author should know, or every diagnostic of the body, in source order.
    pub fn decode_with_warnings<T: Block>(&self) -> Result<(T, Diagnostics), Diagnostics> {
        match self.run(false) {
            (Some(decoded), diagnostics) if !diagnostics.has_errors() => Ok((decoded, diagnostics)),
            (_, diagnostics) => Err(diagnostics),
        }
    }

    /// What can be said of a body before its graph runs: unknown and missing names, and the types of all values that do
    /// not depend on a name outside the scope and the standard library. `validate` uses it.
    pub fn check<T: Block>(&self) -> Diagnostics {
        self.run::<T>(true).1
    }

    fn run<T: Block>(&self, check: bool) -> (Option<T>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let context = Context { source: self.source, scope: self.scope, check };
        let input = BodyInput {
            context: &context,
            diagnostics: &mut diagnostics,
            body: self.body,
            header: self.header.in_source(self.source),
            label: self.label,
            depth: 0,
        };
        let mut decoder = BodyDecoder { input: Input::Body(input), asked: Vec::new() };
        let decoded = T::decode(&mut decoder).ok();
        decoder.finish();
        // In source order; what is missing as a whole comes last.
        diagnostics.0.sort_by_key(|diagnostic| match &diagnostic.location {
            Some(location) => (location.span == self.header, location.span.start),
            None => (true, u32::MAX),
        });
        // A struct written by hand may ask twice for one attribute.
        diagnostics.0.dedup_by(|one, other| one.severity == Severity::Warning && one.to_string() == other.to_string());
        (decoded, diagnostics)
    }
}

/// Attributes of any name and type: the arguments of a custom component.
pub fn decode_attributes(body: &Body, source: &Arc<Source>, scope: &Scope) -> Result<Object, Diagnostics> {
    body::attributes(body, source, scope)
}

/// There is a diagnostic that says why (or, in a check before the graph runs, a value that nobody knows yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// A body, or an object, from which a struct takes its fields.
///
/// Every question returns `None` after it has reported what is wrong, so ask all of them before you give up. For a
/// [`Block`] written by hand, `body.squash::<Derived>()` decodes a derived struct from the same body first.
pub struct BodyDecoder<'a> {
    input: Input<'a>,
    asked: Vec<Asked>,
}

enum Input<'a> {
    Body(BodyInput<'a>),
    Object(ObjectInput<'a>),
}

/// What stays the same for all blocks of one decoding.
struct Context<'a> {
    source: &'a Arc<Source>,
    scope: &'a Scope,
    /// Names that nobody knows are no errors.
    check: bool,
}

/// A name that a struct has asked for.
#[derive(Clone, Copy)]
enum Asked {
    Attribute(&'static str),
    Block(&'static str, fn() -> BlockSchema),
    Variants { prefix: &'static str, variants: &'static [Variant] },
}

// === impl BodyDecoder ===

impl BodyDecoder<'_> {
    /// An attribute that must be there.
    pub fn required_attribute<T: FromValue>(&mut self, name: &'static str) -> Option<T> {
        match self.attribute(name, NullMeans::Given) {
            Lookup::Found(value) => Some(value),
            Lookup::Failed => None,
            Lookup::Absent => match &mut self.input {
                Input::Body(input) => {
                    input.report_missing("attribute", name);
                    None
                }
                // Alloy does not look for missing keys of an object (spec §2.5).
                Input::Object(input) => T::zero().or_else(|| {
                    input.errors.push(ValueError::new(format!("lacks the required field {name:?}")));
                    None
                }),
            },
        }
    }

    /// An attribute with a default.
    pub fn attribute_or<T: FromValue>(&mut self, name: &'static str, default: impl FnOnce() -> T) -> Option<T> {
        match self.attribute(name, NullMeans::NotTheDefault) {
            Lookup::Found(value) => Some(value),
            Lookup::Failed => None,
            Lookup::Absent => Some(default()),
        }
    }

    /// An attribute whose absence is its type's zero.
    pub fn optional_attribute<T: FromValue>(&mut self, name: &'static str) -> Option<T> {
        match self.attribute(name, NullMeans::LeftOut) {
            Lookup::Found(value) => Some(value),
            Lookup::Failed => None,
            Lookup::Absent => T::absent().or_else(|| {
                // The type has no zero, so the attribute cannot be left out after all.
                if let Input::Body(input) = &mut self.input {
                    input.report_missing("attribute", name);
                }
                None
            }),
        }
    }

    /// A block that must be there, once.
    pub fn required_block<T: Block>(&mut self, name: &'static str) -> Option<T> {
        match self.block(name) {
            Lookup::Found(block) => Some(block),
            Lookup::Failed => None,
            Lookup::Absent => {
                match &mut self.input {
                    Input::Body(input) => input.report_missing("block", name),
                    Input::Object(input) => {
                        input.errors.push(ValueError::new(format!("lacks the required field {name:?}")));
                    }
                }
                None
            }
        }
    }

    /// A block that may be left out.
    pub fn block_or<T: Block>(&mut self, name: &'static str, absent: impl FnOnce() -> T) -> Option<T> {
        match self.block(name) {
            Lookup::Found(block) => Some(block),
            Lookup::Failed => None,
            Lookup::Absent => Some(absent()),
        }
    }

    /// A block that may be left out, which is `Some(None)`.
    pub fn optional_block<T: Block>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.block(name) {
            Lookup::Found(block) => Some(Some(block)),
            Lookup::Failed => None,
            Lookup::Absent => Some(None),
        }
    }

    /// Any number of blocks of one name, in source order; at least one if `required`.
    pub fn blocks<T: Block>(&mut self, name: &'static str, required: bool) -> Option<Vec<T>> {
        self.asked.push(Asked::Block(name, T::schema));
        match &mut self.input {
            Input::Body(input) => input.blocks(name, required),
            Input::Object(input) => input.blocks(name),
        }
    }

    /// The blocks of an enum, in source order.
    pub fn variants<T: BlockVariants>(&mut self, prefix: &'static str) -> Option<Vec<T>> {
        self.asked.push(Asked::Variants { prefix, variants: T::VARIANTS });
        match &mut self.input {
            Input::Body(input) => input.variants(prefix),
            Input::Object(_) => Some(Vec::new()),
        }
    }

    /// The label; empty where there can be none.
    pub fn label(&mut self) -> Option<String> {
        match &self.input {
            Input::Body(input) => Some(input.label.unwrap_or_default().to_owned()),
            Input::Object(_) => Some(String::new()),
        }
    }

    /// A struct whose fields stand in this same body.
    pub fn squash<T: Block>(&mut self) -> Option<T> {
        T::decode(self).ok()
    }

    /// Runs a struct's own check.
    pub fn validate<T: Validate>(&mut self, decoded: &T) -> Result<(), Failed> {
        decoded.validate().map_err(|invalid| self.invalid(invalid))
    }

    /// Reports what is wrong, at the field that it names.
    pub fn invalid(&mut self, invalid: Invalid) -> Failed {
        match &mut self.input {
            Input::Body(input) => input.report_invalid(invalid),
            Input::Object(input) => {
                let error = ValueError { path: Vec::new(), message: invalid.message, hint: invalid.hint };
                input.errors.push(match invalid.field {
                    Some(field) => error.at_field(field),
                    None => error,
                });
            }
        }
        Failed
    }

    /// Reports a diagnostic with a place of its own, or a warning.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        match &mut self.input {
            Input::Body(input) => input.diagnostics.push(diagnostic),
            Input::Object(input) => input.errors.push(ValueError::new(diagnostic.message)),
        }
    }

    fn attribute<T: FromValue>(&mut self, name: &'static str, null: NullMeans) -> Lookup<T> {
        self.asked.push(Asked::Attribute(name));
        match &mut self.input {
            Input::Body(input) => input.attribute(name, null),
            Input::Object(input) => input.attribute(name),
        }
    }

    fn block<T: Block>(&mut self, name: &'static str) -> Lookup<T> {
        self.asked.push(Asked::Block(name, T::schema));
        match &mut self.input {
            Input::Body(input) => input.block(name),
            Input::Object(input) => input.block(name),
        }
    }

    /// Reports what nobody asked for.
    fn finish(&mut self) {
        match &mut self.input {
            Input::Body(input) => unknown::report_in_body(input, &self.asked),
            Input::Object(input) => unknown::report_in_object(input, &self.asked),
        }
    }
}

enum Lookup<T> {
    Found(T),
    Absent,
    /// Reported, or not known yet.
    Failed,
}
