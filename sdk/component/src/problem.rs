//! Why a component could not be built or updated.

use std::fmt;

/// A refusal that points into the user's file where it can.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The attribute or child block to blame; without one the block's header is underlined.
    pub field: Option<String>,
    /// What is wrong: what was tried, on what, why it failed; lower case, no full stop.
    pub message: String,
    /// What to write instead, or do.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub blame: Blame,
}

/// Whose fault a [`Problem`] is: `validate` reports the first kind as errors, the second as warnings, as it does not run
/// on the machine where the file, the socket or the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The configuration: no machine could run it.
    Configuration,
    /// This machine, now: a file that is not there, a certificate that cannot be read.
    Environment,
}

// === impl Problem ===

impl Problem {
    /// The configuration is wrong.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem { field: None, message: message.into(), hint: None, blame: Blame::Configuration }
    }

    /// The configuration is wrong at this attribute or block.
    pub fn at(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { field: Some(field.into()), ..Problem::new(message) }
    }

    /// The configuration may be fine; this machine cannot serve it now.
    pub fn environment(message: impl Into<String>) -> Problem {
        Problem { blame: Blame::Environment, ..Problem::new(message) }
    }

    /// An argument whose capability does not exist yet: refused, never ignored.
    pub fn not_yet(field: &'static str) -> Problem {
        Problem::at(field, format!("{field:?} is not supported yet by this version of Ferroalloy"))
            .with_hint("remove it, or run this component in Alloy until it is")
    }

    /// With the cure.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
