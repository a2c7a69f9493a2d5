//! Tokens, comments and the space between them.

use std::borrow::Cow;

use super::FormatError;
use super::layout::Layout;
use crate::ast::{Comment, File};
use crate::source::Span;

/// More empty lines in a row than one are not kept.
const MAX_LINE_ENDS: usize = 2;

/// Where a comment goes that stands beside a token of which the tree keeps no place (`=`, `,`, `.`, parentheses).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Such a token sticks to what came before it, and the comment follows.
    AsAlloy,
    /// The token is looked up in the text, so that the order stays.
    Exact,
}

/// What is to be written before the next token. It waits, because a comment may come in between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Blank,
    /// To the tab stop before a `=`.
    TabStop,
    LineEnd,
    /// A line end that also ends the columns.
    HardLineEnd,
    Indent,
    Unindent,
}

/// A place in the original text.
#[derive(Clone, Copy)]
struct Place {
    offset: u32,
    line: u32,
}

/// Writes one file.
pub(super) struct Writer<'f> {
    pub file: &'f File,
    pub layout: Layout,
    pub failure: Option<FormatError>,
    placement: Placement,
    pending: Vec<Space>,
    indent: usize,
    next_comment: usize,
    /// Where the text after the last token is taken to begin.
    here: Place,
    /// The original line on which what was written last ended.
    last_line: u32,
    /// The last thing written is a number without point, to which a dot must not be glued.
    after_number: bool,
    empty: bool,
}

// === impl Writer ===

