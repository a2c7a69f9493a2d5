//! Which devices, fields and mount points are shown.

use base_re2::Regex;

/// A regular expression that is looked for anywhere in a name.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// What a pattern says of names that come in the same order each time.
#[derive(Debug)]
pub(crate) struct Remembered {
    pattern: Pattern,
    known: Vec<(Box<str>, bool)>,
}

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

impl Remembered {
    pub fn new(pattern: Pattern) -> Remembered {
        Remembered { pattern, known: Vec::new() }
    }

    /// Whether the name at this place, which is these parts, is let through.
    pub fn is_match(&mut self, place: usize, parts: &[&str]) -> bool {
        if let Some((name, matches)) = self.known.get(place)
            && is(name, parts)
        {
            return *matches;
        }
        let name = parts.concat();
        let matches = self.pattern.is_match(&name);
        self.known.truncate(place);
        if self.known.len() == place {
            self.known.push((name.into(), matches));
        }
        matches
    }
}

fn is(name: &str, parts: &[&str]) -> bool {
    let rest = parts.iter().try_fold(name, |rest, part| rest.strip_prefix(part));
    rest.is_some_and(str::is_empty)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_the_pattern_says() {
        let mut remembered = Remembered::new(Pattern::new("^Tcp_In|b").unwrap());
        for names in [["Tcp_In", "Tcp_Out"], ["Tcp_In", "Tcp_Out"], ["Tcp_Out", "Tcp_In"], ["ab", "Tcp_Inb"]] {
            for (place, name) in names.into_iter().enumerate() {
                let (protocol, rest) = name.split_once('_').unwrap_or((name, ""));
                let parts = if rest.is_empty() { vec![protocol] } else { vec![protocol, "_", rest] };
                assert_eq!(remembered.is_match(place, &parts), name != "Tcp_Out", "{names:?}");
            }
        }
        assert!(!remembered.is_match(7, &["x"]) && remembered.known.len() == 2, "places come in order");
    }
}
