//! Strings of JSON as Go reads and writes them.

/// Appends the text of a string with escapes. What was checked by the scanner cannot fail; a lone surrogate becomes the
/// replacement character.
pub fn unescape(raw: &[u8], to: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(step) = memchr::memchr(b'\\', &raw[at..]) {
        to.extend_from_slice(&raw[at..at + step]);
        at += step + 1;
        let plain = match raw.get(at) {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (character, length) = unicode(&raw[at + 1..]);
                let mut utf8 = [0; 4];
                to.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                at += 1 + length;
                continue;
            }
            Some(other) => *other,
            None => return,
        };
        to.push(plain);
        at += 1;
    }
    to.extend_from_slice(&raw[at..]);
}

/// The character of `XXXX` or `XXXX\uXXXX`, and how many bytes it took.
fn unicode(digits: &[u8]) -> (char, usize) {
    let four = |digits: Option<&[u8]>| {
        digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(first) = four(digits.get(..4)) else { return (char::REPLACEMENT_CHARACTER, digits.len().min(4)) };
    if let Some(character) = char::from_u32(first) {
        return (character, 4);
    }
    let second = if digits.get(4..6) == Some(b"\\u") { four(digits.get(6..10)) } else { None };
    match (first, second) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
        }
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

/// JSON as Go's `encoding/json` writes it: what HTML takes for its own, and what ends a line for JavaScript, is escaped.
/// Such letters stand nowhere but in strings.
pub fn escape_html(mut json: String) -> String {
    for (letter, escaped) in
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
    {
        if json.contains(letter) {
            json = json.replace(letter, escaped);
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_read_as_go_reads_them() {
        let mut text = Vec::new();
        unescape(br#"a\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00\ud83dx"#, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), "a\"\\/\u{8}\u{c}\n\r\t\u{fc}\u{1f600}\u{fffd}x");
    }

    #[test]
    fn html_is_no_html_any_more() {
        assert_eq!(escape_html("{\"a\":\"<&>\u{2028}\"}".to_owned()), r#"{"a":"\u003c\u0026\u003e\u2028"}"#);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            unescape(&bytes, &mut Vec::new());
        }
    }
}
