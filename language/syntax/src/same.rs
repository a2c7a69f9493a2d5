//! Whether two files say the same, wherever their words stand.

use crate::ast::{Block, Body, Comment, Expr, ExprKind, Field, File, Literal, Statement};

/// Whether two files have the same statements and the same comments in the same order. Positions and spacing do not count.
pub fn same(left: &File, right: &File) -> bool {
    let pair = Pair { left, right };
    pair.bodies(&left.body, &right.body) && pair.comments()
}

struct Pair<'f> {
    left: &'f File,
    right: &'f File,
}

// === impl Pair ===

impl Pair<'_> {
    fn comments(&self) -> bool {
        let text = |file: &File, comment: &Comment| file.source.slice(comment.span).replace('\r', "");
        self.left.comments.len() == self.right.comments.len()
            && self
                .left
                .comments
                .iter()
                .zip(&self.right.comments)
                .all(|(l, r)| l.block == r.block && text(self.left, l) == text(self.right, r))
    }

    fn bodies(&self, left: &Body, right: &Body) -> bool {
        all(&left.statements, &right.statements, |l, r| match (l, r) {
            (Statement::Attribute(l), Statement::Attribute(r)) => {
                l.name.name == r.name.name && self.expressions(&l.value, &r.value)
            }
            (Statement::Block(l), Statement::Block(r)) => self.blocks(l, r),
            _ => false,
        })
    }

    fn blocks(&self, left: &Block, right: &Block) -> bool {
        let label = |block: &Block| block.label.as_ref().map(|label| label.name.clone()).unwrap_or_default();
        left.full_name() == right.full_name() && label(left) == label(right) && self.bodies(&left.body, &right.body)
    }

    fn expressions(&self, left: &Expr, right: &Expr) -> bool {
        use ExprKind::*;
        match (&left.kind, &right.kind) {
            (Ident(l), Ident(r)) => l == r,
            (Literal(l), Literal(r)) => l == r && self.literal_text(left, right, *l),
            (Array(l), Array(r)) => self.lists(l, r),
            (Object(l), Object(r)) => all(l, r, |l, r| self.fields(l, r)),
            (Access { value: l, name: l_name }, Access { value: r, name: r_name }) => {
                l_name.name == r_name.name && self.expressions(l, r)
            }
            (Index { value: l, index: l_index }, Index { value: r, index: r_index }) => {
                self.expressions(l, r) && self.expressions(l_index, r_index)
            }
            (Call { callee: l, arguments: l_list, .. }, Call { callee: r, arguments: r_list, .. }) => {
                self.expressions(l, r) && self.lists(l_list, r_list)
            }
            (Unary { operator: l_op, operand: l }, Unary { operator: r_op, operand: r }) => {
                l_op == r_op && self.expressions(l, r)
            }
            (
                Binary { operator: l_op, left: l_left, right: l_right, .. },
                Binary { operator: r_op, left: r_left, right: r_right, .. },
            ) => l_op == r_op && self.expressions(l_left, r_left) && self.expressions(l_right, r_right),
            (Paren(l), Paren(r)) => self.expressions(l, r),
            (Missing, Missing) => true,
            _ => false,
        }
    }

    fn literal_text(&self, left: &Expr, right: &Expr, kind: Literal) -> bool {
        matches!(kind, Literal::Null | Literal::Bool(_))
            || left.text(&self.left.source) == right.text(&self.right.source)
    }

    fn lists(&self, left: &[Expr], right: &[Expr]) -> bool {
        all(left, right, |l, r| self.expressions(l, r))
    }

    fn fields(&self, left: &Field, right: &Field) -> bool {
        left.name.name == right.name.name && self.expressions(&left.value, &right.value)
    }
}

fn all<T>(left: &[T], right: &[T], equal: impl Fn(&T, &T) -> bool) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
}
