//! What is wrong with an expression, in Go's words.

use std::fmt;

/// An expression that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The part of the expression that is wrong.
    pub part: String,
}

/// The kinds of fault that Go names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `[b-a]`, `\p{Nonsense}`, `[[:nonsense:]]`
    InvalidClassRange,
    /// `\h`
    InvalidEscape,
    /// `(?P<a-b>x)`
    InvalidNamedCapture,
    /// `(?=x)`
    InvalidPerlOp,
    /// `a**`
    InvalidRepeatOp,
    /// `a{1001}`
    InvalidRepeatSize,
    /// `[a`
    MissingBracket,
    /// `(a`
    MissingParen,
    /// `*a`
    MissingRepeatArgument,
    /// `a\`
    TrailingBackslash,
    /// `a)`
    UnexpectedParen,
    /// More than a thousand groups inside each other.
    NestingDepth,
    /// Too large when repetitions are written out.
    TooLarge,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, part: &str) -> Error {
        Error { kind, part: part.to_owned() }
    }

    /// What to write instead, where one can tell: other engines know more.
    pub fn hint(&self) -> Option<&'static str> {
        let looks = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|opening| self.part.starts_with(opening));
        looks
            .then_some("RE2 has no lookahead and no lookbehind; what must not match needs a rule or a stage of its own")
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::InvalidClassRange => "invalid character class range",
            ErrorKind::InvalidEscape => "invalid escape sequence",
            ErrorKind::InvalidNamedCapture => "invalid named capture",
            ErrorKind::InvalidPerlOp => "invalid or unsupported Perl syntax",
            ErrorKind::InvalidRepeatOp => "invalid nested repetition operator",
            ErrorKind::InvalidRepeatSize => "invalid repeat count",
            ErrorKind::MissingBracket => "missing closing ]",
            ErrorKind::MissingParen => "missing closing )",
            ErrorKind::MissingRepeatArgument => "missing argument to repetition operator",
            ErrorKind::TrailingBackslash => "trailing backslash at end of expression",
            ErrorKind::UnexpectedParen => "unexpected )",
            ErrorKind::NestingDepth => "expression nests too deeply",
            ErrorKind::TooLarge => "expression too large",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.kind, self.part)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    #[test]
    fn who_looks_around_is_told_that_there_is_no_such_thing() {
        let hint = |text: &str| crate::Regex::anchored(text).expect_err(text).hint();
        for text in ["(?!a)b", "b(?=a)", "(?<=a)b", "x(?<!a)b"] {
            assert!(hint(text).is_some_and(|hint| hint.contains("lookahead")), "{text}");
        }
        for text in ["(a", r"\h", "(?<a-b>x)"] {
            assert_eq!(hint(text), None, "{text}");
        }
    }
}
