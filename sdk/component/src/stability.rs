//! How settled a component or feature is (spec §3.4).

use std::fmt;
use std::str::FromStr;

/// Ordered: what is at least as settled as the process demands may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Stability {
    Experimental,
    PublicPreview,
    #[default]
    GenerallyAvailable,
}

/// Not one of the three words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalid stability level {0:?}: expected one of \"generally-available\", \"public-preview\", \"experimental\"")]
pub struct UnknownStability(String);

// === impl Stability ===

impl Stability {
    /// As `--stability.level` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stability::Experimental => "experimental",
            Stability::PublicPreview => "public-preview",
            Stability::GenerallyAvailable => "generally-available",
        }
    }

    /// Alloy's own sentence about something less settled than the process allows, or `Ok`. `subject` is as in
    /// `component "loki.enrich"`.
    pub fn check(self, minimum: Stability, subject: &str) -> Result<(), String> {
        if self >= minimum {
            return Ok(());
        }
        Err(format!(
            "{subject} is at stability level \"{self}\", which is below the minimum allowed stability level \"{minimum}\". \
             Use --stability.level command-line flag to enable \"{self}\" features"
        ))
    }
}

impl fmt::Display for Stability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stability {
    type Err = UnknownStability;

    fn from_str(text: &str) -> Result<Stability, UnknownStability> {
        [Stability::Experimental, Stability::PublicPreview, Stability::GenerallyAvailable]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| UnknownStability(text.to_owned()))
    }
}
