//! From bytes to tokens (spec §1.2 to §1.4).
//!
//! The scanner takes any bytes, always ends, and never looks at a byte more than a fixed number of times. What is wrong
//! goes to a list that the parser drains, so that both kinds of error stay in the order in which they are met.

use base_stdx::quote::is_printable;

use crate::letters::{is_digit, is_letter};
use crate::source::{Source, Span};
use crate::token::{Token, TokenKind};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads one source, token by token.
pub struct Scanner<'s> {
    text: &'s [u8],
    /// The character under the cursor; `None` at the end.
    current: Option<char>,
    /// Where it begins.
    offset: usize,
    /// Where the one after it begins.
    next_offset: usize,
    /// A line end here would end a statement.
    may_terminate: bool,
    errors: Vec<ScanError>,
}

/// An error with its place and, where one is known, its cure.
pub(crate) struct ScanError {
    pub offset: u32,
    pub message: String,
    pub hint: Option<String>,
}

// === impl Scanner ===

impl<'s> Scanner<'s> {
    /// At the beginning of a source, past its byte order mark if it has one.
    pub fn new(source: &'s Source) -> Scanner<'s> {
        let mut scanner = Scanner {
            text: source.bytes(),
            current: None,
            offset: 0,
            next_offset: 0,
            may_terminate: false,
            errors: Vec::new(),
        };
        scanner.advance();
        if scanner.current == Some(BYTE_ORDER_MARK) {
            scanner.advance();
        }
        scanner
    }

    /// The errors met since the last call.
    pub(crate) fn take_errors(&mut self) -> Vec<ScanError> {
        std::mem::take(&mut self.errors)
    }

    /// The next token; after the end, the end again.
    pub fn next_token(&mut self) -> Token {
        self.skip_blanks();
        let start = self.offset;
        let Some(first) = self.current else {
            let kind = if self.may_terminate { TokenKind::Terminator } else { TokenKind::EndOfFile };
            self.may_terminate = false;
            return self.token(kind, start);
        };
        if first == '\n' {
            self.advance();
            self.may_terminate = false;
            return self.token(TokenKind::Terminator, start);
        }
        if first == '/' && matches!(self.peek_byte(), b'/' | b'*') {
            if self.may_terminate && self.comments_reach_line_end() {
                self.may_terminate = false;
                return Token { kind: TokenKind::Terminator, span: Span::new(start as u32, start as u32) };
            }
            self.comment();
            self.may_terminate = false;
            return self.token(TokenKind::Comment, start);
        }
        let kind = self.word(first);
        // An illegal character changes nothing about what came before it, save that a text in single quotes stands for a value.
        if kind != TokenKind::Illegal {
            self.may_terminate = kind.can_end_statement();
        } else if first == '\'' {
            self.may_terminate = true;
        }
        self.token(kind, start)
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token { kind, span: Span::new(start as u32, self.offset as u32) }
    }

    fn word(&mut self, first: char) -> TokenKind {
        let start = self.offset;
        if is_letter(first) {
            return self.identifier();
        }
        if first.is_ascii_digit() || (first == '.' && self.peek_byte().is_ascii_digit()) {
            return self.number();
        }
        self.advance();
        match first {
            '"' => self.quoted(start, '"'),
            '`' => self.raw(start),
            '\'' => {
                let at = self.errors.len();
                self.quoted(start, '\'');
                let hint = single_quotes_hint(&self.text[start..self.offset]);
                let message = "illegal single-quoted string; use double quotes".to_owned();
                self.errors.insert(at, ScanError { offset: start as u32, message, hint });
                TokenKind::Illegal
            }
            '|' => self.second('|', TokenKind::Or),
            '&' => self.second('&', TokenKind::And),
            '!' => self.maybe_equals(TokenKind::Not, TokenKind::NotEqual),
            '=' => self.maybe_equals(TokenKind::Assign, TokenKind::Equal),
            '<' => self.maybe_equals(TokenKind::Less, TokenKind::LessOrEqual),
            '>' => self.maybe_equals(TokenKind::Greater, TokenKind::GreaterOrEqual),
            '+' => TokenKind::Plus,
            '-' => TokenKind::Minus,
            '*' => TokenKind::Star,
            '/' => TokenKind::Slash,
            '%' => TokenKind::Percent,
            '^' => TokenKind::Caret,
            '{' => TokenKind::OpenBrace,
            '}' => TokenKind::CloseBrace,
            '(' => TokenKind::OpenParen,
            ')' => TokenKind::CloseParen,
            '[' => TokenKind::OpenBracket,
            ']' => TokenKind::CloseBracket,
            ',' => TokenKind::Comma,
            '.' => TokenKind::Dot,
            // advance() has told about it already.
            BYTE_ORDER_MARK => TokenKind::Illegal,
            other => {
                let hint = illegal_character_hint(other).map(str::to_owned);
                let message = format!("illegal character {}", code_point(Some(other)));
                self.errors.push(ScanError { offset: start as u32, message, hint });
                TokenKind::Illegal
            }
        }
    }

    fn second(&mut self, expected: char, kind: TokenKind) -> TokenKind {
        if self.current == Some(expected) {
            self.advance();
        } else {
            self.error(self.offset, format!("missing second {expected} in {expected}{expected}"));
        }
        kind
    }

    fn maybe_equals(&mut self, alone: TokenKind, with_equals: TokenKind) -> TokenKind {
        if self.current != Some('=') {
            return alone;
        }
        self.advance();
        with_equals
    }

    fn identifier(&mut self) -> TokenKind {
        let start = self.offset;
        while self.current.is_some_and(|c| is_letter(c) || is_digit(c)) {
            self.advance();
        }
        match &self.text[start..self.offset] {
            b"true" | b"false" => TokenKind::Bool,
            b"null" => TokenKind::Null,
            _ => TokenKind::Ident,
        }
    }

    fn number(&mut self) -> TokenKind {
        let start = self.offset;
        let mut kind = TokenKind::Number;
        self.digits();
        if self.current == Some('.') {
            kind = TokenKind::Float;
            self.advance();
            self.digits();
        }
        if matches!(self.current, Some('e' | 'E')) {
            kind = TokenKind::Float;
            self.advance();
            if matches!(self.current, Some('+' | '-')) {
                self.advance();
            }
            if self.digits() == 0 {
                self.error(start, "exponent has no digits");
            }
        }
        kind
    }

    fn digits(&mut self) -> usize {
        let start = self.offset;
        while self.current.is_some_and(|c| c.is_ascii_digit()) {
            self.advance();
        }
        self.offset - start
    }

    /// The rest of a text between quotes, the first of which is behind the cursor.
    fn quoted(&mut self, start: usize, quote: char) -> TokenKind {
        loop {
            match self.current {
                None | Some('\n') => {
                    self.error_with_hint(start, "string literal not terminated", UNTERMINATED_HINT);
                    return TokenKind::String;
                }
                Some('\\') => {
                    self.advance();
                    self.escape();
                }
                Some(c) => {
                    self.advance();
                    if c == quote {
                        return TokenKind::String;
                    }
                }
            }
        }
    }

    fn raw(&mut self, start: usize) -> TokenKind {
        loop {
            let Some(c) = self.current else {
                self.error_with_hint(
                    start,
                    "string literal not terminated",
                    "the ` that begins here has no second one",
                );
                return TokenKind::String;
            };
            self.advance();
            if c == '`' {
                return TokenKind::String;
            }
        }
    }

    /// What follows a backslash. Stops before a character that does not belong to it.
    fn escape(&mut self) {
        let start = self.offset;
        let (count, radix, limit) = match self.current {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"') => return self.advance(),
            Some('0'..='7') => (3, 8, 0xff),
            Some('x') => (2, 16, 0xff),
            Some('u') => (4, 16, 0x10ffff),
            Some('U') => (8, 16, 0x10ffff),
            None => return self.error(start, "escape sequence not terminated"),
            Some(c) => {
                let hint = escape_hint(c);
                self.errors.push(ScanError { offset: start as u32, message: "unknown escape sequence".into(), hint });
                return;
            }
        };
        if radix == 16 {
            self.advance();
        }
        let mut value: u32 = 0;
        for _ in 0..count {
            let Some(digit) = self.current.and_then(|c| c.to_digit(radix)) else {
                let message = match self.current {
                    None => "escape sequence not terminated".to_owned(),
                    other => format!("illegal character {} in escape sequence", code_point(other)),
                };
                return self.error(start, message);
            };
            // Eight hexadecimal digits just fit.
            value = value * radix + digit;
            self.advance();
        }
        if value > limit || (0xd800..0xe000).contains(&value) {
            self.error(start, "escape sequence is invalid Unicode code point");
        }
    }

    fn comment(&mut self) {
        let start = self.offset;
        self.advance();
        if self.current == Some('/') {
            while self.current.is_some_and(|c| c != '\n') {
                self.advance();
            }
            return;
        }
        self.advance();
        if !self.skip_block_comment() {
            self.error(start, "block comment not terminated");
        }
    }

    /// Past the end of a block comment whose beginning is behind the cursor; false if the file ends first.
    fn skip_block_comment(&mut self) -> bool {
        while let Some(c) = self.current {
            self.advance();
            if c == '*' && self.current == Some('/') {
                self.advance();
                return true;
            }
        }
        false
    }

    /// Whether nothing but comments and blanks stands between the cursor (on a comment) and the end of its line.
    ///
    /// Works on bytes and leaves the scanner as it is; each comment is looked at once more when it becomes a token.
    fn comments_reach_line_end(&self) -> bool {
        let mut rest = &self.text[self.offset..];
        loop {
            match rest {
                [] | [b'\n', ..] | [b'/', b'/', ..] => return true,
                [b' ' | b'\t' | b'\r', after @ ..] => rest = after,
                [b'/', b'*', after @ ..] => {
                    let end = after.windows(2).position(|pair| pair == b"*/").unwrap_or(after.len());
                    if after[..end].contains(&b'\n') {
                        return true;
                    }
                    rest = after.get(end + 2..).unwrap_or_default();
                }
                _ => return false,
            }
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(' ' | '\t' | '\r' | '\n') = self.current {
            if self.current == Some('\n') && self.may_terminate {
                return;
            }
            self.advance();
        }
    }

    fn peek_byte(&self) -> u8 {
        self.text.get(self.next_offset).copied().unwrap_or(0)
    }

    fn error(&mut self, offset: usize, message: impl Into<String>) {
        self.errors.push(ScanError { offset: offset as u32, message: message.into(), hint: None });
    }

    fn error_with_hint(&mut self, offset: usize, message: &str, hint: &str) {
        self.errors.push(ScanError { offset: offset as u32, message: message.into(), hint: Some(hint.into()) });
    }

    /// One character on; bytes that are no text show as U+FFFD, one by one.
    fn advance(&mut self) {
        self.offset = self.next_offset;
        let Some(&byte) = self.text.get(self.offset) else {
            self.current = None;
            return;
        };
        if byte.is_ascii() {
            if byte == 0 {
                self.error(self.offset, "illegal character NUL");
            }
            self.current = Some(char::from(byte));
            self.next_offset += 1;
            return;
        }
        let window = &self.text[self.offset..self.text.len().min(self.offset + 4)];
        let decoded = window.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        match decoded {
            Some(c) => {
                if c == BYTE_ORDER_MARK && self.offset > 0 {
                    self.error(self.offset, "illegal byte order mark");
                }
                self.current = Some(c);
                self.next_offset += c.len_utf8();
            }
            None => {
                self.error(self.offset, "illegal UTF-8 encoding");
                self.current = Some(char::REPLACEMENT_CHARACTER);
                self.next_offset += 1;
            }
        }
    }
}

/// `U+0023 '#'`, or `U+0000` for what cannot be shown.
fn code_point(c: Option<char>) -> String {
    match c {
        Some(c) if is_printable(c) => format!("U+{:04X} '{c}'", u32::from(c)),
        Some(c) => format!("U+{:04X}", u32::from(c)),
        None => "EOF".to_owned(),
    }
}

const UNTERMINATED_HINT: &str = "a text ends on its line, with a second \"; one of several lines stands between two `";

/// Regular expressions are where people meet this: `"\d+"`.
fn escape_hint(c: char) -> Option<String> {
    is_printable(c)
        .then(|| format!("write \\\\{c}, or put the text between two `, where \\ is a character like any other"))
}

fn illegal_character_hint(c: char) -> Option<&'static str> {
    Some(match c {
        '#' => "a comment begins with //",
        ';' => "a statement ends with its line; leave the ; out",
        ':' => "a name and its value are joined with =, and a text stands in double quotes",
        '?' => "there is no conditional operator; coalesce(a, b) gives the first value that is not empty",
        '$' => "a text is put together with +, and environment variables are read with sys.env(\"NAME\")",
        '@' => "names are made of letters, digits and _",
        '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => "these are typographic quotes; use \"",
        _ => return None,
    })
}

fn single_quotes_hint(literal: &[u8]) -> Option<String> {
    let inner = std::str::from_utf8(literal.strip_prefix(b"'")?.strip_suffix(b"'")?).ok()?;
    (inner.len() <= 60 && !inner.contains(['"', '\\'])).then(|| format!("write \"{inner}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let source = Source::new("test", text);
        let mut scanner = Scanner::new(&source);
        let mut kinds = Vec::new();
        loop {
            let token = scanner.next_token();
            if token.kind == TokenKind::EndOfFile {
                break;
            }
            kinds.push(token.kind.as_str());
        }
        assert_eq!(kinds.join(" "), expected, "{text:?}");
        assert!(scanner.take_errors().is_empty(), "{text:?}");
    }

    #[test]
    fn a_line_end_ends_a_statement_only_after_a_value_or_a_closer() {
        check("a = 1 +\n 2", "IDENT = NUMBER + NUMBER TERMINATOR");
        check("a = 1\n + 2\n", "IDENT = NUMBER TERMINATOR + NUMBER TERMINATOR");
        check("[1,\n2\n]", "[ NUMBER , NUMBER TERMINATOR ] TERMINATOR");
        check("\n\n// c\n\na\n\n\nb", "COMMENT IDENT TERMINATOR IDENT TERMINATOR");
    }

    #[test]
    fn the_end_of_a_statement_comes_before_the_comment_behind_it() {
        check("a // c\n", "IDENT TERMINATOR COMMENT");
        check("a /* c */ /* d */\nb", "IDENT TERMINATOR COMMENT COMMENT IDENT TERMINATOR");
        check("a /* c */ b", "IDENT COMMENT IDENT TERMINATOR");
        check("a /* c\n */ b", "IDENT TERMINATOR COMMENT IDENT TERMINATOR");
        check("a /* c */", "IDENT TERMINATOR COMMENT");
    }

    #[test]
    fn numbers_and_dots() {
        check("1 1. .5 1.5e3 1E-3 a.b a.5", "NUMBER FLOAT FLOAT FLOAT FLOAT IDENT . IDENT IDENT FLOAT TERMINATOR");
    }
}
