//! The words of the language: what the scanner hands to the parser.

use crate::source::Span;

/// One token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands; empty for a terminator at the end of the file and for the end itself.
    pub span: Span,
}

/// What a token can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // as_str shows each
pub enum TokenKind {
    Illegal,
    EndOfFile,
    /// `// …` or `/* … */`
    Comment,
    Ident,
    Number,
    Float,
    String,
    Bool,
    Null,
    Or,
    And,
    Not,
    Assign,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Caret,
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    /// A line end that ends a statement (spec §1.4).
    Terminator,
}

// === impl TokenKind ===

impl TokenKind {
    /// As error messages call it.
    pub fn as_str(self) -> &'static str {
        use TokenKind::*;
        match self {
            Illegal => "ILLEGAL",
            EndOfFile => "EOF",
            Comment => "COMMENT",
            Ident => "IDENT",
            Number => "NUMBER",
            Float => "FLOAT",
            String => "STRING",
            Bool => "BOOL",
            Null => "NULL",
            Or => "||",
            And => "&&",
            Not => "!",
            Assign => "=",
            Equal => "==",
            NotEqual => "!=",
            Less => "<",
            LessOrEqual => "<=",
            Greater => ">",
            GreaterOrEqual => ">=",
            Plus => "+",
            Minus => "-",
            Star => "*",
            Slash => "/",
            Percent => "%",
            Caret => "^",
            OpenBrace => "{",
            CloseBrace => "}",
            OpenParen => "(",
            CloseParen => ")",
            OpenBracket => "[",
            CloseBracket => "]",
            Comma => ",",
            Dot => ".",
            Terminator => "TERMINATOR",
        }
    }

    /// Whether a line end after it ends the statement.
    pub(crate) fn can_end_statement(self) -> bool {
        use TokenKind::*;
        matches!(self, Ident | Number | Float | String | Bool | Null | CloseBrace | CloseParen | CloseBracket)
    }
}
