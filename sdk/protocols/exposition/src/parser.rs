//! The walk over a page.

use std::fmt;

use memchr::memchr;

use crate::float::{exact_prefix, parse_float};
use crate::kind::Kind;
use crate::mark::{Mark, Marker};
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
    marker: Marker,
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

/// Lines without a value that stand together, and what they say of the samples behind them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comments {
    mark: Mark,
    kind: Kind,
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

/// A number is not longer, as a rule.
const NUMBER: usize = 32;
/// So much of a bad line is shown.
const SHOWN: usize = 80;

impl<'a> Parser<'a> {
    /// From the start of a page.
    pub fn new(page: &'a [u8], format: Format) -> Parser<'a> {
        Parser { page, at: 0, format, kind: Kind::Unknown, unit: b"", ended: false, marker: Marker::new() }
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
        self.next_like(None)
    }

    /// As [`Parser::next`], quicker when the next line is of the series `expected`.
    pub fn next_like(&mut self, expected: Option<Mark>) -> Option<Result<Entry<'a>, Error>> {
        if self.ended {
            return None;
        }
        // Behind a bare name and a blank a brace may still open, in the classic format.
        let series = expected
            .and_then(|expected| self.expected(expected))
            .filter(|(_, rest)| matches!(rest, [b' ', next, ..] if !matches!(next, b'{' | b' ' | b'\t')))
            .map(|(series, _)| series);
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

    /// The series of the next line and what follows it, if it is this one.
    #[inline]
    fn expected(&self, series: Mark) -> Option<(&'a [u8], &'a [u8])> {
        let (text, rest) = self.page.get(self.at..)?.split_at_checked(series.length())?;
        (!text.is_empty() && self.marker.mark(text) == series).then_some((text, rest))
    }

    /// The value of the next line, if that line is of this series and says nothing else. Any other line is left for
    /// [`Parser::next_like`].
    #[inline]
    pub fn next_value_of(&mut self, series: Mark) -> Option<f64> {
        let (_, [b' ', rest @ ..]) = self.expected(series)? else { return None };
        let (value, length) = match exact_prefix(rest) {
            Some(found) => found,
            None => {
                let length = memchr(b'\n', &rest[..rest.len().min(NUMBER)])?;
                (parse_float(&rest[..length])?, length)
            }
        };
        if rest.get(length) != Some(&b'\n') {
            return None;
        }
        self.at = self.page.len() - rest.len() + length + 1;
        Some(value)
    }

    /// Where the walk is, in bytes from the start of the page.
    pub fn place(&self) -> usize {
        self.at
    }

    /// What stood between a place and the line of a sample that was met behind it. None when that was nothing, or nothing
    /// that is worth knowing again.
    pub fn comments(&self, from: usize, sample: &Sample<'_>) -> Option<Comments> {
        let end = (sample.series.as_ptr() as usize).checked_sub(self.page.as_ptr() as usize)?;
        let text = self.page.get(from..end).filter(|text| !text.is_empty())?;
        self.unit.is_empty().then(|| Comments { mark: self.marker.mark(text), kind: self.kind })
    }

    /// Passes over lines that were met in an earlier page, if the same ones stand here.
    pub fn pass_over(&mut self, comments: &Comments) -> bool {
        let same = self.expected(comments.mark).is_some();
        if same {
            (self.at, self.kind, self.unit) = (self.at + comments.mark.length(), comments.kind, b"");
        }
        same
    }

    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        let before = &self.page[..at.min(self.page.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let rest = &self.page[line_start..];
        let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len()).min(SHOWN)];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_known_gives_its_value_and_any_other_stays() {
        let value = |format, page: &'static str, series: &str| {
            let mut parser = Parser::new(page.as_bytes(), format);
            let value = parser.next_value_of(Mark::of(series.as_bytes()));
            (value.map(f64::to_bits), parser.place())
        };
        for format in [Format::Text, Format::OpenMetrics] {
            for (page, expect) in [
                ("a{b=\"c\"} 1\nd 2\n", Some((1.0, 11))),
                ("a{b=\"c\"} -0.25e2\n", Some((-25.0, 17))),
                ("a{b=\"c\"} 0.12345678901234567890\n", Some((0.123_456_789_012_345_68, 32))),
                ("a{b=\"c\"} +Inf\n", Some((f64::INFINITY, 14))),
                ("a{b=\"c\"} 1 1700000000\n", None),
                ("a{b=\"c\"} 1 # {t=\"x\"} 1\n", None),
                ("a{b=\"c\"} 1", None),
                ("a{b=\"c\"}  1\n", None),
                ("a{b=\"c\"} 1e\n", None),
                ("a{b=\"c\"} \n", None),
                ("a{b=\"d\"} 1\n", None),
                ("a{b=\"c\"}x 1\n", None),
                ("", None),
            ] {
                let expect = expect.map_or((None, 0), |(value, place): (f64, usize)| (Some(value.to_bits()), place));
                assert_eq!(value(format, page, "a{b=\"c\"}"), expect, "{page:?}");
            }
        }
    }

    #[test]
    fn comments_that_are_known_are_passed_over() {
        let page = "# HELP a Text.\n# TYPE a counter\na 1\n# TYPE b gauge\nb 2\n";
        let mut parser = Parser::new(page.as_bytes(), Format::Text);
        let sample = |parser: &mut Parser<'static>| loop {
            if let Entry::Sample(sample) = parser.next().expect("a line").expect("a good one") {
                return sample;
            }
        };
        let first = sample(&mut parser);
        let comments = parser.comments(0, &first).expect("there are some");
        let second = sample(&mut parser);
        assert_eq!(parser.comments(parser.place(), &second), None, "that is behind it");

        let mut again = Parser::new(page.as_bytes(), Format::Text);
        assert!(again.pass_over(&comments));
        assert_eq!((again.kind(), again.next_value_of(Mark::of(b"a"))), (Kind::Counter, Some(1.0)));
        assert!(!again.pass_over(&comments), "others");
        assert_eq!(again.next_value_of(Mark::of(b"b")), None);
        assert_eq!(sample(&mut again), second);
        let changed = page.replace("Text.", "Test.");
        let mut changed = Parser::new(changed.as_bytes(), Format::Text);
        assert!(!changed.pass_over(&comments));
        assert_eq!(changed.place(), 0);
    }
}
