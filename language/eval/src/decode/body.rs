//! Fields out of the text of a body.

use std::sync::Arc;

use language_syntax::ast::{self, Body, Statement};
use language_syntax::{Diagnostic, Diagnostics, Location, Severity, Source};

use super::doubts::{self, NullMeans};
use super::{BodyDecoder, Context, Input, Lookup, MAX_DEPTH};
use crate::block::{Block, BlockVariants, Invalid};
use crate::convert::{FromValue, ValueError, from_value_or_zero};
use crate::evaluate::{Evaluator, Failure, blame_value};
use crate::scope::Scope;
use crate::unset;
use crate::value::{Object, Value};

pub(super) struct BodyInput<'a> {
    pub context: &'a Context<'a>,
    pub diagnostics: &'a mut Diagnostics,
    pub body: &'a Body,
    pub header: Location,
    pub label: Option<&'a str>,
    pub depth: usize,
}

impl<'a> BodyInput<'a> {
    pub fn attribute<T: FromValue>(&mut self, name: &str, null: NullMeans) -> Lookup<T> {
        let Some(attribute) = self.find_attribute(name) else {
            // Written as a block: that is the error to report, not that it is missing.
            return if self.find_block(name).is_some() { Lookup::Failed } else { Lookup::Absent };
        };
        let Context { source, scope, check } = *self.context;
        let evaluator = Evaluator { source, scope, unknown_names: check };
        let value = match evaluator.value(&attribute.value, 0) {
            Ok(value) => value,
            Err(Failure::Unknown) => {
                super::check::parts(&attribute.value, &T::schema(), self.context, self.diagnostics);
                return Lookup::Failed;
            }
            Err(Failure::Diagnostic(diagnostic)) => {
                self.diagnostics.push(*diagnostic);
                return Lookup::Failed;
            }
        };
        match from_value_or_zero(&value) {
            Ok(decoded) => {
                let warn = |doubt: ValueError| Diagnostic {
                    severity: Severity::Warning,
                    ..blame_value(&attribute.value, source, &doubt)
                };
                self.diagnostics.0.extend(doubts::of(&value, &T::schema(), null).into_iter().map(warn));
                Lookup::Found(decoded)
            }
            Err(error) => {
                self.diagnostics.push(blame_value(&attribute.value, source, &error));
                Lookup::Failed
            }
        }
    }

    pub fn block<T: Block>(&mut self, name: &str) -> Lookup<T> {
        let blocks: Vec<&ast::Block> = self.blocks_named(name).collect();
        match blocks.as_slice() {
            [] if self.find_attribute(name).is_some() => Lookup::Failed,
            [] => Lookup::Absent,
            [block] => self.decode_block(block).map_or(Lookup::Failed, Lookup::Found),
            many => {
                for block in many {
                    let message = format!("block {name:?} may only be specified once");
                    self.error_at_block(block, message);
                }
                Lookup::Failed
            }
        }
    }

    pub fn blocks<T: Block>(&mut self, name: &'static str, required: bool) -> Option<Vec<T>> {
        let blocks: Vec<&ast::Block> = self.blocks_named(name).collect();
        if blocks.is_empty() && self.find_attribute(name).is_some() {
            return None;
        }
        if blocks.is_empty() && required {
            self.report_missing("block", name);
            return None;
        }
        // All of them are decoded, for all of their errors, before one failure makes the whole fail.
        let decoded: Vec<Option<T>> = blocks.into_iter().map(|block| self.decode_block(block)).collect();
        decoded.into_iter().collect()
    }

    pub fn variants<T: BlockVariants>(&mut self, prefix: &str) -> Option<Vec<T>> {
        let mut decoded = Vec::new();
        for statement in &self.body.statements {
            let Statement::Block(block) = statement else { continue };
            let full_name = block.full_name();
            let Some(name) = without_prefix(&full_name, prefix) else { continue };
            let Some(variant) = T::VARIANTS.iter().find(|variant| variant.name == name) else { continue };
            decoded.push(self.decode_with(block, variant.labelled, |body| T::decode_variant(name, body).ok()));
        }
        decoded.into_iter().collect()
    }

    pub fn report_missing(&mut self, kind: &str, name: &str) {
        let message = format!("missing required {kind} {name:?}");
        self.diagnostics.push(Diagnostic::error(self.header.clone(), message));
    }

