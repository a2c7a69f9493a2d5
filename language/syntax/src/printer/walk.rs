//! From the tree to tokens and spacing.

use super::FormatError;
use super::writer::{Space, Writer};
use crate::ast::{Attribute, Block, Expr, ExprKind, Field, Literal, Statement, UnaryOperator};
use crate::source::Span;

// === impl Writer ===

impl Writer<'_> {
    pub fn statements(&mut self, statements: &[Statement]) {
        let mut previous: Option<&Statement> = None;
        for statement in statements {
            if let Some(previous) = previous {
                let is_block = matches!(statement, Statement::Block(_));
                let gap = self.line_of(statement.span().start) - self.last_line_of(previous.span());
                if is_block || gap > 1 {
                    self.space(Space::HardLineEnd);
                }
            }
            let first_line = match statement {
                Statement::Attribute(attribute) => self.attribute(attribute),
                Statement::Block(block) => self.block(block),
            };
            // A block, and what goes over several lines, belongs to no run of aligned lines. What counts is the lines
            // written, not those of the original: else a second formatting could align differently.
            let joins_run = matches!(statement, Statement::Attribute(_)) && self.layout.line_number() == first_line;
            self.space(if joins_run { Space::LineEnd } else { Space::HardLineEnd });
            previous = Some(statement);
        }
    }

    fn attribute(&mut self, attribute: &Attribute) -> usize {
        let first_line = self.token_at(&attribute.name.name, attribute.name.span.start);
        self.space(Space::TabStop);
        self.token("=");
        self.space(Space::Blank);
        self.expression(&attribute.value);
        first_line
    }

    fn block(&mut self, block: &Block) -> usize {
        let first_line = self.block_name(block);
        if let Some(label) = block.label.as_ref().filter(|label| !label.name.is_empty()) {
            self.space(Space::Blank);
            self.token_at(&format!("\"{}\"", label.name), label.span.start);
        }
        self.space(Space::Blank);
        self.token_at("{", block.open.start);
        self.space(Space::Indent);
        if block.body.statements.is_empty() {
            self.space(Space::Blank);
        } else {
            self.space(Space::HardLineEnd);
            self.statements(&block.body.statements);
        }
        self.space(Space::Unindent);
        self.token_at("}", block.close.start);
        first_line
    }

    /// The name in one word, if no comment has to stay inside it.
    fn block_name(&mut self, block: &Block) -> usize {
        let (first, rest) = block.name.split_first().expect("a block has a name");
        if !self.keeps_comments() {
            return self.token_at(&block.full_name(), first.span.start);
        }
        let first_line = self.token_at(&first.name, first.span.start);
        for part in rest {
            self.token(".");
            self.token_at(&part.name, part.span.start);
        }
        first_line
    }

    fn expression(&mut self, expression: &Expr) {
        let start = expression.span.start;
        match &expression.kind {
            ExprKind::Missing => self.failure = Some(FormatError::Incomplete),
            ExprKind::Ident(name) => {
                self.token_at(name, start);
            }
            ExprKind::Literal(kind) => {
                let source = &self.file.source;
                let text = source.slice(expression.span);
                match kind {
                    Literal::Number => self.number(&text, start),
                    _ => {
                        self.token_at(&text, start);
                    }
                }
            }
            ExprKind::Array(elements) => self.array(elements, expression.span),
            ExprKind::Object(fields) => self.object(fields, expression.span),
            ExprKind::Access { value, name } => {
                self.expression(value);
                self.token(".");
                self.token_ending_at(&name.name, name.span);
            }
            ExprKind::Index { value, index } => {
                self.expression(value);
                self.token_after("[", value.span);
                self.expression(index);
                self.token_at("]", expression.span.end - 1);
            }
            ExprKind::Call { callee, arguments, close } => self.call(callee, arguments, *close),
            ExprKind::Unary { operator, operand } => {
                let operator = match operator {
                    UnaryOperator::Not => "!",
                    UnaryOperator::Negate => "-",
                };
                self.token_at(operator, start);
                self.expression(operand);
            }
            ExprKind::Binary { operator, operator_span, left, right } => {
                self.expression(left);
                self.space(Space::Blank);
                self.token_at(operator.as_str(), operator_span.start);
                self.space(Space::Blank);
                self.expression(right);
            }
            ExprKind::Paren(inner) => {
                self.token("(");
                self.expression(inner);
                self.token_ending_at(")", expression.span);
            }
        }
    }

    /// Elements keep to the lines on which their author began them.
    fn array(&mut self, elements: &[Expr], span: Span) {
        self.token_at("[", span.start);
        let mut last_line = self.line_of(span.start);
        for (index, element) in elements.iter().enumerate() {
            let own_line = self.line_of(element.span.start) != last_line;
            if own_line {
                self.space(Space::Indent);
                self.space(Space::HardLineEnd);
            } else if index > 0 {
                self.space(Space::Blank);
            }
            self.expression(element);
            last_line = self.last_line_of(element.span);
            if index + 1 < elements.len() {
                self.token(",");
            }
            if own_line {
                self.space(Space::Unindent);
            }
        }
        if !elements.is_empty() && self.line_of(span.end - 1) != last_line {
            self.token(",");
            // A comment before the closer is indented, the closer is not.
            self.space(Space::Indent);
            self.space(Space::HardLineEnd);
            self.space(Space::Unindent);
        }
        self.token_at("]", span.end - 1);
    }

    fn object(&mut self, fields: &[Field], span: Span) {
        self.token_at("{", span.start);
        self.space(Space::Indent);
        let mut last_line = self.line_of(span.start);
        let mut joins_run = false;
        for (index, field) in fields.iter().enumerate() {
            let line = self.line_of(field.name.span.start);
            if line != last_line {
                self.space(if joins_run { Space::LineEnd } else { Space::HardLineEnd });
            } else if index > 0 {
                self.space(Space::Blank);
            }
            last_line = line;
            let first_line = self.token_at(&self.key(field), field.name.span.start);
            self.space(Space::TabStop);
            self.token("=");
            self.space(Space::Blank);
            self.expression(&field.value);
            joins_run = self.layout.line_number() == first_line;
            if index + 1 < fields.len() {
                self.token(",");
            }
        }
        if !fields.is_empty() && self.line_of(span.end - 1) != last_line {
            self.token(",");
            self.space(Space::HardLineEnd);
        }
        self.space(Space::Unindent);
        self.token_at("}", span.end - 1);
    }

    /// A key as written; in double quotes if that says the same.
    fn key(&self, field: &Field) -> String {
        let written = self.file.source.slice(field.name.span);
        let plain = |c: char| base_stdx::quote::is_printable(c) && !matches!(c, '"' | '\\');
        match field.quoted && field.name.name.chars().all(plain) {
            true => format!("\"{}\"", field.name.name),
            false => written.into_owned(),
        }
    }

    fn call(&mut self, callee: &Expr, arguments: &[Expr], close: Span) {
        self.expression(callee);
        self.token("(");
        // On the line on which the callee ends: a line end between them would end the statement.
        let mut last_line = self.last_line_of(callee.span);
        for (index, argument) in arguments.iter().enumerate() {
            let own_line = self.line_of(argument.span.start) != last_line;
            if own_line {
                self.space(Space::HardLineEnd);
                self.space(Space::Indent);
            }
            self.expression(argument);
            last_line = self.last_line_of(argument.span);
            if index + 1 < arguments.len() {
                self.token(",");
                self.space(Space::Blank);
            }
            if own_line {
                self.space(Space::Unindent);
            }
        }
        if !arguments.is_empty() && self.line_of(close.start) != last_line {
            self.token(",");
            self.space(Space::HardLineEnd);
        }
        self.token_ending_at(")", close);
    }
}
