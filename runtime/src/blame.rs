//! From a component's [`Problem`] to a diagnostic that points into the user's file.

use std::collections::BTreeMap;

use language_syntax::{Diagnostic, Severity, Span, ast};
use sdk_component::{Blame, Problem};

use crate::plan::PlannedNode;

/// The attribute or child block that a problem names, else the header.
pub(crate) fn diagnostic(node: &PlannedNode, prefix: &str, problem: Problem, environment: Severity) -> Diagnostic {
    let block = &node.block;
    let place = problem
        .field
        .as_deref()
        .and_then(|field| find(&block.block.body, field))
        .map_or_else(|| node.location(), |span| span.in_source(&block.source));
    let mut diagnostic = Diagnostic::error(place, format!("{prefix}: {}", problem.message));
    if problem.blame == Blame::Environment {
        diagnostic.severity = environment;
    }
    match problem.hint {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

/// What is no reason not to start.
pub(crate) fn doubt(node: &PlannedNode, problem: Problem) -> Diagnostic {
    let mut doubt = diagnostic(node, &node.id, problem, Severity::Warning);
    doubt.severity = Severity::Warning;
    doubt
}

/// The value of an attribute, or the header of a block; `endpoint.url` looks inside `endpoint`, `endpoint[1].url` inside the
/// second one.
fn find(body: &ast::Body, field: &str) -> Option<Span> {
    let mut in_blocks = None;
    let mut blocks_before: BTreeMap<String, usize> = BTreeMap::new();
    for statement in &body.statements {
        match statement {
            ast::Statement::Attribute(attribute) if attribute.name.name == field => return Some(attribute.value.span),
            ast::Statement::Block(block) => {
                let name = block.full_name();
                let before = blocks_before.entry(name.clone()).or_default();
                let number = format!("[{before}]");
                *before += 1;
                let Some(rest) = field.strip_prefix(&name) else { continue };
                let rest = rest.strip_prefix(&number).unwrap_or(rest);
                if rest.is_empty() {
                    return Some(block.header_span());
                }
                if let Some(rest) = rest.strip_prefix('.') {
                    in_blocks = in_blocks.or_else(|| find(&block.body, rest));
                }
            }
            _ => {}
        }
    }
    in_blocks
}

/// What a panic said.
pub(crate) fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).map_err(|panic| {
        let message = match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().map_or("no message", |text| text).to_owned(),
        };
        format!("panicked: {message}; this is a fault in Ferroalloy, please report it")
    })
}
