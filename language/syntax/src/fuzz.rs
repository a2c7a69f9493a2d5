//! What must hold for any bytes at all; for fuzzing. Each function panics if it does not hold.

use crate::diagnostic::Diagnostics;
use crate::parser::{MAX_DIAGNOSTICS, parse, parse_expression};
use crate::printer::format;
use crate::render::{Style, render};
use crate::same::same;
use crate::scanner::Scanner;
use crate::source::Source;
use crate::token::TokenKind;

/// Tokens follow each other without overlap up to the end, and there are not more of them than bytes and line ends.
pub fn scanner(text: &[u8]) {
    let source = Source::new("fuzz", text);
    let mut scanner = Scanner::new(&source);
    let mut end = 0;
    for _ in 0..=2 * text.len() + 2 {
        let token = scanner.next_token();
        assert!(token.span.start >= end && token.span.end >= token.span.start, "{token:?} after {end}");
        assert!(token.span.end as usize <= text.len(), "{token:?} past the end");
        end = token.span.end;
        if token.kind == TokenKind::EndOfFile {
            assert_eq!(end as usize, text.len(), "the end comes too early");
            return;
        }
    }
    panic!("the scanner does not come to an end");
}

/// Any text parses to a tree and a bounded number of diagnostics that can be drawn.
pub fn parser(text: &[u8]) {
    let source = Source::new("fuzz", text);
    let (file, diagnostics) = parse(source.clone());
    drawable(&diagnostics);
    file.body.statements.iter().for_each(|statement| assert!(statement.span().start <= statement.span().end));
    drawable(&parse_expression(source).1);
}

/// What parses also formats, means the same afterwards, and formats to itself.
pub fn printer(text: &[u8]) {
    let (file, diagnostics) = parse(Source::new("fuzz", text));
    if !diagnostics.is_empty() {
        return;
    }
    let once = format(&file).expect("what parses also formats");
    let (again, diagnostics) = parse(Source::new("fuzz", once.as_slice()));
    assert!(diagnostics.is_empty(), "the formatted text does not parse: {diagnostics}");
    assert!(same(&file, &again), "the formatted text means something else");
    assert_eq!(format(&again).as_deref(), Ok(once.as_slice()), "formatting again changes the text");
}

fn drawable(diagnostics: &Diagnostics) {
    assert!(diagnostics.0.len() <= MAX_DIAGNOSTICS + 1);
    let drawn = render(diagnostics, Style { colors: true, hints: true });
    assert_eq!(drawn.is_empty(), diagnostics.is_empty());
}
