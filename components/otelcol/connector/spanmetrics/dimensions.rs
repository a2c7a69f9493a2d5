//! Which attributes tell series apart, and how they are found.

use base_re2::Regex;
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::walk::{AnyValue, Attribute};

use super::arguments::Dimension;
use crate::span::{Span, value};

/// Those that are always there.
pub(super) const RESERVED: &[&str] =
    &["service.name", "span.name", "span.kind", "status.code", "collector.instance.id"];

/// Attributes by name or by pattern.
pub(super) struct Dimensions {
    names: Vec<Named>,
    globs: Vec<Glob>,
}

struct Named {
    name: String,
    /// Encoded.
    default: Option<Vec<u8>>,
}

/// A pattern for names.
pub(super) struct Glob(Regex);

// === impl Dimensions ===

impl Dimensions {
    pub(super) fn new(dimensions: &[Dimension]) -> Result<Dimensions, String> {
        let mut made = Dimensions { names: Vec::new(), globs: Vec::new() };
        for dimension in dimensions {
            if dimension.glob.is_empty() {
                let default = dimension.default.as_ref().map(|text| any::text(text.as_bytes()));
                made.names.push(Named { name: dimension.name.clone(), default });
            } else {
                made.globs.push(Glob::new(&dimension.glob)?);
            }
        }
        Ok(made)
    }

    /// Visits each attribute that is there: of the span, or else of what is around it, or else the default.
    pub(super) fn visit<'a>(
        &'a self,
        span: &Span<'a>,
        around: &[Attribute<'a>],
        mut visit: impl FnMut(&'a [u8], AnyValue<'a>),
    ) {
        for Named { name, default } in &self.names {
            let found = span.attribute(name).or_else(|| value(around.iter().cloned(), name));
            if let Some(value) = found.or_else(|| default.as_deref().map(AnyValue)) {
                visit(name.as_bytes(), value);
            }
        }
        if self.globs.is_empty() {
            return;
        }
        let mut found: Vec<Attribute<'a>> = Vec::new();
        for attributes in [&span.attributes().collect::<Vec<_>>()[..], around] {
            let begin = found.len();
            for pair in attributes {
                if self.globs.iter().any(|glob| glob.is_match(pair.key)) && !found.iter().any(|one| one.key == pair.key)
                {
                    found.push(pair.clone());
                }
            }
            found[begin..].sort_by_key(|pair| pair.key);
        }
        found.into_iter().for_each(|pair| visit(pair.key, pair.value));
    }
}

// === impl Glob ===

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Glob, String> {
        let regex = regex(pattern)?;
        Regex::anchored(&regex).map(Glob).map_err(|error| error.to_string())
    }

    pub(super) fn is_match(&self, name: &[u8]) -> bool {
        self.0.is_match(name)
    }
}

/// The pattern as a regular expression.
fn regex(pattern: &str) -> Result<String, String> {
    let mut regex = String::from("(?s)");
    let mut depth = 0;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => regex.push_str(".*"),
            '*' => regex.push_str("[^.]*"),
            '?' => regex.push_str("[^.]"),
            '{' => {
                depth += 1;
                regex.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            ',' if depth > 0 => regex.push('|'),
            '[' => {
                regex.push('[');
                if letters.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                push_class(&mut regex, &mut letters)?;
            }
            '\\' => letters.next().into_iter().for_each(|letter| push_literal(&mut regex, letter)),
            letter => push_literal(&mut regex, letter),
        }
    }
    if depth > 0 { Err("a `{` is not closed".to_owned()) } else { Ok(regex) }
}

/// `a-z]`, or letters one by one.
fn push_class(regex: &mut String, letters: &mut impl Iterator<Item = char>) -> Result<(), String> {
    let mut inside: Vec<char> = Vec::new();
    let mut escaped = false;
    for letter in letters {
        match letter {
            '\\' if !escaped => escaped = true,
            ']' if !escaped => {
                match inside[..] {
                    [] => return Err("could not parse range".to_owned()),
                    [low, '-', high] if high < low => {
                        return Err(format!("hi character '{high}' should be greater than lo '{low}'"));
                    }
                    [low, '-', high] => {
                        push_literal(regex, low);
                        regex.push('-');
                        push_literal(regex, high);
                    }
                    _ => inside.into_iter().for_each(|letter| push_literal(regex, letter)),
                }
                regex.push(']');
                return Ok(());
            }
            letter => {
                inside.push(letter);
                escaped = false;
            }
        }
    }
    Err("unexpected end of input".to_owned())
}

fn push_literal(regex: &mut String, letter: char) {
    if letter.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(letter);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_dots_and_double_stars_do_not() {
        for (pattern, matches, others) in [
            ("http.*", &["http.method", "http."][..], &["http.request.method", "xhttp.method", "http"][..]),
            ("http.**", &["http.request.method", "http.x"], &["http"]),
            ("a?c", &["abc"], &["a.c", "ac"]),
            ("{http,db}.*", &["http.a", "db.b"], &["rpc.c"]),
            ("[a-c]x", &["ax", "cx"], &["dx"]),
            ("[!a-c]x", &["dx"], &["ax"]),
            ("[abc-]x", &["-x", "bx"], &["dx"]),
            ("a\\*", &["a*"], &["ab"]),
            ("a.b", &["a.b"], &["axb"]),
            ("x}", &["x}"], &["x"]),
            ("{a,{b,c}}", &["a", "b", "c"], &["a,{b,c}"]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert!(matches.iter().all(|name| glob.is_match(name.as_bytes())), "{pattern} {matches:?}");
            assert!(!others.iter().any(|name| glob.is_match(name.as_bytes())), "{pattern} {others:?}");
        }
        for pattern in ["[", "[]", "[z-a]", "{a"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }
}
