//! What is wrong with a statement, and where in it.

use std::fmt;
use std::ops::Range;

/// A fault of a statement's text: the message, the place, perhaps advice. It displays with the statement and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The statement.
    pub text: String,
    /// The bytes of the statement that are meant.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub message: String,
}

/// A fault whose statement is yet to be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    pub at: Range<usize>,
    pub message: String,
}

impl Blame {
    pub fn new(at: Range<usize>, message: impl Into<String>) -> Blame {
        Blame { at, message: message.into() }
    }

    /// With the nearest of the names that could have been meant.
    pub fn or_nearest<'c>(mut self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Blame {
        if let Some(near) = base_stdx::nearest(word, candidates) {
            self.message.push_str(&format!("; did you mean {near:?}?"));
        }
        self
    }

    pub fn in_text(self, text: &str) -> Fault {
        Fault { text: text.to_owned(), at: self.at, message: self.message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let start = floor(&self.text, self.at.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = floor(&self.text, self.at.end).clamp(start, line_end);
        let line = self.text[line_start..line_end].trim_end();
        // Tabs stay tabs, so that the caret stands where the place is in any terminal.
        let lead: String = self.text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(self.text[start..end].chars().count().max(1));
        write!(f, "\n    {line}\n    {lead}{carets}")
    }
}

impl std::error::Error for Fault {}

/// The character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_place() {
        let fault = Blame::new(4..13, "no such path").or_nearest("attribute", ["attributes", "body"]);
        let shown = fault.in_text("set(attribute[\"ü\"], 1)").to_string();
        assert_eq!(
            shown,
            "no such path; did you mean \"attributes\"?\n    set(attribute[\"ü\"], 1)\n        ^^^^^^^^^"
        );
        let second_line = Blame::new(10..12, "x").in_text("set(name,\n\"é\")").to_string();
        assert_eq!(second_line, "x\n    \"é\")\n    ^");
        assert_eq!(Blame::new(9..9, "end").in_text("a").to_string(), "end\n    a\n     ^");
    }
}
