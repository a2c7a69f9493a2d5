//! A scanner over borrowed JSON: says where values are, checks that all of the text is JSON, and copies nothing.

use std::ops::Range;

use super::special::{self, Head};

/// Deeper nesting is taken for malformed: the scanner and the decoder call themselves.
const MAX_DEPTH: usize = 512;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

/// Where a value is: a few words, as there is one for each key and each value of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    /// What it is.
    pub kind: Kind,
    /// A string with escapes in it.
    pub escaped: bool,
    start: u32,
    end: u32,
}

/// Reads JSON from left to right.
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

// === impl Raw ===

impl Raw {
    /// Null, at no place.
    pub const NULL: Raw = Raw { kind: Kind::Null, escaped: false, start: 0, end: 0 };

    /// A value of this kind at this place of a scanner's text.
    pub fn new(kind: Kind, range: Range<usize>) -> Raw {
        // A scanner takes no text that is longer.
        Raw { kind, escaped: false, start: range.start as u32, end: range.end as u32 }
    }

    /// Its bytes; of a string, what is between the quotes.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// At the start of a text. One of 4 GiB is taken for malformed.
    pub fn new(text: &'a [u8]) -> Scanner<'a> {
        let text = if u32::try_from(text.len()).is_ok() { text } else { &[] };
        Scanner { text, at: 0, depth: 0 }
    }

    /// The bytes of a value.
    pub fn bytes(&self, raw: &Raw) -> &'a [u8] {
        &self.text[raw.range()]
    }

    /// What the next value is.
    pub fn peek(&mut self) -> Result<Kind, Malformed> {
        self.blanks();
        Ok(match self.text.get(self.at) {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't') => Kind::True,
            Some(b'f') => Kind::False,
            Some(b'n') => Kind::Null,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => return Err(Malformed),
        })
    }

    /// Passes over the next value.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Raw, Malformed> {
        // What there is most of, without a blank before it.
        if self.text.get(self.at) == Some(&b'"') { self.string() } else { self.other_value() }
    }

    fn other_value(&mut self) -> Result<Raw, Malformed> {
        let kind = self.peek()?;
        let start = self.at;
        match kind {
            Kind::String => return self.string(),
            Kind::Object => self.object(|_, _, scanner| scanner.value().map(|_| ()))?,
            Kind::Array => self.array(|scanner| scanner.value().map(|_| ()))?,
            Kind::True => self.word(b"true")?,
            Kind::False => self.word(b"false")?,
            Kind::Null => self.word(b"null")?,
            Kind::Number => self.number()?,
        }
        Ok(Raw::new(kind, start..self.at))
    }

    /// Reads an object: `each` gets every key, with the head of its name if that is not escaped, and must pass over its
    /// value.
    #[inline(always)]
    pub fn object(
        &mut self,
        mut each: impl FnMut(&Raw, Head, &mut Scanner<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter(b'{')?;
        if self.next_is(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let (key, head) = self.key()?;
            each(&key, head, self)?;
            if self.next_is(b',') {
                continue;
            }
            self.expect(b'}')?;
            self.depth -= 1;
            return Ok(());
        }
    }

    /// Reads a list: `each` must pass over one element.
    pub fn array(&mut self, mut each: impl FnMut(&mut Scanner<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.enter(b'[')?;
        if self.next_is(b']') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            each(self)?;
            if self.next_is(b',') {
                continue;
            }
            self.expect(b']')?;
            self.depth -= 1;
            return Ok(());
        }
    }

    /// Only blanks may follow.
    pub fn end(&mut self) -> Result<(), Malformed> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Where the scanner is.
    pub fn position(&self) -> usize {
        self.at
    }

    fn enter(&mut self, open: u8) -> Result<(), Malformed> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Malformed) } else { Ok(()) }
    }

    /// The name of a field, and the colon behind it.
    #[inline(always)]
    fn key(&mut self) -> Result<(Raw, Head), Malformed> {
        // As nearly all programs write it, without blanks.
        if let Some([b'"', word @ ..]) = self.text.get(self.at..).and_then(<[u8]>::first_chunk::<9>) {
            let start = self.at + 1;
            let (end, head) = special::first_with_head(self.text, start, u64::from_le_bytes(*word));
            if self.text.get(end..).and_then(<[u8]>::first_chunk) == Some(b"\":") {
                self.at = end + 2;
                return Ok((Raw::new(Kind::String, start..end), head));
            }
        }
        self.any_key()
    }

    fn any_key(&mut self) -> Result<(Raw, Head), Malformed> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok((key, Head::of(self.bytes(&key))))
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Raw, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let end = special::first(self.text, start);
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Raw::new(Kind::String, start..end));
        }
        self.escaped_string(start, end)
    }

    /// A string with something in it that may not stand there as it is: at `self.at`, an escape at best.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize, special: usize) -> Result<Raw, Malformed> {
        self.at = special;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Raw { escaped: true, ..Raw::new(Kind::String, start..self.at - 1) });
                }
                Some(b'\\') => {
                    let hex = self.text.get(self.at + 2..self.at + 6);
                    self.at += match self.text.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => 6,
                        _ => return Err(Malformed),
                    };
                }
                _ => return Err(Malformed),
            }
            self.at = special::first(self.text, self.at);
        }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Malformed),
        }
        if self.take(b'.') {
            self.some_digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), Malformed> {
        let before = self.at;
        self.digits();
        if self.at > before { Ok(()) } else { Err(Malformed) }
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    /// Passes over the byte if it is the next one, blanks aside.
    #[inline(always)]
    fn next_is(&mut self, byte: u8) -> bool {
        // Blanks are rare between what programs write.
        if self.take(byte) {
            return true;
        }
        match self.text.get(self.at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => {
                self.blanks();
                self.take(byte)
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next_is(byte) { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Result<Raw, Malformed> {
        let mut scanner = Scanner::new(text.as_bytes());
        let raw = scanner.value()?;
        scanner.end()?;
        Ok(raw)
    }

    #[test]
    fn accepts_json_and_nothing_else() {
        for good in
            ["{}", " [ ] ", "-0", "1.5e+3", "\"a\\u00fc\\n\"", "{\"a\":[1,{\"b\":null}],\"c\":true}", "\"\u{fc}\""]
        {
            assert!(whole(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "{",
            "{}x",
            "01",
            "1.",
            "+1",
            "'a'",
            "\"a",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "{a:1}",
            "[1,]",
            "nul",
            "{\"a\" 1}",
        ] {
            assert!(whole(bad).is_err(), "{bad}");
        }
        assert!(whole(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_another_json_reader(text in r#"[\[\]{}:,"\\a1\.e+\- ntu\n]{0,24}"#) {
            let ours = whole(&text).is_ok();
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Scanner::new(&bytes).value();
        }
    }
}
