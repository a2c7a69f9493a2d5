//! From tokens to the tree, with every error on the way (spec §1.5, §1.6).
//!
//! Recursive descent that goes on after an error: it skips to where a statement can begin again and keeps what it
//! understood. A second error of the parser on one line would be an echo of the first and is not reported.
//!
//! Hostile text cannot exhaust the stack: nesting and the height of an expression's tree have bounds with names, and what
//! walks the tree later (printing, evaluating, dropping) may recurse.

mod expression;
mod foreign;
mod statement;

use std::sync::Arc;

use crate::ast::{Comment, Expr, File};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::scanner::Scanner;
use crate::source::{Source, Span};
use crate::token::{Token, TokenKind};

/// How deep blocks, brackets and unary operators may nest.
pub const MAX_NESTING: usize = 200;

/// How high an expression's tree may grow: the number of operators, accesses and calls in a row.
pub const MAX_HEIGHT: usize = 1000;

/// After so many diagnostics of one file the rest is not read.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Reads a whole file. The tree holds all that could be understood; it is the file's meaning only if no diagnostic is an error.
pub fn parse(source: Arc<Source>) -> (File, Diagnostics) {
    let mut parser = Parser::new(&source);
    let body = parser.body(TokenKind::EndOfFile, 0);
    let (comments, mut diagnostics) = (parser.comments, parser.diagnostics);
    if let (Some(first), Some(hint)) = (diagnostics.0.first_mut(), foreign::hint(source.bytes())) {
        first.hints = vec![hint.to_owned()];
        // What else is wrong with it as Alloy's language helps nobody.
        diagnostics.0.truncate(1);
    }
    (File { source, body, comments }, diagnostics)
}

/// Reads a text that is one expression.
pub fn parse_expression(source: Arc<Source>) -> (Expr, Diagnostics) {
    let mut parser = Parser::new(&source);
    let expression = parser.expression(0);
    parser.expect(TokenKind::Terminator);
    (expression, parser.diagnostics)
}

struct Parser<'s> {
    source: &'s Arc<Source>,
    scanner: Scanner<'s>,
    token: Token,
    /// Line of the last error of the parser's own.
    error_line: u32,
    /// A bound was hit: nothing more is read or reported.
    gave_up: bool,
    comments: Vec<Comment>,
    diagnostics: Diagnostics,
}

// === impl Parser ===

impl<'s> Parser<'s> {
    fn new(source: &'s Arc<Source>) -> Parser<'s> {
        let nothing = Token { kind: TokenKind::Illegal, span: Span::default() };
        let mut parser = Parser {
            source,
            scanner: Scanner::new(source),
            token: nothing,
            error_line: 0,
            gave_up: false,
            comments: Vec::new(),
            diagnostics: Diagnostics::default(),
        };
        parser.next();
        parser
    }

    fn at(&self, kind: TokenKind) -> bool {
        self.token.kind == kind
    }

    /// On to the next token; comments go to their list.
    fn next(&mut self) {
        loop {
            if self.gave_up {
                self.token = Token { kind: TokenKind::EndOfFile, span: Span::new(self.end(), self.end()) };
                return;
            }
            self.token = self.scanner.next_token();
            for error in self.scanner.take_errors() {
                let location = Span::new(error.offset, error.offset + 1).in_source(self.source);
                let mut diagnostic = Diagnostic::error(location, error.message);
                diagnostic.hints.extend(error.hint);
                self.report(diagnostic);
            }
            if self.token.kind != TokenKind::Comment {
                return;
            }
            self.comments.push(self.comment(self.token.span));
        }
    }

    fn comment(&self, span: Span) -> Comment {
        let text = self.bytes(span);
        let block = text.starts_with(b"/*");
        let line_end = if !block && text.ends_with(b"\r") { 1 } else { 0 };
        Comment { span: Span::new(span.start, span.end - line_end), block }
    }

    /// Past one token that must be of a kind; whether it was.
    fn expect(&mut self, kind: TokenKind) -> (Token, bool) {
        let token = self.token;
        let found = token.kind == kind;
        if !found {
            self.error_here(format!("expected {}, got {}", kind.as_str(), token.kind.as_str()), None);
        }
        self.next();
        (token, found)
    }

    /// [`Parser::expect`] for a closer; at the end of the file it names what was left open.
    fn expect_closer(&mut self, kind: TokenKind, open: Span) -> (Token, bool) {
        if !self.at(TokenKind::EndOfFile) {
            return self.expect(kind);
        }
        let line = self.source.position(open.start).line;
        let hint = format!("the {} on line {line} is not closed", self.text(open));
        self.error_here(format!("expected {}, got EOF", kind.as_str()), Some(hint));
        (self.token, false)
    }

    fn skip_to(&mut self, kinds: &[TokenKind]) {
        while !self.at(TokenKind::EndOfFile) && !kinds.contains(&self.token.kind) {
            self.next();
        }
    }

    /// To the end of the statement: the next terminator outside of what was opened on the way.
    fn skip_statement(&mut self) {
        use TokenKind::*;
        let mut open = [0i64; 3];
        while !self.at(EndOfFile) {
            match self.token.kind {
                OpenBrace => open[0] += 1,
                CloseBrace => open[0] -= 1,
                OpenBracket => open[1] += 1,
                CloseBracket => open[1] -= 1,
                OpenParen => open[2] += 1,
                CloseParen => open[2] -= 1,
                Terminator if open.iter().all(|count| *count <= 0) => return,
                _ => {}
            }
            self.next();
        }
    }

    /// An error at the current token, unless its line has one already.
    fn error_here(&mut self, message: impl Into<String>, hint: Option<String>) {
        let offset = self.token.span.start;
        let line = self.source.position(offset).line;
        if self.error_line == line {
            return;
        }
        self.error_line = line;
        let mut diagnostic = Diagnostic::error(Span::new(offset, offset + 1).in_source(self.source), message);
        diagnostic.hints.extend(hint);
        self.report(diagnostic);
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.gave_up {
            return;
        }
        self.diagnostics.push(diagnostic);
        if self.diagnostics.0.len() >= MAX_DIAGNOSTICS {
            self.give_up("too many errors; the rest of the file was not read");
        }
    }

    /// Says why at the current token and reads no further.
    fn give_up(&mut self, message: impl Into<String>) {
        if self.gave_up {
            return;
        }
        self.gave_up = true;
        let location = Span::new(self.token.span.start, self.token.span.start + 1).in_source(self.source);
        self.diagnostics.push(Diagnostic::error(location, message));
        self.token = Token { kind: TokenKind::EndOfFile, span: Span::new(self.end(), self.end()) };
    }

    /// Whether one level more is too deep; if so, that is said.
    fn too_deep(&mut self, depth: usize) -> bool {
        if depth < MAX_NESTING {
            return false;
        }
        self.give_up(format!("nested too deeply; at most {MAX_NESTING} levels can be read"));
        true
    }

    fn bytes(&self, span: Span) -> &'s [u8] {
        &self.source.bytes()[span.start as usize..span.end as usize]
    }

    fn text(&self, span: Span) -> String {
        String::from_utf8_lossy(self.bytes(span)).into_owned()
    }

    fn end(&self) -> u32 {
        self.source.bytes().len() as u32
    }
}

#[cfg(test)]
mod tests;
