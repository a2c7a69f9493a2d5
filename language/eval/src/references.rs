//! What a text refers to (spec §3.2): chains of names, for the graph, and functions of the standard library, for gates and
//! warnings.

use language_syntax::Span;
use language_syntax::ast::{Block, Body, Expr, ExprKind, Ident, Statement};

use crate::stdlib::{self, FunctionInfo};

/// A chain of names as written: `loki.write.default.receiver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traversal {
    /// Never empty.
    pub names: Vec<Ident>,
}

/// A function of the standard library, named in a text.
#[derive(Clone, Copy)]
pub struct FunctionUse {
    /// Which.
    pub function: &'static FunctionInfo,
    /// Where.
    pub span: Span,
}

// === impl Traversal ===

impl Traversal {
    /// From the first name to the last.
    pub fn span(&self) -> Span {
        let last = &self.names[self.names.len() - 1];
        self.names[0].span.to(last.span)
    }

    /// The names, joined by dots.
    pub fn text(&self) -> String {
        self.names.iter().map(|name| name.name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The function of the standard library that this names, where nothing else has its first name. Only a full name
    /// counts: a namespace alone, as a value, is no use of its functions.
    pub fn function(&self) -> Option<FunctionUse> {
        let first = &self.names[0];
        let named = self.names.get(1).and_then(|second| {
            let function = stdlib::info(&format!("{}.{}", first.name, second.name))?;
            Some(FunctionUse { function, span: first.span.to(second.span) })
        });
        named.or_else(|| stdlib::info(&first.name).map(|function| FunctionUse { function, span: first.span }))
    }

    /// Every dotted prefix, the shortest first: the first of them that is a node's id is what the traversal means.
    pub fn prefixes(&self) -> impl Iterator<Item = String> {
        self.names.iter().scan(String::new(), |prefix, name| {
            if !prefix.is_empty() {
                prefix.push('.');
            }
            prefix.push_str(&name.name);
            Some(prefix.clone())
        })
    }
}

/// Every chain of names in an expression, cut at the first index or call, inside of which new ones begin.
pub fn references(expr: &Expr) -> Vec<Traversal> {
    let mut found = Vec::new();
    collect(expr, &mut found);
    found
}

/// Every chain of names in a body, child blocks included, in source order.
pub fn body_references(body: &Body) -> Vec<Traversal> {
    let mut found = Vec::new();
    let mut bodies = vec![body.statements.iter()];
    while let Some(statements) = bodies.last_mut() {
        match statements.next() {
            None => {
                bodies.pop();
            }
            Some(Statement::Attribute(attribute)) => collect(&attribute.value, &mut found),
            Some(Statement::Block(Block { body, .. })) => bodies.push(body.statements.iter()),
        }
    }
    found
}

fn collect(expr: &Expr, found: &mut Vec<Traversal>) {
    // A stack of our own: chains of operators lean far to the left.
    let mut pending = vec![expr];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            ExprKind::Ident(_) | ExprKind::Access { .. } => match traversal(expr) {
                Ok(traversal) => found.push(traversal),
                Err(root) => pending.push(root),
            },
            ExprKind::Literal(_) | ExprKind::Missing => {}
            ExprKind::Array(items) => pending.extend(items.iter().rev()),
            ExprKind::Object(fields) => pending.extend(fields.iter().rev().map(|field| &field.value)),
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

/// The whole expression as a chain of names, or else what its names are looked up in.
fn traversal(expr: &Expr) -> Result<Traversal, &Expr> {
    let mut names = Vec::new();
    let mut root = expr;
    while let ExprKind::Access { value, name } = &root.kind {
        names.push(name.clone());
        root = value;
    }
    let ExprKind::Ident(first) = &root.kind else { return Err(root) };
    names.push(Ident { name: first.clone(), span: root.span });
    names.reverse();
    Ok(Traversal { names })
}

#[cfg(test)]
mod tests {
    use language_syntax::{Source, parse};

    use super::*;

    fn traversals(expression: &str) -> Vec<Traversal> {
        let (file, diagnostics) = parse(Source::new("test", format!("v = {expression}")));
        assert!(diagnostics.is_empty(), "{diagnostics}");
        body_references(&file.body)
    }

    fn texts(expression: &str) -> Vec<String> {
        traversals(expression).iter().map(Traversal::text).collect()
    }

    #[test]
    fn chains_end_at_an_index_or_a_call_and_begin_again_inside() {
        assert_eq!(texts("a.b[c.d + 1].e + f(g.h, [i]).j"), ["a.b", "c.d", "f", "g.h", "i"]);
        assert_eq!(texts("{x = a.b, y = (c)}"), ["a.b", "c"]);
        assert_eq!(texts("(a.b).c"), ["a.b"]);
        assert!(texts("1 + -2").is_empty());
    }

    #[test]
    fn the_shortest_prefix_comes_first() {
        let prefixes: Vec<String> = traversals("a.b.c")[0].prefixes().collect();
        assert_eq!(prefixes, ["a", "a.b", "a.b.c"]);
    }

    #[test]
    fn functions_are_known_by_their_full_names() {
        let found = traversals("array.combine_maps(concat([]), string.format(\"\"), string, a.b)");
        let names: Vec<Option<&str>> =
            found.iter().map(|found| found.function().map(|found| found.function.name)).collect();
        assert_eq!(names, [Some("array.combine_maps"), Some("concat"), Some("string.format"), None, None]);
    }
}
