//! Double-quoted text as Go's `strconv` writes and reads it.
//!
//! A value of the language may hold bytes that are no UTF-8, so both directions work on bytes.

use std::fmt::Write;

/// The text in double quotes: printable characters as they are, the rest escaped (`\n`, `\x00`, `\u200b`).
pub fn quote(text: &[u8]) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut quoted, c));
        chunk.invalid().iter().for_each(|byte| {
            let _ = write!(quoted, "\\x{byte:02x}");
        });
    }
    quoted.push('"');
    quoted
}

/// What a quoted literal stands for: `"…"` with escapes, or `` `…` `` taken as it is but for carriage returns.
/// `None` if it is no such literal.
pub fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let [quote, inner @ .., last] = literal else { return None };
    if quote != last {
        return None;
    }
    match quote {
        b'`' if !inner.contains(&b'`') => Some(inner.iter().copied().filter(|byte| *byte != b'\r').collect()),
        b'"' if !inner.contains(&b'\n') => unescape(inner),
        _ => None,
    }
}

/// Whether Go prints the character as itself: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library knows, but tells only through escape_debug of a text; the first place in it is special
    // (combining marks are escaped there), so the character comes second.
    let mut buffer = [b'a'; 5];
    let length = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=length]).expect("an ASCII letter and one encoded character");
    text.escape_debug().nth(1) != Some('\\')
}

fn push_escaped(quoted: &mut String, c: char) {
    match c {
        '"' | '\\' => quoted.extend(['\\', c]),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{c}' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{b}' => quoted.push_str("\\v"),
        c if is_printable(c) => quoted.push(c),
        c => {
            let code = u32::from(c);
            let _ = match code {
                0..0x80 => write!(quoted, "\\x{code:02x}"),
                0x80..0x10000 => write!(quoted, "\\u{code:04x}"),
                _ => write!(quoted, "\\U{code:08x}"),
            };
        }
    }
}

fn unescape(inner: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => return None,
            b'\\' => {
                let [kind, after @ ..] = rest else { return None };
                rest = after;
                match kind {
                    b'a' => text.push(7),
                    b'b' => text.push(8),
                    b'f' => text.push(0xc),
                    b'n' => text.push(b'\n'),
                    b'r' => text.push(b'\r'),
                    b't' => text.push(b'\t'),
                    b'v' => text.push(0xb),
                    b'\\' | b'"' => text.push(*kind),
                    b'x' => text.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?),
                    b'0'..=b'7' => {
                        let low = digits(&mut rest, 2, 8)?;
                        text.push(u8::try_from(u32::from(kind - b'0') * 64 + low).ok()?);
                    }
                    b'u' | b'U' => {
                        let code = digits(&mut rest, if *kind == b'u' { 4 } else { 8 }, 16)?;
                        let c = char::from_u32(code)?;
                        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    _ => return None,
                }
            }
            _ => text.push(*byte),
        }
    }
    Some(text)
}

fn digits(rest: &mut &[u8], count: usize, radix: u32) -> Option<u32> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    taken.iter().try_fold(0u32, |value, byte| value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_gos() {
        for (text, quoted) in [
            (&b""[..], r#""""#),
            (b"a b", r#""a b""#),
            (b"\x07\x08\x0c\n\r\t\x0b\\\"'", r#""\a\b\f\n\r\t\v\\\"'""#),
            (b"\0\x1f\x7f", r#""\x00\x1f\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("é世😀".as_bytes(), r#""é世😀""#),
            ("\u{200b}\u{a0}\u{85}\u{e0001}".as_bytes(), r#""\u200b\u00a0\u0085\U000e0001""#),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted.as_bytes()).as_deref(), Some(text), "{quoted}");
        }
    }

    #[test]
    fn literals_unquote() {
        for (literal, text) in [
            (r#""\101\x41\u00e9\U0001F600""#.as_bytes(), Some("AA\u{e9}\u{1f600}".as_bytes())),
            (br#""\xff\377""#, Some(b"\xff\xff")),
            (b"`a\r\n\\n`", Some(b"a\n\\n")),
            (br#""\'""#, None),
            (br#""\400""#, None),
            (br#""\ud800""#, None),
            (br#""\x4""#, None),
            (b"\"a\nb\"", None),
            (b"\"", None),
            (b"'a'", None),
            (b"", None),
        ] {
            assert_eq!(unquote(literal).as_deref(), text, "{:?}", String::from_utf8_lossy(literal));
        }
    }
}
