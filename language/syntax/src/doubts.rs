//! What can be read, and probably does not mean what its author meant.

use std::sync::Arc;

use crate::ast::{Body, Expr, ExprKind, Literal, Statement};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::literal::{Number, number};
use crate::source::Source;

/// A warning for each number that is octal because it begins with 0, and so is another than it looks: `010` is 8.
pub fn octal_numbers(body: &Body, source: &Arc<Source>) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut bodies = vec![body.statements.iter()];
    while let Some(statements) = bodies.last_mut() {
        match statements.next() {
            None => drop(bodies.pop()),
            Some(Statement::Attribute(attribute)) => in_expression(&attribute.value, source, &mut found),
            Some(Statement::Block(block)) => bodies.push(block.body.statements.iter()),
        }
    }
    found
}

fn in_expression(expr: &Expr, source: &Arc<Source>, found: &mut Diagnostics) {
    // A stack of our own: chains of operators lean far to the left.
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            ExprKind::Literal(Literal::Number) => found.0.extend(doubt(expr, source)),
            ExprKind::Literal(_) | ExprKind::Ident(_) | ExprKind::Missing => {}
            ExprKind::Array(items) => pending.extend(items.iter().rev()),
            ExprKind::Object(fields) => pending.extend(fields.iter().rev().map(|field| &field.value)),
            ExprKind::Access { value, .. } => pending.push(value),
            ExprKind::Index { value, index } => pending.extend([&**index, value]),
            ExprKind::Call { callee, arguments, .. } => {
                pending.extend(arguments.iter().rev());
                pending.push(callee);
            }
            ExprKind::Unary { operand, .. } => pending.push(operand),
            ExprKind::Binary { left, right, .. } => pending.extend([&**right, left]),
            ExprKind::Paren(inner) => pending.push(inner),
        }
    }
}

fn doubt(expr: &Expr, source: &Arc<Source>) -> Option<Diagnostic> {
    let text = expr.text(source);
    let decimal = text.trim_start_matches('0');
    let means = match number(&text)? {
        Number::Int(number) => number.to_string(),
        Number::Uint(number) => number.to_string(),
        // Not octal (`08`), and so what it looks like.
        Number::Float(_) => return None,
    };
    if decimal.len() == text.len() || decimal.is_empty() || decimal == means {
        return None;
    }
    let message = format!("{text} is octal, as it begins with 0: it means {means}");
    Some(Diagnostic::warning(expr.location(source), message).with_hint(format!("write {means}, or {decimal}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn only_numbers_that_are_others_than_they_look_are_doubted() {
        let text = "a = [0, 00, 7, 007, 08, 0.5, \"010\", 010]\nb {\n\tc = {d = -f(x[0777]) + 0100}\n}\n";
        let source = Source::new("test", text);
        let (file, _) = parse(source.clone());
        let found: Vec<String> = octal_numbers(&file.body, &source).0.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "test:1:37: 010 is octal, as it begins with 0: it means 8",
                "test:3:16: 0777 is octal, as it begins with 0: it means 511",
                "test:3:25: 0100 is octal, as it begins with 0: it means 64",
            ]
        );
    }
}
