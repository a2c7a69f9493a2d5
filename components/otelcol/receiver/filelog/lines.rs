//! From bytes to records: where one ends, and how it is text.

use base_re2::{Cursor, Regex, Slots};
use bytes::Bytes;
use sdk_protocols_otlp::model::AnyValue;

use super::arguments::Multiline;

/// How a file's bytes are text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Encoding {
    /// What is not UTF-8 is replaced.
    Utf8,
    /// What is not UTF-8 stays.
    Utf8Raw,
    /// Each byte is the character of that number.
    Latin1,
    /// Bytes; they are not even split.
    Nop,
    /// Two bytes and more for each character.
    Utf16 { little_endian: bool },
    /// As the standard says for this name; a newline is one byte.
    Named(&'static encoding_rs::Encoding),
}

/// Where records end.
pub(super) struct Splitter {
    encoding: Encoding,
    by: By,
}

enum By {
    Newline(&'static [u8]),
    Start(Regex, bool),
    End(Regex, bool),
    /// Everything that is there.
    Nothing,
}

/// A record in a buffer: its bytes, and how many bytes it takes with what ends it.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) taken: usize,
}

// === impl Encoding ===

impl Encoding {
    /// By its name, as the Collector knows them.
    pub(super) fn named(name: &str) -> Option<Encoding> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => Encoding::Utf8,
            "utf-8-raw" | "utf8-raw" => Encoding::Utf8Raw,
            "nop" => Encoding::Nop,
            "utf-16" | "utf16" | "utf-16le" => Encoding::Utf16 { little_endian: true },
            "utf-16be" => Encoding::Utf16 { little_endian: false },
            // The web's standard takes these names for windows-1252; everybody else does not.
            "iso-8859-1" | "iso_8859-1" | "latin1" | "l1" => Encoding::Latin1,
            _ => Encoding::Named(encoding_rs::Encoding::for_label(name.as_bytes())?),
        })
    }

    /// The text of a record, without blanks where they are not kept.
    pub(super) fn body(self, bytes: Bytes, keep: (bool, bool)) -> AnyValue {
        let decoded = match self {
            Encoding::Nop => return AnyValue::Bytes(bytes),
            Encoding::Utf8 if std::str::from_utf8(&bytes).is_err() => {
                Bytes::from(String::from_utf8_lossy(&bytes).into_owned())
            }
            Encoding::Utf8 | Encoding::Utf8Raw => bytes,
            Encoding::Latin1 => Bytes::from(encoding_rs::mem::decode_latin1(&bytes).into_owned()),
            Encoding::Utf16 { little_endian } => {
                let encoding = if little_endian { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE };
                Bytes::from(encoding.decode_without_bom_handling(&bytes).0.into_owned())
            }
            Encoding::Named(encoding) => Bytes::from(encoding.decode_without_bom_handling(&bytes).0.into_owned()),
        };
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let (keep_leading, keep_trailing) = keep;
        let start =
            if keep_leading { 0 } else { decoded.iter().position(|byte| !blank(byte)).unwrap_or(decoded.len()) };
        let end = if keep_trailing {
            decoded.len()
        } else {
            decoded.iter().rposition(|byte| !blank(byte)).map_or(0, |at| at + 1)
        };
        AnyValue::Text(decoded.slice(start..end.max(start)).into())
    }
}

// === impl Splitter ===

impl Splitter {
    /// At newlines, or by a pattern.
    pub(super) fn new(encoding: Encoding, multiline: Option<&Multiline>) -> Result<Splitter, String> {
        let newline: &'static [u8] = match encoding {
            Encoding::Utf16 { little_endian: true } => b"\n\0",
            Encoding::Utf16 { little_endian: false } => b"\0\n",
            _ => b"\n",
        };
        let Some(multiline) = multiline else {
            let by = if encoding == Encoding::Nop { By::Nothing } else { By::Newline(newline) };
            return Ok(Splitter { encoding, by });
        };
        if matches!(encoding, Encoding::Nop | Encoding::Utf16 { .. }) {
            return Err("patterns are not supported with this encoding".to_owned());
        }
        let compile = |pattern: &str| Regex::new(&format!("(?m){pattern}")).map_err(|error| error.to_string());
        let omit = multiline.omit_pattern;
        let by = match (multiline.line_start_pattern.as_str(), multiline.line_end_pattern.as_str()) {
            ("", "") => return Err("either line_start_pattern or line_end_pattern must be set".to_owned()),
            (start, "") => By::Start(compile(start)?, omit),
            ("", end) => By::End(compile(end)?, omit),
            _ => return Err("only one of line_start_pattern and line_end_pattern can be set".to_owned()),
        };
        Ok(Splitter { encoding, by })
    }

    /// The bytes of a newline.
    pub(super) fn line(encoding: Encoding) -> Splitter {
        Splitter::new(encoding, None).expect("newlines are always found")
    }

    /// How its bytes are text.
    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The first record of a buffer, if it is whole. `at_end` is the end of the file.
    pub(super) fn next(&self, data: &[u8], at_end: bool) -> Option<Piece> {
        match &self.by {
            By::Newline(newline) => {
                let end = newline_at(data, newline)?;
                // A carriage return before it is a blank, but one may be wanted to keep blanks.
                let width = newline.len();
                let before = end.saturating_sub(width);
                let ends_with_return = end >= width && {
                    let unit = &data[before..end];
                    unit.contains(&b'\r') && unit.iter().all(|byte| matches!(byte, b'\r' | 0))
                };
                Some(Piece { start: 0, end: if ends_with_return { before } else { end }, taken: end + width })
            }
            By::Start(regex, omit) => {
                let mut found = matches(regex, data);
                let first = found.next()?;
                if first.start != 0 {
                    return Some(Piece { start: 0, end: first.start, taken: first.start });
                }
                let next = found.take(2).find(|next| next.start > first.end)?;
                let start = if *omit { first.end } else { 0 };
                Some(Piece { start, end: next.start, taken: next.start })
            }
            By::End(regex, omit) => {
                let found = regex.find(data)?;
                // What matched up to the end may match more of what is still to come.
                if found.end == data.len() && !at_end {
                    return None;
                }
                // Nothing is no record, and would be found for ever.
                if found.end == 0 {
                    return None;
                }
                Some(Piece { start: 0, end: if *omit { found.start } else { found.end }, taken: found.end })
            }
            By::Nothing => {
                (at_end && !data.is_empty()).then_some(Piece { start: 0, end: data.len(), taken: data.len() })
            }
        }
    }
}

