//! Pairs of a logfmt line, found where they lie.

use std::ops::Range;

/// Reads `key=value key="quoted value"` from left to right. A syntax error ends the reading; what was read before it
/// counts, unless the reader asks [`Pairs::failed`]. Newlines part records, which only matters inside quotes.
pub struct Pairs<'a> {
    text: &'a [u8],
    at: usize,
    failed: bool,
}

/// One pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Never empty.
    pub key: Range<usize>,
    /// Empty when the key stands alone; of a quoted value, what is between the quotes.
    pub value: Range<usize>,
    /// The value has escapes in it; see [`crate::json::unescape`].
    pub escaped: bool,
}

// === impl Pairs ===

impl<'a> Pairs<'a> {
    /// At the start of a line.
    pub fn new(text: &'a [u8]) -> Pairs<'a> {
        Pairs { text, at: 0, failed: false }
    }

    /// Whether a syntax error ended the reading.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Nothing more is read.
    fn fail(&mut self) -> Option<Pair> {
        self.at = self.text.len();
        self.failed = true;
        None
    }

    fn quoted(&mut self, key: Range<usize>) -> Option<Pair> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            let Some(step) = memchr::memchr3(b'"', b'\\', b'\n', &self.text[at..]) else { return self.fail() };
            at += step;
            match self.text[at] {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                    if at > self.text.len() {
                        return self.fail();
                    }
                }
                _ => return self.fail(),
            }
        }
        self.at = at + 1;
        if escaped && !is_well_escaped(&self.text[start..at]) {
            return self.fail();
        }
        Some(Pair { key, value: start..at, escaped })
    }
}

impl Iterator for Pairs<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let text = self.text;
        let blank = text[self.at..].iter().position(|byte| *byte > b' ');
        let Some(blanks) = blank else {
            self.at = text.len();
            return None;
        };
        let start = self.at + blanks;
        let length = text[start..].iter().position(|byte| matches!(byte, b'=' | b'"' | 0..=b' '));
        self.at = length.map_or(text.len(), |length| start + length);
        let key = start..self.at;
        if !text[key.clone()].is_ascii() && !is_text(&text[key.clone()]) {
            return self.fail();
        }
        match text.get(self.at) {
            Some(b'"') => return self.fail(),
            Some(b'=') if key.is_empty() => return self.fail(),
            Some(b'=') => self.at += 1,
            _ => return Some(Pair { value: self.at..self.at, key, escaped: false }),
        }
        match text.get(self.at) {
            None | Some(0..=b' ') => Some(Pair { value: self.at..self.at, key, escaped: false }),
            Some(b'"') => self.quoted(key),
            Some(_) => {
                let start = self.at;
                let length = text[start..].iter().position(|byte| matches!(byte, b'=' | b'"' | 0..=b' '));
                self.at = length.map_or(text.len(), |length| start + length);
                if matches!(text.get(self.at), Some(b'=' | b'"')) {
                    return self.fail();
                }
                Some(Pair { key, value: start..self.at, escaped: false })
            }
        }
    }
}

/// UTF-8, and without the replacement character that stands for what was none.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::REPLACEMENT_CHARACTER))
}

fn is_well_escaped(quoted: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        at += match (byte, quoted.get(at + 1)) {
            (b'\\', Some(b'"' | b'\\' | b'/' | b'\'' | b'b' | b'f' | b'n' | b'r' | b't')) => 2,
            (b'\\', Some(b'u')) => match quoted.get(at + 2..at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return false,
            },
            (b'\\', _) | (0..0x20, _) => return false,
            _ => 1,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(&str, &str)> {
        Pairs::new(text.as_bytes()).map(|pair| (&text[pair.key], &text[pair.value])).collect()
    }

    #[test]
    fn keys_values_and_where_reading_ends() {
        assert_eq!(pairs("level=info msg=\"two words\" x"), [("level", "info"), ("msg", "two words"), ("x", "")]);
        assert_eq!(pairs("a b= c=\"\""), [("a", ""), ("b", ""), ("c", "")]);
        assert_eq!(pairs("b=1 \"a\"=2 c=3"), [("b", "1")]);
        assert_eq!(pairs("a=1 b=x=y c=3"), [("a", "1")]);
        assert_eq!(pairs("a='q r'"), [("a", "'q"), ("r'", "")]);
        assert_eq!(pairs("a=\"x\\\"y\" b=2"), [("a", "x\\\"y"), ("b", "2")]);
        assert_eq!(pairs("a=\"unterminated"), []);
        assert_eq!(pairs("=1 b=2"), []);
        assert_eq!(pairs("a=\"1\"2 c=3"), [("a", "1"), ("2", ""), ("c", "3")]);
        assert_eq!(pairs("a=1\nb=2\r\n"), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn the_end_of_the_text_is_no_failure() {
        for (text, failed) in [("", false), ("a=1 ", false), ("a=1 b=\"x\"", false), ("a=\"x", true), ("=", true)] {
            let mut pairs = Pairs::new(text.as_bytes());
            pairs.by_ref().for_each(drop);
            assert_eq!(pairs.failed(), failed, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            for pair in Pairs::new(&text) {
                prop_assert!(!text[pair.key].is_empty());
                let _ = &text[pair.value];
            }
        }

        #[test]
        fn texts_full_of_signs_never_panic(text in "[a=\"\\\\ \n\t]{0,40}") {
            Pairs::new(text.as_bytes()).for_each(drop);
        }
    }
}
