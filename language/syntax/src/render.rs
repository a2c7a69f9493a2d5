//! Diagnostics drawn for people: message, the lines around the place, a mark under it, and what to write instead.
//!
//! ```text
//! Error: config.alloy:2:7: missing ',' in field list
//!
//! 1 | a = {
//! 2 |  b = 1
//!   |       ^
//! 3 |  c = 2
//!   = help: in a list over several lines every line ends with a comma, also before }
//! ```
//!
//! However long a line or a list of errors is, what is drawn has a bound.

use std::borrow::Cow;
use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::{Position, Source};

/// Lines shown before and after the place.
const CONTEXT_LINES: u32 = 1;

/// A tab is drawn as so many blanks.
const TAB: usize = 4;

/// Of a line longer than this (in bytes) only the part around the place is shown.
const MAX_LINE: usize = 300;

/// So much of a long line is shown before the place.
const BEFORE_PLACE: usize = 100;

/// Of a range over more lines than this, the middle is left out.
const MAX_RANGE_LINES: u32 = 60;

/// So many diagnostics are drawn; of the rest only the number is told.
const MAX_DRAWN: usize = 200;

/// Of a longer message only so many characters are shown: a cycle may go through thousands of names.
const MAX_MESSAGE: usize = 500;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With colours, for a terminal.
    pub colors: bool,
    /// With labels and hints. Without them the text is Alloy's.
    pub hints: bool,
}

/// All diagnostics, one below the other with an empty line in between.
pub fn render(diagnostics: &Diagnostics, style: Style) -> String {
    let mut output = String::new();
    for (index, diagnostic) in diagnostics.0.iter().take(MAX_DRAWN).enumerate() {
        if index > 0 {
            output.push('\n');
        }
        header(&mut output, diagnostic, style);
        if let Some(location) = &diagnostic.location {
            output.push('\n');
            let drawing = Drawing {
                source: &location.source,
                start: location.start(),
                end: location.last(),
                label: diagnostic.label.as_deref().filter(|_| style.hints),
            };
            drawing.draw(&mut output);
        }
        if style.hints {
            hints(&mut output, diagnostic);
        }
    }
    if let Some(more @ 1..) = diagnostics.0.len().checked_sub(MAX_DRAWN) {
        let _ = writeln!(output, "\n… and {more} more");
    }
    output
}

fn header(output: &mut String, diagnostic: &Diagnostic, style: Style) {
    let (word, color) = match diagnostic.severity {
        Severity::Error => ("Error", "31;1"),
        Severity::Warning => ("Warning", "33;1"),
    };
    let message = diagnostic.to_string();
    let message = shortened(&message);
    let _ = match style.colors {
        true => write!(output, "\x1b[{color}m{word}: \x1b[0m\x1b[1m{message}\n\x1b[0m"),
        false => writeln!(output, "{word}: {message}"),
    };
}

fn hints(output: &mut String, diagnostic: &Diagnostic) {
    let indent = match &diagnostic.location {
        Some(location) => gutter_width(&location.source, location.last()),
        None => 1,
    };
    for hint in &diagnostic.hints {
        let word = if hint.starts_with("did you mean") { "" } else { "help: " };
        let _ = writeln!(output, "{:indent$} = {word}{}", "", shortened(hint));
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// One place in its source, about to be drawn.
struct Drawing<'d> {
    source: &'d Source,
    start: Position,
    /// Of the last byte.
    end: Position,
    label: Option<&'d str>,
}

/// A part of a line.
struct Window<'l> {
    line: &'l [u8],
    from: usize,
    to: usize,
}

// === impl Drawing ===

