//! Expressions.

use super::{MAX_HEIGHT, Parser};
use crate::ast::{BinaryOperator, Expr, ExprKind, Field, Ident, Literal, UnaryOperator};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::token::TokenKind;

/// An expression and the height of its tree.
struct Tree {
    expression: Expr,
    height: usize,
}

/// Where the parser goes on after something that is no expression.
const AFTER_EXPRESSION: [TokenKind; 5] =
    [TokenKind::Terminator, TokenKind::CloseParen, TokenKind::CloseBrace, TokenKind::CloseBracket, TokenKind::Comma];

// === impl Parser ===

impl Parser<'_> {
    pub(super) fn expression(&mut self, depth: usize) -> Expr {
        self.tree(depth).expression
    }

    fn tree(&mut self, depth: usize) -> Tree {
        self.binary(1, depth)
    }

    /// Operators that bind at least as tightly as `least`, joined to the left.
    fn binary(&mut self, least: u8, depth: usize) -> Tree {
        let mut left = self.power(depth);
        while let Some((operator, precedence)) = binary_operator(self.token.kind).filter(|(_, p)| *p >= least) {
            let operator_span = self.token.span;
            self.next();
            let right = self.binary(precedence + 1, depth);
            left = self.join(left, operator, operator_span, right);
        }
        left
    }

    /// `^`, which joins to the right: the operands are collected first, so that a long chain costs no stack.
    fn power(&mut self, depth: usize) -> Tree {
        let mut operands = vec![self.unary(depth)];
        let mut operators = Vec::new();
        while self.at(TokenKind::Caret) {
            operators.push(self.token.span);
            self.next();
            operands.push(self.unary(depth));
        }
        let mut right = operands.pop().expect("at least the first");
        while let (Some(left), Some(span)) = (operands.pop(), operators.pop()) {
            right = self.join(left, BinaryOperator::Power, span, right);
        }
        right
    }

    fn join(&mut self, left: Tree, operator: BinaryOperator, operator_span: Span, right: Tree) -> Tree {
        let span = left.expression.span.to(right.expression.span);
        let height = left.height.max(right.height);
        let (left, right) = (Box::new(left.expression), Box::new(right.expression));
        self.grown(ExprKind::Binary { operator, operator_span, left, right }, span, height)
    }

    /// An expression around others, unless the tree is too high by now.
    fn grown(&mut self, kind: ExprKind, span: Span, height: usize) -> Tree {
        if height >= MAX_HEIGHT {
            self.give_up(format!("expression is too long; at most {MAX_HEIGHT} operations in a row can be read"));
            return Tree { expression: Expr { kind: ExprKind::Missing, span }, height: 0 };
        }
        Tree { expression: Expr { kind, span }, height: height + 1 }
    }

    fn unary(&mut self, depth: usize) -> Tree {
        let operator = match self.token.kind {
            TokenKind::Not => UnaryOperator::Not,
            TokenKind::Minus => UnaryOperator::Negate,
            _ => return self.postfix(depth),
        };
        let start = self.token.span;
        if self.too_deep(depth) {
            return self.missing();
        }
        self.next();
        let operand = self.unary(depth + 1);
        let span = start.to(operand.expression.span);
        self.grown(ExprKind::Unary { operator, operand: Box::new(operand.expression) }, span, operand.height)
    }

    /// A value and what is looked up in it or done with it.
    fn postfix(&mut self, depth: usize) -> Tree {
        let mut value = self.primary(depth);
        loop {
            let start = value.expression.span;
            value = match self.token.kind {
                TokenKind::Dot => {
                    self.next();
                    let (token, found) = self.expect(TokenKind::Ident);
                    let name = Ident { name: self.text(token.span), span: token.span };
                    let kind = ExprKind::Access { value: Box::new(value.expression), name };
                    let span = if found { start.to(token.span) } else { start };
                    self.grown(kind, span, value.height)
                }
                TokenKind::OpenBracket => {
                    if self.too_deep(depth) {
                        return value;
                    }
                    let open = self.token.span;
                    self.next();
                    let index = self.tree(depth + 1);
                    let (close, _) = self.expect_closer(TokenKind::CloseBracket, open);
                    let height = value.height.max(index.height);
                    let kind = ExprKind::Index { value: Box::new(value.expression), index: Box::new(index.expression) };
                    self.grown(kind, start.to(close.span), height)
                }
                TokenKind::OpenParen => {
                    if self.too_deep(depth) {
                        return value;
                    }
                    let open = self.token.span;
                    self.next();
                    let (arguments, height) = self.list(TokenKind::CloseParen, depth + 1);
                    let (close, _) = self.expect_closer(TokenKind::CloseParen, open);
                    let height = value.height.max(height);
                    let callee = Box::new(value.expression);
                    self.grown(ExprKind::Call { callee, arguments, close: close.span }, start.to(close.span), height)
                }
                TokenKind::String | TokenKind::OpenBrace => match self.block_as_value(start, depth) {
                    true => value,
                    false => return value,
                },
                _ => return value,
            };
        }
    }

    /// `a = b "c" { … }`: someone gives a block as a value. Reads it to its end, to say just that; whether it was one.
    fn block_as_value(&mut self, start: Span, depth: usize) -> bool {
        if self.too_deep(depth) {
            return false;
        }
        if self.at(TokenKind::String) {
            self.next();
        }
        let (_, opened) = self.expect(TokenKind::OpenBrace);
        if !opened {
            self.skip_statement();
            return false;
        }
        self.body(TokenKind::CloseBrace, depth + 1);
        let (close, closed) = self.expect(TokenKind::CloseBrace);
        if !closed {
            self.skip_statement();
            return false;
        }
        let location = start.to(close.span).in_source(self.source);
        self.report(
            Diagnostic::error(location, "cannot use a block as an expression")
                .with_hint("a block is written without = before it"),
        );
        true
    }

    fn primary(&mut self, depth: usize) -> Tree {
        let start = self.token.span;
        let literal = |kind| Tree { expression: Expr { kind: ExprKind::Literal(kind), span: start }, height: 1 };
        let tree = match self.token.kind {
            TokenKind::Ident => {
                Tree { expression: Expr { kind: ExprKind::Ident(self.text(start)), span: start }, height: 1 }
            }
            TokenKind::String => literal(Literal::String),
            TokenKind::Number => literal(Literal::Number),
            TokenKind::Float => literal(Literal::Float),
            TokenKind::Bool => literal(Literal::Bool(self.bytes(start) == b"true")),
            TokenKind::Null => literal(Literal::Null),
            TokenKind::OpenParen | TokenKind::OpenBracket | TokenKind::OpenBrace => return self.bracketed(depth),
            kind => {
                self.error_here(format!("expected expression, got {}", kind.as_str()), None);
                let missing = self.missing();
                self.skip_to(&AFTER_EXPRESSION);
                return missing;
            }
        };
        self.next();
        tree
    }

    fn bracketed(&mut self, depth: usize) -> Tree {
        if self.too_deep(depth) {
            return self.missing();
        }
        let open = self.token;
        self.next();
        match open.kind {
            TokenKind::OpenParen => {
                let inner = self.tree(depth + 1);
                let (close, _) = self.expect_closer(TokenKind::CloseParen, open.span);
                self.grown(ExprKind::Paren(Box::new(inner.expression)), open.span.to(close.span), inner.height)
            }
            TokenKind::OpenBracket => {
                let (elements, height) = self.list(TokenKind::CloseBracket, depth + 1);
                let (close, _) = self.expect_closer(TokenKind::CloseBracket, open.span);
                self.grown(ExprKind::Array(elements), open.span.to(close.span), height)
            }
            _ => {
                let (fields, height) = self.fields(depth + 1);
                let (close, _) = self.expect_closer(TokenKind::CloseBrace, open.span);
                self.grown(ExprKind::Object(fields), open.span.to(close.span), height)
            }
        }
    }

    /// Expressions with commas between them, and perhaps after the last; the closer is left for the caller.
    fn list(&mut self, until: TokenKind, depth: usize) -> (Vec<Expr>, usize) {
        let mut elements = Vec::new();
        let mut height = 0;
        while !self.at(until) && !self.at(TokenKind::EndOfFile) {
            let element = self.tree(depth);
            height = height.max(element.height);
            elements.push(element.expression);
            if !self.comma_or(until, "expression list") {
                break;
            }
        }
        (elements, height)
    }

    fn fields(&mut self, depth: usize) -> (Vec<Field>, usize) {
        let mut fields = Vec::new();
        let mut height = 0;
        // `{]` is an empty object with the wrong closer rather than one with a wrong key.
        while !self.at(TokenKind::CloseBrace) && !self.at(TokenKind::EndOfFile) {
            if fields.is_empty() && self.at(TokenKind::CloseBracket) {
                break;
            }
            let name = self.field_name();
            self.expect(TokenKind::Assign);
            let value = self.tree(depth);
            height = height.max(value.height);
            if let Some((name, quoted)) = name {
                fields.push(Field { name, quoted, value: value.expression });
            }
            if !self.comma_or(TokenKind::CloseBrace, "field list") {
                break;
            }
        }
        (fields, height)
    }

    fn field_name(&mut self) -> Option<(Ident, bool)> {
        let span = self.token.span;
        match self.token.kind {
            TokenKind::Ident => Some((self.ident(), false)),
            TokenKind::String => {
                let literal = self.text(span);
                self.next();
                // Taken as it stands, without a look at escapes; and "" keeps its quotes. Both are what Alloy does.
                let inner = literal.get(1..literal.len() - 1).filter(|inner| !inner.is_empty());
                let quoted = inner.is_some();
                Some((Ident { name: inner.unwrap_or(&literal).to_owned(), span }, quoted))
            }
            kind => {
                self.error_here(format!("expected field name (string or identifier), got {}", kind.as_str()), None);
                self.skip_to(&[TokenKind::Assign]);
                None
            }
        }
    }

    /// Past a comma; false at the closer. Anything else counts as a comma that was forgotten, and is skipped.
    fn comma_or(&mut self, until: TokenKind, list: &str) -> bool {
        if self.at(until) {
            return false;
        }
        if !self.at(TokenKind::Comma) {
            let hint = (self.token.kind == TokenKind::Terminator).then(|| {
                format!("in a list over several lines every line ends with a comma, also before {}", until.as_str())
            });
            self.error_here(format!("missing ',' in {list}"), hint);
        }
        self.next();
        true
    }

    fn missing(&self) -> Tree {
        let start = self.token.span.start;
        Tree { expression: Expr { kind: ExprKind::Missing, span: Span::new(start, start) }, height: 1 }
    }
}

fn binary_operator(kind: TokenKind) -> Option<(BinaryOperator, u8)> {
    use BinaryOperator::*;
    Some(match kind {
        TokenKind::Or => (Or, 1),
        TokenKind::And => (And, 2),
        TokenKind::Equal => (Equal, 3),
        TokenKind::NotEqual => (NotEqual, 3),
        TokenKind::Less => (Less, 3),
        TokenKind::LessOrEqual => (LessOrEqual, 3),
        TokenKind::Greater => (Greater, 3),
        TokenKind::GreaterOrEqual => (GreaterOrEqual, 3),
        TokenKind::Plus => (Add, 4),
        TokenKind::Minus => (Subtract, 4),
        TokenKind::Star => (Multiply, 5),
        TokenKind::Slash => (Divide, 5),
        TokenKind::Percent => (Modulo, 5),
        _ => return None,
    })
}
