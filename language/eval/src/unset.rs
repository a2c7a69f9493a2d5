//! Environment variables that a refused value was read from, and that are not there: more often than not the reason.

use language_syntax::ast::{Expr, ExprKind};
use language_syntax::{Diagnostic, Source};

/// So many are named.
const MAX_NAMED: usize = 3;

/// The diagnostic, with a hint for each variable that the expression asks for and that is not set, or set to nothing.
pub(crate) fn named(mut diagnostic: Diagnostic, expr: &Expr, source: &Source) -> Diagnostic {
    let mut names = Vec::new();
    collect(expr, source, &mut names);
    names.dedup();
    let missing = names.into_iter().filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()));
    diagnostic.hints.extend(missing.take(MAX_NAMED).map(|name| format!("the environment variable {name} is not set")));
    diagnostic
}

fn collect(expr: &Expr, source: &Source, names: &mut Vec<String>) {
    match &expr.kind {
        ExprKind::Call { callee, arguments, .. } => {
            if matches!(&*callee.text(source), "sys.env" | "env")
                && let [argument] = arguments.as_slice()
                && let Some(name) = base_stdx::quote::unquote(argument.text(source).as_bytes())
                && is_name(&name)
            {
                names.push(String::from_utf8_lossy(&name).into_owned());
            }
            arguments.iter().for_each(|argument| collect(argument, source, names));
        }
        ExprKind::Array(items) => items.iter().for_each(|item| collect(item, source, names)),
        ExprKind::Object(fields) => fields.iter().for_each(|field| collect(&field.value, source, names)),
        ExprKind::Binary { left, right, .. } => {
            collect(left, source, names);
            collect(right, source, names);
        }
        ExprKind::Paren(inner) | ExprKind::Unary { operand: inner, .. } => collect(inner, source, names),
        _ => {}
    }
}

/// Asking for any other name panics.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'=' | 0))
}
