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

    /// A whole name in which `*` stands for any text and `?` for any character.
    pub fn wildcard(name: &str) -> Result<Pattern, String> {
        let mut expression = "^".to_owned();
        for character in name.chars() {
            match character {
                '*' => expression.push_str("[^/]*"),
                '?' => expression.push_str("[^/]"),
                other if other.is_ascii_alphanumeric() => expression.push(other),
                other => expression.push_str(&format!("\\x{{{:x}}}", u32::from(other))),
            }
        }
        expression.push('$');
        Pattern::new(&expression)
    }

    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl DeviceFilter {
    /// Without patterns all are shown.
    pub fn new(exclude: Option<Pattern>, include: Option<Pattern>) -> DeviceFilter {
        DeviceFilter { exclude, include }
    }

    /// Whether the device is not to be shown.
    pub fn ignores(&self, device: &str) -> bool {
        self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(device))
            || self.include.as_ref().is_some_and(|pattern| !pattern.is_match(device))
    }
}
