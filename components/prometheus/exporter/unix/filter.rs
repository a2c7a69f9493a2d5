//! Which devices, fields and mount points are shown.

use base_re2::Regex;

/// A regular expression that is looked for anywhere in a name.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// Devices left out by one pattern, or only those let in by another.
#[derive(Debug, Default)]
pub(crate) struct DeviceFilter {
    exclude: Option<Pattern>,
    include: Option<Pattern>,
}

impl Pattern {
    /// Compiles the expression; the error says where it is wrong.
    pub fn new(expression: &str) -> Result<Pattern, String> {
        Regex::new(expression).map(Pattern).map_err(|error| error.to_string())
    }

    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl DeviceFilter {
    /// An empty expression filters nothing.
    pub fn new(exclude: &str, include: &str) -> Result<DeviceFilter, String> {
        let pattern = |expression: &str| (!expression.is_empty()).then(|| Pattern::new(expression)).transpose();
        Ok(DeviceFilter { exclude: pattern(exclude)?, include: pattern(include)? })
    }

    /// Whether the device is not to be shown.
    pub fn ignores(&self, device: &str) -> bool {
        self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(device))
            || self.include.as_ref().is_some_and(|pattern| !pattern.is_match(device))
    }
}
