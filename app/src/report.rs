//! How a command ends that could not do its work: what goes to stderr, in what form.

use std::fmt::Display;
use std::io::{self, Write};

/// Why a command failed. Printed as `Error: …`; the process then ends with code 1.
#[derive(Debug)]
pub struct Failure {
    /// Printed before the line with the error, as it is.
    before: String,
    message: String,
    /// Printed after it.
    behind: String,
}

// === impl Failure ===

impl Failure {
    /// A failure in one sentence.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { before: String::new(), message: message.into(), behind: String::new() }
    }

    /// With text that is printed first.
    pub fn after(self, text: impl Into<String>) -> Failure {
        Failure { before: text.into(), ..self }
    }

    /// With text that is printed last, such as a usage.
    pub fn before(self, text: impl Into<String>) -> Failure {
        Failure { behind: text.into(), ..self }
    }

    /// A file that could not be used, in the words that Alloy's users know: `open x: no such file or directory`.
    pub fn io(what: &str, path: &str, error: &io::Error) -> Failure {
        Failure::new(format!("{what} {path}: {}", io_words(error)))
    }

    /// To stderr.
    pub fn print(&self) {
        // If stderr is gone, there is nobody to tell.
        let _ = write!(io::stderr(), "{}Error: {}\n{}", self.before, self.message, self.behind);
    }
}

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error.to_string())
    }
}

/// The error as the operating system says it, without Rust's `(os error 2)`, and beginning small as Go has it.
pub fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
