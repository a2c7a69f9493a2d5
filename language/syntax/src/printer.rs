//! The one official layout: what `ferroalloy fmt` writes (spec §1.8).
//!
//! Three layers: `walk` goes through the tree and says tokens and the spacing between them; `writer` puts comments in
//! between and decides about line ends; `layout` aligns columns. Alloy's layout is kept, its faults are not: texts of
//! strings are opaque to the alignment, keys keep their spelling, formatting twice is formatting once, and a result that
//! would not mean the same is never returned.

mod layout;
mod walk;
mod writer;

use std::fmt;

use crate::ast::File;
use crate::parser::parse;
use crate::same::same;
use crate::source::Source;
use writer::{Placement, Writer};

/// Formatting a result again changes nothing after so many rounds, or is not tried further.
const MAX_ROUNDS: usize = 4;

/// Why a file cannot be formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The file has parts that could not be parsed.
    Incomplete,
    /// The formatted text would mean something else: a fault of the printer.
    WouldChange,
}

/// The file in the official layout, ending in one line feed.
///
/// The file must have parsed without errors.
pub fn format(file: &File) -> Result<Vec<u8>, FormatError> {
    let mut text = format_once(file)?;
    for _ in 0..MAX_ROUNDS {
        let (again, _) = parse(Source::new(file.source.name(), text.as_bytes()));
        let next = format_once(&again)?;
        if next == text {
            break;
        }
        text = next;
    }
    Ok(text.into_bytes())
}

/// As Alloy does it, a comment may move over a comma, a dot or a parenthesis; now and then to where it swallows what
/// follows, or a bit further each time. Then every comment stays exactly where it was.
fn format_once(file: &File) -> Result<String, FormatError> {
    if let Some((text, again)) = written(file, Placement::AsAlloy)?
        && written(&again, Placement::AsAlloy)?.is_some_and(|(second, _)| second == text)
    {
        return Ok(text);
    }
    written(file, Placement::Exact)?.map(|(text, _)| text).ok_or(FormatError::WouldChange)
}

/// The text and what it parses to; nothing if that says something else.
fn written(file: &File, placement: Placement) -> Result<Option<(String, File)>, FormatError> {
    let text = Writer::new(file, placement).write()?;
    let (again, diagnostics) = parse(Source::new(file.source.name(), text.as_bytes()));
    Ok((diagnostics.is_empty() && same(file, &again)).then_some((text, again)))
}

// === impl FormatError ===

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormatError::Incomplete => "a file with errors cannot be formatted",
            FormatError::WouldChange => "formatting would change what the file means; please report this file as a bug",
        })
    }
}

impl std::error::Error for FormatError {}

#[cfg(test)]
mod tests;
