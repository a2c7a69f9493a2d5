//! A scanner over borrowed JSON: says where values are, checks that all of the text is JSON, and copies nothing.

use std::ops::Range;

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
    /// There is no backslash and no control character: strings end at the next quote.
    is_plain: bool,
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
        // Looking at all of it at once costs less than at each string for itself.
        let special = text.iter().fold(0, |special, byte| special | u8::from((*byte == b'\\') | (*byte < 0x20)));
        Scanner { text, at: 0, depth: 0, is_plain: special == 0 }
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
    pub fn value(&mut self) -> Result<Raw, Malformed> {
        let kind = self.peek()?;
        let start = self.at;
        match kind {
            Kind::String => return self.string(),
            Kind::Object => self.object(|_, scanner| scanner.value().map(|_| ()))?,
            Kind::Array => self.array(|scanner| scanner.value().map(|_| ()))?,
            Kind::True => self.word(b"true")?,
            Kind::False => self.word(b"false")?,
            Kind::Null => self.word(b"null")?,
            Kind::Number => self.number()?,
        }
        Ok(Raw::new(kind, start..self.at))
    }

    /// Reads an object: `each` gets every key and must pass over its value.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&Raw, &mut Scanner<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter(b'{')?;
        if self.next_is(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            each(&key, self)?;
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

    fn string(&mut self) -> Result<Raw, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        if self.is_plain {
            let end = start + first_quote(&self.text[start..]).ok_or(Malformed)?;
            self.at = end + 1;
            return Ok(Raw::new(Kind::String, start..end));
        }
        let mut escaped = false;
        loop {
            self.at += plain_prefix(&self.text[self.at..]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Raw { escaped, ..Raw::new(Kind::String, start..self.at - 1) });
                }
                Some(b'\\') => {
                    escaped = true;
                    let hex = self.text.get(self.at + 2..self.at + 6);
                    self.at += match self.text.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => 6,
                        _ => return Err(Malformed),
                    };
                }
                _ => return Err(Malformed),
            }
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

    fn take(&mut self, byte: u8) -> bool {
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    /// Passes over the byte if it is the next one, blanks aside.
    fn next_is(&mut self, byte: u8) -> bool {
        // Blanks are rare between what programs write.
        if self.take(byte) {
            return true;
        }
        self.blanks();
        self.take(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next_is(byte) { Ok(()) } else { Err(Malformed) }
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The high bit of each byte that is zero; bits above the lowest such may be wrong.
fn zero_in(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Where the next quote is. Keys and values are short: memchr costs more before it begins.
fn first_quote(text: &[u8]) -> Option<usize> {
    const SHORT: usize = 32;
    let mut at = 0;
    while at < SHORT
        && let Some(chunk) = text[at..].first_chunk::<8>()
    {
        let quote = zero_in(u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'"')));
        if quote != 0 {
            return Some(at + quote.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr(b'"', &text[at..]).map(|step| at + step)
}

/// How many bytes may stand in a string as they are: up to the next quote, backslash or control character. Thirty-two
/// bytes at a time where so many are plain, which the compiler makes a few instructions of, and eight where they are not.
fn plain_prefix(text: &[u8]) -> usize {
    let special_in = |chunk: &[u8; 8]| {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        quote | backslash | control
    };
    let special_at = |at: usize| text[at..].first_chunk::<8>().map(special_in);
    let mut at = 0;
    // Keys and most values end here.
    for _ in 0..2 {
        match special_at(at) {
            Some(0) => at += 8,
            Some(special) => return at + special.trailing_zeros() as usize / 8,
            None => break,
        }
    }
    while let Some(chunk) = text[at..].first_chunk::<32>()
        && chunk.iter().fold(0, |special, byte| special | u8::from(is_special(*byte))) == 0
    {
        at += 32;
    }
    while let Some(special) = special_at(at) {
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let tail = &text[at..];
    at + tail.iter().position(|byte| is_special(*byte)).unwrap_or(tail.len())
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
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

        #[test]
        fn the_first_quote_is_found(bytes in proptest::collection::vec(0x21..0x24u8, 0..80)) {
            prop_assert_eq!(first_quote(&bytes), bytes.iter().position(|byte| *byte == b'"'));
        }

        #[test]
        fn the_plain_prefix_ends_at_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let expected = bytes.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20).unwrap_or(bytes.len());
            prop_assert_eq!(plain_prefix(&bytes), expected);
        }
    }
}
