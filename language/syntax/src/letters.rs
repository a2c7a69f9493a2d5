//! Which characters names are made of: Unicode letters and decimal digits (spec §1.2).

use std::sync::LazyLock;

/// Ranges of characters, in order.
type Ranges = Vec<(char, char)>;

// The standard library's `is_alphabetic` also counts vowel signs and circled letters, which Alloy refuses in names.
static LETTERS: LazyLock<Ranges> = LazyLock::new(|| class(r"\p{L}"));
static DIGITS: LazyLock<Ranges> = LazyLock::new(|| class(r"\p{Nd}"));

/// Whether a name may begin with it.
pub fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || (!c.is_ascii() && contains(&LETTERS, c))
}

/// Whether a name may go on with it, beside letters.
pub fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && contains(&DIGITS, c))
}

/// Whether a text is a name: a label, an attribute, a component; `true`, `false` and `null` are none.
pub fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(is_letter)
        && characters.all(|c| is_letter(c) || is_digit(c))
        && !matches!(text, "true" | "false" | "null")
}

/// The name nearest to a text: what cannot be in a name becomes `_`, and so does the place before a leading digit.
pub fn to_identifier(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if is_letter(c) || is_digit(c) { c } else { '_' }).collect();
    if !is_identifier(&name) {
        name.insert(0, '_');
    }
    name
}

fn contains(ranges: &Ranges, c: char) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= ranges[after - 1].1
}

fn class(pattern: &str) -> Ranges {
    let hir = regex_syntax::parse(pattern).expect("a class that Unicode has");
    let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) = hir.kind() else {
        unreachable!("a Unicode class parses to a class")
    };
    class.iter().map(|range| (range.start(), range.end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for name in ["a", "_", "a1", "ünïcode", "世界", "a\u{661}", "nullable"] {
            assert!(is_identifier(name), "{name}");
            assert_eq!(to_identifier(name), name);
        }
        // U+0947 is a vowel sign: alphabetic, and yet no letter.
        for (text, name) in
            [("", "_"), ("1x", "_1x"), ("my-app", "my_app"), ("क\u{947}", "क_"), ("null", "_null"), ("a.b", "a_b")]
        {
            assert!(!is_identifier(text), "{text}");
            assert_eq!(to_identifier(text), name);
        }
    }
}