impl<'f> Writer<'f> {
    pub fn new(file: &'f File, placement: Placement) -> Writer<'f> {
        Writer {
            file,
            layout: Layout::default(),
            failure: None,
            placement,
            pending: Vec::new(),
            indent: 0,
            next_comment: 0,
            here: Place { offset: 0, line: 1 },
            last_line: 1,
            after_number: false,
            empty: true,
        }
    }

    pub fn write(mut self) -> Result<String, FormatError> {
        let file = self.file;
        self.statements(&file.body.statements);
        self.remaining_comments();
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.layout.finish()),
        }
    }

    /// Whether every comment stays between the tokens where it stood.
    pub fn keeps_comments(&self) -> bool {
        self.placement == Placement::Exact
    }

    /// The original line of an offset.
    pub fn line_of(&self, offset: u32) -> u32 {
        self.file.source.position(offset).line
    }

    /// The original line of a span's last byte.
    pub fn last_line_of(&self, span: Span) -> u32 {
        self.line_of(span.end.max(span.start + 1) - 1)
    }

    pub fn space(&mut self, space: Space) {
        self.after_number = false;
        self.pending.push(space);
    }

    /// A token whose place is known. Gives the line on which it was written.
    pub fn token_at(&mut self, text: &str, offset: u32) -> usize {
        let place = Place { offset, line: self.line_of(offset) };
        self.token_with(text, place)
    }

    /// A token that follows the last one.
    pub fn token(&mut self, text: &str) {
        if self.after_number && text.starts_with('.') {
            self.pending.push(Space::Blank);
        }
        let place = match self.placement {
            Placement::AsAlloy => self.here,
            Placement::Exact => self.look_up(text, self.here.offset),
        };
        self.token_with(text, place);
    }

    /// A token that follows the last one, as far as comments are concerned; but what follows it knows on which line it ended.
    /// Else a comment behind a closer on a line of its own would move away from it.
    pub fn token_ending_at(&mut self, text: &str, span: Span) {
        if self.placement == Placement::Exact {
            self.token_at(text, span.end.saturating_sub(text.len() as u32));
            return;
        }
        self.token(text);
        self.here.line = self.last_line_of(span);
        self.last_line = self.here.line;
    }

    /// A token that follows an expression, with nothing but comments in between.
    pub fn token_after(&mut self, text: &str, expression: Span) {
        let place = self.look_up(text, expression.end);
        self.token_with(text, place);
    }

    /// A number as written.
    pub fn number(&mut self, text: &str, offset: u32) {
        self.token_at(text, offset);
        self.after_number = true;
    }

    fn token_with(&mut self, text: &str, place: Place) -> usize {
        if self.comment_before(place.offset) {
            self.comments_before(place);
        } else {
            self.write_pending(self.pending.len());
        }
        let line_number = self.layout.line_number();
        self.write_token(text);
        let line = place.line + text.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.here = Place { offset: place.offset + text.len() as u32, line };
        self.last_line = line;
        self.after_number = false;
        line_number
    }

    /// The lines of a raw string stand as they are, each on a line of its own that takes no part in columns.
    fn write_token(&mut self, text: &str) {
        self.indent_line();
        let mut lines = text.split('\n');
        self.layout.text(lines.next().unwrap_or_default());
        for line in lines {
            self.layout.line_end(true);
            self.layout.text(line);
        }
    }

    /// The place of a token behind an offset and the comments that follow it; if it is not there, it is new, and comes next.
    fn look_up(&self, text: &str, from: u32) -> Place {
        let bytes = self.file.source.bytes();
        let mut offset = from as usize;
        let mut comments = self.file.comments.iter().skip(self.next_comment);
        loop {
            offset += bytes.iter().skip(offset).take_while(|byte| byte.is_ascii_whitespace()).count();
            match comments.find(|comment| comment.span.start as usize >= offset) {
                Some(comment) if comment.span.start as usize == offset => offset = comment.span.end as usize,
                _ => break,
            }
        }
        match bytes.get(offset..).is_some_and(|rest| rest.starts_with(text.as_bytes())) {
            true => Place { offset: offset as u32, line: self.line_of(offset as u32) },
            false => self.here,
        }
    }

    fn comment_before(&self, offset: u32) -> bool {
        self.file.comments.get(self.next_comment).is_some_and(|comment| comment.span.start <= offset)
    }

    fn remaining_comments(&mut self) {
        while let Some(comment) = self.file.comments.get(self.next_comment) {
            self.comment_prefix(comment, None);
            self.comment(comment);
        }
    }

    fn comments_before(&mut self, place: Place) {
        let mut last: Option<&Comment> = None;
        while let Some(comment) = self.file.comments.get(self.next_comment) {
            if comment.span.start > place.offset && !last.is_some_and(|last| self.adjacent(last, comment)) {
                break;
            }
            self.comment_prefix(comment, Some(place));
            self.comment(comment);
            last = Some(comment);
        }
        if let Some(last) = last {
            self.comment_suffix(last, place);
        }
    }

    /// Comments with nothing but blanks and at most one line end in between move together.
    fn adjacent(&self, first: &Comment, second: &Comment) -> bool {
        let between = &self.file.source.bytes()[first.span.end as usize..second.span.start as usize];
        between.iter().all(u8::is_ascii_whitespace) && between.iter().filter(|byte| **byte == b'\n').count() <= 1
    }

    fn comment(&mut self, comment: &Comment) {
        self.indent_line();
        let text = without_carriage_returns(self.file.source.slice(comment.span));
        self.layout.text(&text);
        self.last_line = self.last_line_of(comment.span);
        self.next_comment += 1;
        self.empty = false;
    }

    fn comment_prefix(&mut self, comment: &Comment, next: Option<Place>) {
        if self.empty {
            return;
        }
        let line = self.line_of(comment.span.start);
        if line == self.last_line {
            // In the middle of a line a comment is a word like others; at its end it belongs to the column of comments.
            self.indent_line();
            match next.is_some_and(|next| next.line == line) {
                true => self.layout.blank(),
                false => self.layout.tab_stop(true),
            }
            return;
        }
        let indents = self.pending.iter().take_while(|space| matches!(space, Space::Indent | Space::Unindent)).count();
        if indents < self.pending.len() {
            self.pending.remove(indents);
            self.write_pending(indents);
        }
        for _ in 0..(line.saturating_sub(self.last_line) as usize).min(MAX_LINE_ENDS) {
            self.layout.line_end(true);
        }
    }

    fn comment_suffix(&mut self, comment: &Comment, next: Place) {
        if comment.block && next.line == self.last_line {
            self.layout.blank();
        }
        let hard = self.pending.contains(&Space::HardLineEnd);
        self.pending.retain(|space| matches!(space, Space::Indent | Space::Unindent));
        self.write_pending(self.pending.len());
        let mut line_ends = (next.line.saturating_sub(self.last_line) as usize).min(MAX_LINE_ENDS);
        if !comment.block {
            // Else the comment would go on over what follows.
            line_ends = line_ends.max(1);
        }
        for _ in 0..line_ends {
            self.layout.line_end(hard);
        }
    }

    fn write_pending(&mut self, count: usize) {
        let spaces: Vec<Space> = self.pending.drain(..count).collect();
        for space in spaces {
            match space {
                Space::Indent => self.indent += 1,
                Space::Unindent => self.indent = self.indent.saturating_sub(1),
                Space::LineEnd => self.layout.line_end(false),
                Space::HardLineEnd => self.layout.line_end(true),
                Space::Blank => {
                    self.indent_line();
                    self.layout.blank();
                }
                Space::TabStop => {
                    self.indent_line();
                    self.layout.tab_stop(false);
                }
            }
        }
    }

    fn indent_line(&mut self) {
        self.empty = false;
        if self.layout.at_line_start() {
            (0..self.indent).for_each(|_| self.layout.tab_stop(true));
        }
    }
}

/// A comment's text without carriage returns, except where dropping one would end the comment.
fn without_carriage_returns(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('\r') {
        return text;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\r' || (kept.ends_with('*') && rest.peek() == Some(&'/')) {
            kept.push(c);
        }
    }
    Cow::Owned(kept)
}
