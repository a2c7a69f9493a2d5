//! The walk over a page.

use std::fmt;

use crate::kind::Kind;
use crate::{openmetrics, text};

/// Which of the two text formats a page is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`, all versions.
    Text,
    /// `application/openmetrics-text`, all versions.
    OpenMetrics,
}

/// Walks over a page; see the crate's page.
pub struct Parser<'a> {
    pub(crate) page: &'a [u8],
    pub(crate) at: usize,
    pub(crate) format: Format,
    pub(crate) kind: Kind,
    pub(crate) unit: &'a [u8],
    pub(crate) ended: bool,
}

/// What a line says. Escapes are still in the texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A value.
    Sample(Sample<'a>),
    /// What a family is.
    Type {
        /// The family.
        name: &'a [u8],
        /// What it is.
        kind: Kind,
    },
    /// What a family tells.
    Help {
        /// The family.
        name: &'a [u8],
        /// UTF-8.
        text: &'a [u8],
    },
    /// In what a family is counted.
    Unit {
        /// The family.
        name: &'a [u8],
        /// The end of the name.
        unit: &'a [u8],
    },
    /// Nothing.
    Comment,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the page; UTF-8 is not checked yet.
    pub series: &'a [u8],
    /// The value.
    pub value: f64,
    /// Milliseconds since 1970, if the page says when.
    pub timestamp: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
}

/// A trace that stands for a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels, from behind the opening brace to the closing one; for [`crate::exemplar_labels`].
    pub labels: &'a [u8],
    /// Its value.
    pub value: f64,
    /// Milliseconds since 1970, if the page says when.
    pub timestamp: Option<i64>,
}

/// Why a page cannot be read. One bad line spoils the page, as half a histogram is worse than none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// The beginning of the line.
    pub text: String,
}

/// So much of a bad line is shown.
const SHOWN: usize = 80;

impl<'a> Parser<'a> {
    /// From the start of a page.
    pub fn new(page: &'a [u8], format: Format) -> Parser<'a> {
        Parser { page, at: 0, format, kind: Kind::Unknown, unit: b"", ended: false }
    }

    /// What the last TYPE line said; it decides how `le` and `quantile` are written.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the last UNIT line said.
    pub fn unit(&self) -> &'a [u8] {
        self.unit
    }

    /// The next entry; None at the end of the page. After an error there is nothing more.
    #[allow(clippy::should_implement_trait)] // it is one, see below; this keeps callers from importing the trait
    pub fn next(&mut self) -> Option<Result<Entry<'a>, Error>> {
        self.next_like(b"")
    }

    /// As [`Parser::next`], quicker when the next line is of the series `expected`, given as its text in an earlier page.
    #[inline]
    pub fn next_like(&mut self, expected: &[u8]) -> Option<Result<Entry<'a>, Error>> {
        if self.ended {
            return None;
        }
        let start = self.at;
        // Behind a bare name and a blank a brace may still open, in the classic format.
        let known = !expected.is_empty()
            && self.page[start..].starts_with(expected)
            && matches!(self.page[start + expected.len()..], [b' ', next, ..] if !matches!(next, b'{' | b' ' | b'\t'));
        let series = known.then(|| &self.page[start..start + expected.len()]);
        let entry = match self.format {
            Format::Text => text::entry(self, series),
            Format::OpenMetrics => openmetrics::entry(self, series),
        };
        match entry {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(Fault { at, message }) => {
                self.ended = true;
                Some(Err(self.error(at, message)))
            }
        }
    }

    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        let before = &self.page[..at.min(self.page.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let rest = &self.page[line_start..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len()).min(SHOWN)];
        Error {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            message: message.into(),
            text: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Parser::next(self)
    }
}

/// What is wrong, and where.
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) message: &'static str,
}

impl From<(usize, &'static str)> for Fault {
    fn from((at, message): (usize, &'static str)) -> Fault {
        Fault { at, message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} in {:?}", self.line, self.message, self.text)
    }
}
