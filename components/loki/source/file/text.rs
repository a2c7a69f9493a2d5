//! From bytes to lines.

use bytes::Bytes;
use encoding_rs::Encoding;
use sdk_signals::LogEntry;

/// How a file's bytes are text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TextForm {
    /// Passed on as they are.
    Bytes,
    /// Each byte is the character of that number.
    Latin1,
    /// As the standard says for this name; a newline is one byte.
    Named(&'static Encoding),
    /// Two bytes and more for each character.
    Utf16 { little_endian: bool },
}

/// A longer line is cut into pieces of this size: nothing may grow without bound.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Room is not made for more lines than if all were so short; there may be.
const SHORT_LINE: usize = 32;

// === impl TextForm ===

impl TextForm {
    /// An encoding by its IANA name; "" passes bytes through.
    pub fn named(name: &str) -> Option<TextForm> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "" => Some(TextForm::Bytes),
            "utf-16le" => Some(TextForm::Utf16 { little_endian: true }),
            "utf-16be" | "utf-16" => Some(TextForm::Utf16 { little_endian: false }),
            // The web's standard takes these names for windows-1252; everybody else does not.
            "iso-8859-1" | "iso_8859-1" | "latin1" | "l1" | "us-ascii" | "ascii" => Some(TextForm::Latin1),
            _ => Encoding::for_label(name.as_bytes()).map(TextForm::Named),
        }
    }

    /// What a byte order mark at the start of the file says, and its length.
    pub fn of_mark(start: &[u8]) -> Option<(TextForm, u64)> {
        match start {
            [0xef, 0xbb, 0xbf, ..] => Some((TextForm::Bytes, 3)),
            [0xff, 0xfe, ..] => Some((TextForm::Utf16 { little_endian: true }, 2)),
            [0xfe, 0xff, ..] => Some((TextForm::Utf16 { little_endian: false }, 2)),
            _ => None,
        }
    }

    /// Bytes up to and including the last newline; 0 without one.
    pub fn complete(self, chunk: &[u8]) -> usize {
        match self {
            TextForm::Utf16 { little_endian } => {
                let newline = if little_endian { [b'\n', 0] } else { [0, b'\n'] };
                let units = chunk.chunks_exact(2);
                units.clone().rposition(|unit| unit == newline).map_or(0, |at| (at + 1) * 2)
            }
            _ => memchr::memrchr(b'\n', chunk).map_or(0, |at| at + 1),
        }
    }

    /// The lines of a chunk, each a slice of it (or of its decoded form). A last line without newline counts. Each entry
    /// is a nanosecond later than the one before: Loki takes equal lines of one time for one line.
    pub fn lines(self, chunk: &Bytes, first_timestamp: i64) -> Vec<LogEntry> {
        let decoded = match self {
            TextForm::Bytes => chunk.clone(),
            TextForm::Latin1 => Bytes::from(encoding_rs::mem::decode_latin1(chunk).into_owned()),
            TextForm::Named(encoding) => Bytes::from(encoding.decode_without_bom_handling(chunk).0.into_owned()),
            TextForm::Utf16 { little_endian } => {
                let encoding = if little_endian { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE };
                Bytes::from(encoding.decode_without_bom_handling(chunk).0.into_owned())
            }
        };
        let mut newlines = memchr::memchr_iter(b'\n', &decoded).peekable();
        // Lines of one file resemble each other: the first one tells about how many there are.
        let first_line = newlines.peek().map_or(decoded.len(), |newline| newline + 1);
        let mut entries = Vec::with_capacity(decoded.len() / first_line.max(SHORT_LINE) + 1);
        let mut start = 0;
        let mut push = |start: usize, mut end: usize| {
            if end > start && decoded[end - 1] == b'\r' {
                end -= 1;
            }
            entries.push(LogEntry::new(first_timestamp + entries.len() as i64, decoded.slice(start..end)));
        };
        for newline in newlines {
            push(start, newline);
            start = newline + 1;
        }
        if start < decoded.len() {
            push(start, decoded.len());
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(form: TextForm, chunk: &'static [u8]) -> Vec<String> {
        let lines = form.lines(&Bytes::from_static(chunk), 0);
        lines.iter().map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
    }

    #[test]
    fn lines_end_with_newlines_and_lose_one_carriage_return() {
        assert_eq!(lines(TextForm::Bytes, b"a\r\n\n\r\nx\r\r\nb\rc\nlast"), ["a", "", "", "x\r", "b\rc", "last"]);
        assert_eq!(TextForm::Bytes.complete(b"one\ntwo"), 4);
        assert_eq!(TextForm::Bytes.complete(b"one"), 0);
    }

    #[test]
    fn two_byte_newlines_are_found_on_their_own_ground() {
        let form = TextForm::Utf16 { little_endian: true };
        // U+0A00 holds the bytes of a newline in the wrong order.
        assert_eq!(form.complete(b"\x00\x0a\x00\x0a"), 0);
        assert_eq!(form.complete(b"a\x00\x0a\x00b\x00"), 4);
        assert_eq!(lines(form, b"a\x00\xe4\x00\x0d\x00\x0a\x00b\x00\x0a\x00"), ["aä", "b"]);
    }

    #[test]
    fn names_are_known() {
        assert_eq!(lines(TextForm::named("windows-1252").unwrap(), b"\x80\n"), ["€"]);
        assert_eq!(lines(TextForm::named("ISO-8859-1").unwrap(), b"caf\xe9\n"), ["café"]);
        assert_eq!(lines(TextForm::named("Shift_JIS").unwrap(), b"\x93\xfa\x96\x7b\n"), ["日本"]);
        assert!(TextForm::named("no-such").is_none());
    }
}
