//! Functions: what each is called, what it takes, and where it may be used.
//!
//! A function is built once for each call in a statement, with its arguments compiled; what can be prepared (regular
//! expressions, layouts of times, tables) is prepared then.

mod access_logs;
mod arguments;
mod collections;
mod conversion;
mod editors;
mod hashes;
mod kinds;
mod metrics;
mod network;
mod parsing;
mod points;
mod replace;
mod spans;
mod strings;
mod times;
mod user_agent;
mod xml;

use crate::context::Context;
use crate::expression::{Body, Edit};
pub(crate) use arguments::{Argument, Arguments, Kind, Passed};

/// A function.
pub(crate) struct Function {
    pub name: &'static str,
    pub parameters: &'static [Parameter],
    pub place: Where,
    pub build: fn(&mut Arguments) -> Result<Built, String>,
}

/// One of its parameters.
pub(crate) struct Parameter {
    /// The name in the words of the Collector, in camel case.
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
}

/// Where a function may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Everywhere,
    /// Statements of one context.
    Statements(Context),
    /// Conditions of one context.
    Conditions(Context),
    /// Both.
    Only(Context),
}

/// What is compiled: statements may edit, conditions may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Statements,
    Conditions,
}

/// A function with its arguments.
pub(crate) enum Built {
    Converter(Body),
    Editor(Edit),
}

const ALL: &[&[Function]] = &[
    access_logs::FUNCTIONS,
    collections::FUNCTIONS,
    conversion::FUNCTIONS,
    editors::FUNCTIONS,
    hashes::FUNCTIONS,
    kinds::FUNCTIONS,
    metrics::FUNCTIONS,
    network::FUNCTIONS,
    parsing::FUNCTIONS,
    points::FUNCTIONS,
    replace::FUNCTIONS,
    spans::FUNCTIONS,
    strings::FUNCTIONS,
    times::FUNCTIONS,
    user_agent::FUNCTIONS,
    xml::FUNCTIONS,
];

/// Functions of lambda expressions, which are switched off in the Collector.
pub(crate) const LAMBDA: &[&str] = &["All", "Any", "Filter", "Find", "MapEach", "MapKeys", "Reduce", "When"];

/// The functions that may be used in a context.
pub(crate) fn available(context: Context, used: Use) -> impl Iterator<Item = &'static Function> {
    ALL.iter().flat_map(|list| list.iter()).filter(move |function| match function.place {
        Where::Everywhere => used == Use::Statements || !function.is_editor(),
        Where::Only(only) => only == context,
        Where::Statements(only) => only == context && used == Use::Statements,
        Where::Conditions(only) => only == context && used == Use::Conditions,
    })
}

/// A function by its name.
pub(crate) fn find(name: &str, context: Context, used: Use) -> Option<&'static Function> {
    available(context, used).find(|function| function.name == name)
}

/// The contexts in which there is a function of this name.
pub(crate) fn elsewhere(name: &str, used: Use) -> Vec<&'static str> {
    let contexts = Context::ALL.into_iter().filter(|context| find(name, *context, used).is_some());
    contexts.map(Context::name).collect()
}

// === impl Function ===

impl Function {
    pub const fn is_editor(&self) -> bool {
        self.name.as_bytes()[0].is_ascii_lowercase()
    }
}

/// A parameter that must be given.
const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, optional: false }
}

/// A parameter that may be left out.
const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, optional: true }
}

const fn everywhere(
    name: &'static str,
    parameters: &'static [Parameter],
    build: fn(&mut Arguments) -> Result<Built, String>,
) -> Function {
    Function { name, parameters, place: Where::Everywhere, build }
}

/// A converter of a closure; says to the compiler what closure it is.
fn converter<F>(body: F) -> Result<Built, String>
where
    F: for<'a, 'm> Fn(&'a crate::context::On<'m>) -> crate::error::Result<crate::value::Value<'a>>
        + Send
        + Sync
        + 'static,
{
    Ok(Built::Converter(Box::new(body)))
}

/// An editor of a closure.
fn editor<F>(edit: F) -> Result<Built, String>
where
    F: for<'m> Fn(&mut crate::context::On<'m>) -> crate::error::Result<()> + Send + Sync + 'static,
{
    Ok(Built::Editor(Box::new(edit)))
}
