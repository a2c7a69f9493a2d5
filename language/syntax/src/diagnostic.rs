//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;

use crate::source::Location;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration loads; the author should know.
    Warning,
    /// The configuration does not load.
    Error,
}

/// One thing to tell the author of a configuration.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Where; `None` only when no text is to blame.
    pub location: Option<Location>,
    /// What is wrong, in one line.
    pub message: String,
    /// What stands beside the caret, when it says more than the message.
    pub label: Option<String>,
    /// What to write instead: "did you mean …", a list of what is allowed.
    pub hints: Vec<String>,
}

/// Every diagnostic of one go, in the order found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

// === impl Diagnostic ===

impl Diagnostic {
    /// An error at a place.
    pub fn error(location: impl Into<Option<Location>>, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            location: location.into(),
            message: message.into(),
            label: None,
            hints: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(location: impl Into<Option<Location>>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(location, message) }
    }

    /// With words beside the caret.
    pub fn with_label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// With a hint below; several are shown in order.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hints.push(hint.into());
        self
    }
}

/// `FILE:LINE:COLUMN: message`, the form scripts read.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{location}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Whether any of them keeps the configuration from loading.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// All of another list.
    pub fn extend(&mut self, others: Diagnostics) {
        self.0.extend(others.0);
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

/// The first message, of errors if there are any, and how many more there are.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
        match (error.or(self.0.first()), self.0.len()) {
            (None, _) => f.write_str("no errors"),
            (Some(only), 1) => write!(f, "{only}"),
            (Some(first), all) => write!(f, "{first} (and {} more diagnostics)", all - 1),
        }
    }
}

impl std::error::Error for Diagnostics {}
