//! Patterns of `replace_match`, as the Go library `gobwas/glob` reads them without separators: `*` and `**` match any
//! text, `?` any character, `[a-c]`, `[!abc]`, and `{one,two*}` any of its parts, which may nest.

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Glob(base_re2::Regex);

/// How deep alternatives may nest.
const MAX_DEPTH: usize = 50;

impl Glob {
    pub fn new(pattern: &str) -> Result<Glob, String> {
        let mut expression = String::with_capacity(pattern.len() + 16);
        let mut characters = pattern.chars().peekable();
        let mut depth = 0;
        while let Some(character) = characters.next() {
            match character {
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '\\' => match characters.next() {
                    Some(escaped) => literal(&mut expression, escaped),
                    None => return Err("a backslash ends the pattern".to_owned()),
                },
                '[' => class(&mut expression, &mut characters)?,
                '{' if depth < MAX_DEPTH => {
                    depth += 1;
                    expression.push_str("(?:");
                }
                '{' => return Err("alternatives nest too deeply".to_owned()),
                '}' if depth > 0 => {
                    depth -= 1;
                    expression.push(')');
                }
                ',' if depth > 0 => expression.push('|'),
                other => literal(&mut expression, other),
            }
        }
        if depth > 0 {
            return Err("a \"{\" has no \"}\"".to_owned());
        }
        base_re2::Regex::anchored(&expression).map(Glob).map_err(|error| error.to_string())
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

fn literal(expression: &mut String, character: char) {
    if r"\.+*?()|[]{}^$".contains(character) {
        expression.push('\\');
    }
    expression.push(character);
}

/// `[abc]`, `[a-z]`, `[!…]`.
fn class(expression: &mut String, characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), String> {
    expression.push('[');
    if characters.peek() == Some(&'!') {
        characters.next();
        expression.push('^');
    }
    let mut empty = true;
    loop {
        match characters.next() {
            None => return Err("a \"[\" has no \"]\"".to_owned()),
            Some(']') => break,
            Some('-') if !empty && characters.peek().is_some_and(|next| *next != ']') => expression.push('-'),
            Some('\\') => literal_in_class(expression, characters.next().unwrap_or('\\')),
            Some(other) => literal_in_class(expression, other),
        }
        empty = false;
    }
    if empty {
        return Err("brackets hold nothing".to_owned());
    }
    expression.push(']');
    Ok(())
}

fn literal_in_class(expression: &mut String, character: char) {
    if r"\]^-[".contains(character) {
        expression.push('\\');
    }
    expression.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_users_mean_them() {
        for (pattern, text, expected) in [
            ("2026*", "2026-03-04 05:06", true),
            ("/user/*/list/*", "/user/a/b/list/c", true),
            ("{a,b*}c", "bxxc", true),
            ("{a,b*}c", "cc", false),
            ("a.c", "abc", false),
            ("a?c", "aüc", true),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "bx", false),
            ("\\*", "*", true),
            ("a,b", "a,b", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().is_match(text.as_bytes()), expected, "{pattern} {text}");
        }
        for bad in ["{a", "[a", "[]", "\\"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }
}