    pub fn report_invalid(&mut self, invalid: Invalid) {
        let attribute = invalid.field.and_then(|field| self.find_attribute(field));
        let place = invalid.field.and_then(|field| {
            let attribute = attribute.map(|attribute| attribute.value.span);
            attribute.or_else(|| self.find_block(field).map(ast::Block::header_span))
        });
        let location = match place {
            Some(span) => span.in_source(self.context.source),
            None => self.header.clone(),
        };
        let mut diagnostic = Diagnostic::error(location, invalid.message);
        diagnostic.hints.extend(invalid.hint);
        self.diagnostics.push(match attribute {
            Some(attribute) => unset::named(diagnostic, &attribute.value, self.context.source),
            None => diagnostic,
        });
    }

    fn decode_block<T: Block>(&mut self, block: &'a ast::Block) -> Option<T> {
        self.decode_with(block, T::LABELLED, |body| T::decode(body).ok())
    }

    fn decode_with<T>(
        &mut self,
        block: &'a ast::Block,
        labelled: bool,
        decode: impl FnOnce(&mut BodyDecoder<'_>) -> Option<T>,
    ) -> Option<T> {
        let label = block.label.as_ref().map(|label| label.name.as_str()).filter(|label| !label.is_empty());
        let problem = match label {
            Some(_) if !labelled => Some("does not support specifying labels"),
            None if labelled => Some("requires non-empty label"),
            _ if self.depth >= MAX_DEPTH => Some("nests too deep"),
            _ => None,
        };
        if let Some(problem) = problem {
            self.error_at_block(block, format!("block {:?} {problem}", block.full_name()));
        }
        if self.depth >= MAX_DEPTH {
            return None;
        }
        let input = BodyInput {
            context: self.context,
            diagnostics: self.diagnostics,
            body: &block.body,
            header: block.header_span().in_source(self.context.source),
            label,
            depth: self.depth + 1,
        };
        let mut decoder = BodyDecoder { input: Input::Body(input), asked: Vec::new() };
        let decoded = decode(&mut decoder);
        decoder.finish();
        decoded
    }

    fn error_at_block(&mut self, block: &ast::Block, message: String) {
        let location = block.header_span().in_source(self.context.source);
        self.diagnostics.push(Diagnostic::error(location, message));
    }

    fn find_attribute(&self, name: &str) -> Option<&'a ast::Attribute> {
        self.body.statements.iter().find_map(|statement| match statement {
            Statement::Attribute(attribute) if attribute.name.name == name => Some(attribute),
            _ => None,
        })
    }

    fn find_block(&self, name: &str) -> Option<&'a ast::Block> {
        self.blocks_named(name).next()
    }

    fn blocks_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a ast::Block> + use<'a, 'n> {
        let statements = self.body.statements.iter();
        statements.filter_map(move |statement| match statement {
            Statement::Block(block) if is_named(block, name) => Some(block),
            _ => None,
        })
    }
}

/// Whether the dotted name of a block is this one.
fn is_named(block: &ast::Block, name: &str) -> bool {
    let mut parts = block.name.iter();
    name.split('.').all(|part| parts.next().is_some_and(|ident| ident.name == part)) && parts.next().is_none()
}

pub(super) fn without_prefix<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    if prefix.is_empty() { Some(name) } else { name.strip_prefix(prefix)?.strip_prefix('.') }
}

/// Every attribute as it is (the last of equal names does not win: it is an error).
pub(super) fn attributes(body: &Body, source: &Arc<Source>, scope: &Scope) -> Result<Object, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut fields: Vec<(&str, Value)> = Vec::new();
    for statement in &body.statements {
        match statement {
            Statement::Attribute(attribute) => {
                let name = attribute.name.name.as_str();
                if fields.iter().any(|(known, _)| *known == name) {
                    let message = format!("attribute {name:?} may only be provided once");
                    diagnostics.push(Diagnostic::error(attribute.span().in_source(source), message));
                }
                match crate::evaluate(&attribute.value, source, scope) {
                    Ok(value) => fields.push((name, value)),
                    Err(diagnostic) => diagnostics.push(diagnostic),
                }
            }
            Statement::Block(block) => {
                let location = block.header_span().in_source(source);
                diagnostics.push(Diagnostic::error(location, "nested blocks not supported here"));
            }
        }
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(fields.into_iter().collect()) }
}