impl Drawing<'_> {
    fn draw(&self, output: &mut String) {
        let width = gutter_width(self.source, self.end);
        let last = last_line_shown(self.source, self.end);
        let mut number = self.start.line.saturating_sub(CONTEXT_LINES).max(1);
        while number <= last {
            let window = self.window(number);
            let _ = write!(output, "{number:>width$} | ");
            if self.spans_lines() {
                output.push_str(if self.start.line < number && number <= self.end.line { "| " } else { "  " });
            }
            window.draw(output);
            output.push('\n');
            if number == self.start.line || (self.spans_lines() && number == self.end.line) {
                self.marks(output, number, &window, width);
            }
            if number == self.start.line + MAX_RANGE_LINES / 2 && self.end.line > number + MAX_RANGE_LINES / 2 {
                let _ = writeln!(output, "{:width$} ⋮ |", "");
                number = self.end.line - MAX_RANGE_LINES / 2;
            }
            number += 1;
        }
    }

    fn marks(&self, output: &mut String, number: u32, window: &Window<'_>, width: usize) {
        let (margin, blank) = match (self.spans_lines(), number == self.start.line) {
            (false, _) => (" | ", ' '),
            (true, true) => (" |  _", '_'),
            (true, false) => (" | |_", '_'),
        };
        let _ = write!(output, "{:width$}{margin}", "");
        let is_last = number == self.end.line;
        let marked = |column: u32| match number == self.start.line {
            true => column >= self.start.column,
            false => column <= self.end.column,
        };
        let mut any = false;
        for (column, c) in window.characters() {
            if is_last && column > self.end.column {
                break;
            }
            match c {
                '\t' | '\u{b}' => output.extend(std::iter::repeat_n(blank, TAB)),
                _ if marked(column) => {
                    any = true;
                    output.push('^');
                }
                _ => output.push(blank),
            }
        }
        if !any {
            // The place is the end of the line, or of the file: something is missing there.
            output.push('^');
        }
        if let Some(label) = self.label.filter(|_| is_last) {
            let _ = write!(output, " {label}");
        }
        output.push('\n');
    }

    fn spans_lines(&self) -> bool {
        self.end.line > self.start.line
    }

    fn window(&self, number: u32) -> Window<'_> {
        let line = self.source.line(number);
        if line.len() <= MAX_LINE {
            return Window { line, from: 0, to: line.len() };
        }
        let place = match number {
            n if n == self.start.line => self.start.column as usize - 1,
            n if n == self.end.line => self.end.column as usize - 1,
            _ => 0,
        };
        let from = place.saturating_sub(BEFORE_PLACE).min(line.len() - MAX_LINE);
        // Not into the middle of a character.
        let boundary =
            |at: usize| (at.saturating_sub(3)..=at).rev().find(|i| line.get(*i).is_none_or(|b| b & 0xc0 != 0x80));
        let from = boundary(from).unwrap_or(from);
        let to = boundary(from + MAX_LINE).unwrap_or(from + MAX_LINE);
        Window { line, from, to }
    }
}

// === impl Window ===

impl Window<'_> {
    /// Byte columns and characters. What was cut off counts as one character.
    fn characters(&self) -> impl Iterator<Item = (u32, char)> {
        let before = (self.from > 0).then_some((self.from as u32, '…'));
        let after = (self.to < self.line.len()).then_some((self.to as u32 + 1, '…'));
        let mut column = self.from as u32 + 1;
        let middle = self.line[self.from..self.to].utf8_chunks().flat_map(move |chunk| {
            let start = column;
            column += (chunk.valid().len() + chunk.invalid().len()) as u32;
            let invalid_at = start + chunk.valid().len() as u32;
            let valid = chunk.valid().char_indices().map(move |(i, c)| (start + i as u32, c));
            let invalid = (0..chunk.invalid().len() as u32).map(move |i| (invalid_at + i, char::REPLACEMENT_CHARACTER));
            valid.chain(invalid)
        });
        before.into_iter().chain(middle.filter(|(_, c)| *c != '\r')).chain(after)
    }

    fn draw(&self, output: &mut String) {
        for (_, c) in self.characters() {
            match c {
                '\t' | '\u{b}' => output.extend(std::iter::repeat_n(' ', TAB)),
                // A file could otherwise speak to the terminal.
                c if c.is_control() => output.push(char::REPLACEMENT_CHARACTER),
                c => output.push(c),
            }
        }
    }
}

fn last_line_shown(source: &Source, end: Position) -> u32 {
    (end.line + CONTEXT_LINES).min(source.line_count())
}

fn gutter_width(source: &Source, end: Position) -> usize {
    last_line_shown(source, end).to_string().len()
}

#[cfg(test)]
mod tests;
