//! Bodies, attributes and blocks.

use super::Parser;
use crate::ast::{Attribute, Block, Body, Ident, Statement};
use crate::diagnostic::Diagnostic;
use crate::letters::{is_identifier, to_identifier};
use crate::source::Span;
use crate::token::TokenKind;

/// What stands before `=` or `{`.
struct Header {
    name: Vec<Ident>,
    /// Its text is empty if it was written as `""`, which is the same as no label.
    label: Option<Ident>,
}

// === impl Parser ===

impl Parser<'_> {
    /// Statements up to a closer, which is left for the caller.
    pub(super) fn body(&mut self, until: TokenKind, depth: usize) -> Body {
        let start = self.token.span.start;
        let mut statements = Vec::new();
        while !self.at(until) && !self.at(TokenKind::EndOfFile) {
            statements.extend(self.statement(depth));
            if self.at(until) {
                break;
            }
            if !self.at(TokenKind::Terminator) {
                let hint = match self.token.kind {
                    TokenKind::Comma => Some("attributes of a block are not separated by commas".to_owned()),
                    TokenKind::Ident => Some("each statement stands on a line of its own".to_owned()),
                    _ => None,
                };
                self.error_here(format!("expected TERMINATOR, got {}", self.token.kind.as_str()), hint);
                self.skip_statement();
            }
            self.next();
        }
        Body { statements, span: Span::new(start, self.token.span.start.max(start)) }
    }

    fn statement(&mut self, depth: usize) -> Option<Statement> {
        let Some(header) = self.header() else {
            self.skip_to(&[TokenKind::Ident]);
            return None;
        };
        match self.token.kind {
            TokenKind::Assign => Some(Statement::Attribute(self.attribute(header, depth))),
            TokenKind::OpenBrace => match self.too_deep(depth) {
                true => None,
                false => Some(Statement::Block(self.block(header, depth))),
            },
            kind => {
                let expected =
                    match header.name.len() == 1 && header.label.as_ref().is_none_or(|label| label.name.is_empty()) {
                        true => "attribute assignment or block body",
                        false => "block body",
                    };
                let hint = (kind == TokenKind::Terminator)
                    .then(|| "the { of a block stands on the same line as the block's name".to_owned());
                self.error_here(format!("expected {expected}, got {}", kind.as_str()), hint);
                self.skip_to(&[TokenKind::Ident]);
                None
            }
        }
    }

    fn attribute(&mut self, header: Header, depth: usize) -> Attribute {
        self.next();
        if header.name.len() != 1 {
            let parts: Vec<_> = header.name.iter().map(|part| part.name.as_str()).collect();
            let start = header.name[0].span.start;
            // As long as the name is when written without blanks.
            let length = parts.join(".").len() as u32;
            self.report(Diagnostic::error(
                Span::new(start, (start + length).min(self.end())).in_source(self.source),
                "attribute names may only consist of a single identifier with no \".\"",
            ));
        } else if let Some(label) = &header.label {
            let diagnostic =
                Diagnostic::error(label.span.in_source(self.source), "attribute names may not have labels");
            self.report(diagnostic);
        }
        let [name, ..] =
            <[Ident; 1]>::try_from(header.name.into_iter().take(1).collect::<Vec<_>>()).expect("a header has a name");
        Attribute { name, value: self.expression(depth) }
    }

    fn block(&mut self, header: Header, depth: usize) -> Block {
        let open = self.token.span;
        self.next();
        let body = self.body(TokenKind::CloseBrace, depth + 1);
        let (close, found) = self.expect_closer(TokenKind::CloseBrace, open);
        let close = if found { close.span } else { Span::new(self.end(), self.end()) };
        Block { name: header.name, label: header.label, body, open, close }
    }

    fn header(&mut self) -> Option<Header> {
        if !self.at(TokenKind::Ident) {
            self.error_here(format!("expected identifier, got {}", self.token.kind.as_str()), None);
            return None;
        }
        let mut header = Header { name: vec![self.ident()], label: None };
        while self.at(TokenKind::Dot) {
            self.next();
            if !self.at(TokenKind::Ident) {
                self.error_here(format!("expected identifier, got {}", self.token.kind.as_str()), None);
            }
            header.name.push(self.ident());
        }
        if !self.at(TokenKind::Assign) && !self.at(TokenKind::OpenBrace) {
            self.label(&mut header);
        }
        Some(header)
    }

    fn label(&mut self, header: &mut Header) {
        if !self.at(TokenKind::String) {
            let hint = match self.token.kind {
                TokenKind::Equal => Some("an attribute is set with a single =".to_owned()),
                TokenKind::Ident => Some(format!("write the label in quotes: {:?}", self.text(self.token.span))),
                TokenKind::Minus => Some("names are made of letters, digits and _".to_owned()),
                _ => None,
            };
            self.error_here(format!("expected block label, got {}", self.token.kind.as_str()), hint);
            self.next();
            return;
        }
        let span = self.token.span;
        let literal = self.bytes(span);
        if !literal.starts_with(b"\"") {
            let quoted = base_stdx::quote::quote(literal);
            let hint = "write it between double quotes".to_owned();
            self.error_here(format!("expected block label to be a double quoted string, but got {quoted}"), Some(hint));
        }
        // A text that is not terminated has been reported, and may have no second quote to take off.
        if literal.len() > 2 {
            let inner = &literal[1..literal.len() - 1];
            let name = String::from_utf8_lossy(inner).into_owned();
            if !is_identifier(&name) {
                let quoted = base_stdx::quote::quote(inner);
                let hint = match header.name.as_slice() {
                    [attribute] if self.ends_line(span.end) => {
                        Some(format!("an attribute is written {} = …", attribute.name))
                    }
                    _ => (name.len() <= 100).then(|| format!("a valid label is \"{}\"", to_identifier(&name))),
                };
                self.error_here(format!("expected block label to be a valid identifier, but got {quoted}"), hint);
            }
            header.label = Some(Ident { name, span });
        } else {
            header.label = Some(Ident { name: String::new(), span });
        }
        self.next();
    }

    /// Whether nothing but blanks or a comment follows on the line.
    fn ends_line(&self, offset: u32) -> bool {
        let mut rest = &self.source.bytes()[offset as usize..];
        while let [b' ' | b'\t' | b'\r', after @ ..] = rest {
            rest = after;
        }
        matches!(rest, [] | [b'\n', ..] | [b'/', b'/', ..])
    }

    /// The current token as a name; what it says is kept even if it is none.
    pub(super) fn ident(&mut self) -> Ident {
        let span = self.token.span;
        let ident = Ident { name: self.text(span), span };
        self.next();
        ident
    }
}
