//! Sets of characters: `[...]`, `\d`, `[:alpha:]`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// A set under construction. Code points rather than `char`, since Go's ranges may begin or end at a surrogate.
pub(crate) struct Class(ClassUnicode);

impl Class {
    pub(crate) fn empty() -> Class {
        Class(ClassUnicode::empty())
    }

    pub(crate) fn of(ranges: &[(u32, u32)]) -> Class {
        let mut class = Class::empty();
        for &(low, high) in ranges {
            class.add(low, high);
        }
        class
    }

    pub(crate) fn add(&mut self, low: u32, high: u32) {
        // No text in UTF-8 holds a surrogate, so leaving them out changes no match.
        let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
        let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
        if let (true, Some(low), Some(high)) = (low <= high, char::from_u32(low), char::from_u32(high)) {
            self.0.push(ClassUnicodeRange::new(low, high));
        }
    }

    pub(crate) fn union(&mut self, other: &Class) {
        self.0.union(&other.0);
    }

    pub(crate) fn negate(&mut self) {
        self.0.negate();
    }

    /// Adds what differs from a member only in case.
    pub(crate) fn fold_case(&mut self) {
        self.0.try_case_fold_simple().expect("the case tables are compiled in");
    }

    pub(crate) fn into_inner(self) -> ClassUnicode {
        self.0
    }
}

impl From<ClassUnicode> for Class {
    fn from(class: ClassUnicode) -> Class {
        Class(class)
    }
}

type Ranges = &'static [(u8, u8)];

const DIGIT: Ranges = &[(b'0', b'9')];
const SPACE: Ranges = &[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')];
const WORD: Ranges = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

/// `\d`, `\D`, ...: the set and whether it is negated. ASCII only, as in Go; `\s` has no vertical tab.
pub(crate) fn perl(letter: char) -> Option<(Class, bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => SPACE,
        'w' => WORD,
        _ => return None,
    };
    Some((ascii(ranges), letter.is_ascii_uppercase()))
}

/// `[:alpha:]` or `[:^alpha:]`, by what stands between the colons.
pub(crate) fn posix(name: &str) -> Option<(Class, bool)> {
    let (name, negated) = match name.strip_prefix('^') {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let ranges: Ranges = match name {
        "alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        "alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        "ascii" => &[(0, 0x7f)],
        "blank" => &[(b'\t', b'\t'), (b' ', b' ')],
        "cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        "digit" => DIGIT,
        "graph" => &[(b'!', b'~')],
        "lower" => &[(b'a', b'z')],
        "print" => &[(b' ', b'~')],
        "punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        "space" => &[(b'\t', b'\r'), (b' ', b' ')],
        "upper" => &[(b'A', b'Z')],
        "word" => WORD,
        "xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return None,
    };
    Some((ascii(ranges), negated))
}

fn ascii(ranges: Ranges) -> Class {
    let ranges: Vec<_> = ranges.iter().map(|&(low, high)| (u32::from(low), u32::from(high))).collect();
    Class::of(&ranges)
}
