//! The context that statements without one are meant for.

use std::ops::Range;

use sdk_protocols_otlp::Signal;

use crate::context::Context;
use crate::fault::{Blame, Fault};
use crate::functions::{self, Use};
use crate::parser;
use crate::syntax::{Call, Path, Visitor};

/// The most specific context that any path names; if that has not all the functions and symbols, one below it that has.
pub(crate) fn context(signal: Signal, statements: &[String], conditions: &[String]) -> Result<Context, Vec<Fault>> {
    let used = if statements.is_empty() { Use::Conditions } else { Use::Statements };
    let mut seen = Seen { contexts: Vec::new(), functions: Vec::new(), symbols: Vec::new(), stranger: None };
    let mut faults = Vec::new();
    for (text, is_statement) in
        statements.iter().map(|text| (text, true)).chain(conditions.iter().map(|text| (text, false)))
    {
        let read = if is_statement {
            parser::statement(text).map(|tree| tree.visit(&mut seen))
        } else {
            parser::condition(text).map(|tree| tree.visit(&mut seen))
        };
        if let Err(blame) = read {
            faults.push(blame.in_text(text));
        }
        if let Some(blame) = seen.stranger.take() {
            faults.push(blame.in_text(text));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let first = statements.iter().chain(conditions).next().map_or("", String::as_str);
    let whole = |message: String| vec![Blame::new(0..first.len(), message).in_text(first)];
    let ranked = |context: &Context| Context::ALL.iter().position(|other| other == context);
    let Some(best) = seen.contexts.iter().copied().min_by_key(ranked) else {
        let names: Vec<&str> = Context::of(signal).iter().map(|context| context.name()).collect();
        return Err(whole(format!("no path says which context is meant; there are {}", names.join(", "))));
    };
    if !Context::of(signal).contains(&best) {
        let names: Vec<&str> = Context::of(signal).iter().map(|context| context.name()).collect();
        let message =
            format!("the context {:?} is none of {}; there are {}", best.name(), signal.name(), names.join(", "));
        return Err(whole(message));
    }
    let fits = |context: &Context| {
        let functions = seen.functions.iter().all(|name| functions::find(name, *context, used).is_some());
        functions && seen.symbols.iter().all(|symbol| context.symbol(symbol).is_some())
    };
    let below = Context::of(signal).iter().filter(|context| context.visible().contains(&best));
    // Where none fits, compiling in the best one tells what is wrong with it.
    Ok(if fits(&best) { best } else { below.copied().find(|context| fits(context)).unwrap_or(best) })
}

struct Seen {
    contexts: Vec<Context>,
    functions: Vec<String>,
    symbols: Vec<String>,
    /// A first name that is no context.
    stranger: Option<Blame>,
}

impl Visitor for Seen {
    fn path(&mut self, path: &Path) {
        let name = path.context().map(|name| if name == "instrumentation_scope" { "scope" } else { name });
        match name.and_then(|name| Context::ALL.into_iter().find(|context| context.name() == name)) {
            Some(context) => self.contexts.push(context),
            None => {
                let first = &path.segments[0];
                let contexts = Context::ALL.map(Context::name);
                let message = if first.name == "otelcol" {
                    "paths of \"otelcol\" are switched off (feature gate ottl.contexts.enableOTelColContext)".to_owned()
                } else {
                    format!(
                        "a path begins with the name of a context ({}); {:?} is none",
                        contexts.join(", "),
                        first.name
                    )
                };
                let blame = Blame::new(first.at.clone(), message).or_nearest(&first.name, contexts);
                self.stranger.get_or_insert(blame);
            }
        }
    }

    fn function(&mut self, call: &Call) {
        self.functions.push(call.name.clone());
    }

    fn name(&mut self, name: &str, _: &Range<usize>) {
        // What is no symbol anywhere may be a function's name.
        if Context::ALL.into_iter().any(|context| context.symbol(name).is_some()) {
            self.symbols.push(name.to_owned());
        }
    }
}