fn newline_at(data: &[u8], newline: &[u8]) -> Option<usize> {
    if newline.len() == 1 {
        return memchr::memchr(newline[0], data);
    }
    // Only at the borders of characters: two neighbours may hold the bytes of a newline between them.
    data.chunks_exact(newline.len()).position(|unit| unit == newline).map(|unit| unit * newline.len())
}

fn matches<'d>(regex: &'d Regex, data: &'d [u8]) -> impl Iterator<Item = std::ops::Range<usize>> + 'd {
    let (mut cursor, mut slots) = (Cursor::default(), Slots::default());
    std::iter::from_fn(move || regex.next_match(data, &mut cursor, &mut slots).then(|| slots.get(0)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(splitter: &Splitter, data: &str) -> (Vec<String>, String) {
        let (mut rest, mut found) = (data, Vec::new());
        while let Some(piece) = splitter.next(rest.as_bytes(), true) {
            found.push(rest[piece.start..piece.end].to_owned());
            rest = &rest[piece.taken..];
        }
        (found, rest.to_owned())
    }

    fn multiline(start: &str, end: &str, omit_pattern: bool) -> Splitter {
        let multiline =
            Multiline { line_start_pattern: start.to_owned(), line_end_pattern: end.to_owned(), omit_pattern };
        Splitter::new(Encoding::Utf8, Some(&multiline)).unwrap()
    }

    #[test]
    fn records_end_at_newlines_or_by_patterns() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let newline = Splitter::line(Encoding::Utf8);
        assert_eq!(split(&newline, "a\r\n\nb\nrest"), (lines(&["a", "", "b"]), "rest".to_owned()));
        let start = multiline("^\\d", "", false);
        assert_eq!(split(&start, "x\n1 a\n  b\n2 c\n3"), (lines(&["x\n", "1 a\n  b\n", "2 c\n"]), "3".to_owned()));
        let omitted = multiline("START ", "", true);
        assert_eq!(split(&omitted, "START a START b"), (lines(&["a "]), "START b".to_owned()));
        let end = multiline("", ";", false);
        assert_eq!(split(&end, "a;b;c"), (lines(&["a;", "b;"]), "c".to_owned()));
        let omitted = multiline("", ";\n?", true);
        assert_eq!(split(&omitted, "a;\nb;c"), (lines(&["a", "b"]), "c".to_owned()));
    }

    #[test]
    fn two_byte_newlines_are_found_on_their_own_ground() {
        let splitter = Splitter::line(Encoding::Utf16 { little_endian: true });
        assert_eq!(splitter.next(b"\x00\x0a\x00\x0a", true), None);
        let piece = splitter.next(b"a\x00\x0d\x00\x0a\x00b\x00", true).unwrap();
        assert_eq!((piece.end, piece.taken), (2, 6));
        let body = splitter.encoding().body(Bytes::from_static(b" \x00\xe4\x00"), (false, false));
        assert_eq!(body.to_text(), "ä");
    }

    #[test]
    fn names_are_known() {
        assert_eq!(Encoding::named("UTF-16"), Some(Encoding::Utf16 { little_endian: true }));
        assert_eq!(Encoding::named("no-such"), None);
        let body = |name: &str, bytes: &'static [u8]| {
            Encoding::named(name).unwrap().body(Bytes::from_static(bytes), (true, false))
        };
        assert_eq!(body("windows-1252", b" \x80 ").to_text(), " €");
        assert_eq!(body("utf-8", b"a\xff").to_text(), "a\u{fffd}");
        assert!(matches!(body("nop", b" a "), AnyValue::Bytes(bytes) if *bytes == *b" a "));
    }
}
