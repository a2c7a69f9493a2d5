//! Where a piece of text came from: sources, spans, positions.

use std::fmt;
use std::sync::Arc;

/// One configuration text with its name: a file on disk, the body of an import, a string in a test.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: Vec<u8>,
    line_starts: Vec<u32>,
}

/// A half-open range of bytes in one [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A place in a text as people count: both numbers start at 1, the column counts bytes (spec §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Byte column, from 1.
    pub column: u32,
}

/// A span together with the source it belongs to, so that an error can be drawn long after the parse.
#[derive(Clone, Debug)]
pub struct Location {
    /// The text.
    pub source: Arc<Source>,
    /// The range in it.
    pub span: Span,
}

// === impl Source ===

impl Source {
    /// A source named as users know it (the path they gave), holding any bytes at all.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Arc<Source> {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i as u32 + 1));
        Arc::new(Source { name: name.into(), text, line_starts })
    }

    /// The name shown in diagnostics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes, not necessarily UTF-8.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The text under a span; bytes that are not UTF-8 show as U+FFFD.
    pub fn slice(&self, span: Span) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.text.get(span.start as usize..span.end as usize).unwrap_or_default())
    }

    /// Line and column of a byte offset; an offset past the end counts as the end.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        Position { line: line as u32, column: offset - self.line_starts[line - 1] + 1 }
    }

    /// The bytes of a line (from 1), without its line end.
    pub fn line(&self, line: u32) -> &[u8] {
        let Some(start) = self.line_starts.get(line as usize - 1) else { return &[] };
        let end = self.line_starts.get(line as usize).map_or(self.text.len(), |next| *next as usize - 1);
        let text = &self.text[*start as usize..end];
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    /// How many lines the text has; a final line feed starts no further line that could be shown.
    pub fn line_count(&self) -> u32 {
        self.line_starts.len() as u32
    }
}

// === impl Span ===

impl Span {
    /// The range `start..end`.
    pub fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// This span in its source.
    pub fn in_source(self, source: &Arc<Source>) -> Location {
        Location { source: source.clone(), span: self }
    }
}

// === impl Location ===

impl Location {
    /// Where the span begins.
    pub fn start(&self) -> Position {
        self.source.position(self.span.start)
    }

    /// Where the span's last byte is (its own start if it is empty).
    pub fn last(&self) -> Position {
        self.source.position(self.span.end.max(self.span.start + 1) - 1)
    }
}

/// `FILE:LINE:COLUMN`, as every diagnostic begins.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.start();
        write!(f, "{}:{line}:{column}", self.source.name())
    }
}
