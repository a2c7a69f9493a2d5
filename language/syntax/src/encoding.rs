//! What a configuration's bytes must be before they are scanned: UTF-8 (spec §1.1).

use std::fmt;

/// Why bytes are no configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingError {
    /// They begin with the byte order mark of another encoding, named here.
    Other(&'static str),
    /// They are not valid UTF-8; the first wrong byte is here.
    Invalid {
        /// Its offset.
        offset: usize,
    },
}

/// Whether bytes are UTF-8, with or without a byte order mark. `run` and `validate` ask; `fmt` lets the scanner tell each place.
pub fn check_encoding(bytes: &[u8]) -> Result<(), EncodingError> {
    // The marks of UTF-32 begin like those of UTF-16, and so come first.
    const MARKS: [(&[u8], &str); 4] = [
        (&[0xff, 0xfe, 0, 0], "UTF32LittleEndian"),
        (&[0, 0, 0xfe, 0xff], "UTF32BigEndian"),
        (&[0xff, 0xfe], "UTF16LittleEndian"),
        (&[0xfe, 0xff], "UTF16BigEndian"),
    ];
    if let Some((_, name)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(EncodingError::Other(name));
    }
    std::str::from_utf8(bytes).map(|_| ()).map_err(|error| EncodingError::Invalid { offset: error.valid_up_to() })
}

// === impl EncodingError ===

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodingError::Other(name) => write!(f, "configuration is encoded with {name} but must be utf8"),
            EncodingError::Invalid { .. } => f.write_str("unknown encoding for config"),
        }
    }
}

impl std::error::Error for EncodingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_passes_and_other_encodings_are_named() {
        for (bytes, message) in [
            (&b"a = 1"[..], ""),
            (b"\xef\xbb\xbfa = 1", ""),
            (b"", ""),
            (b"\xff\xfea\0", "configuration is encoded with UTF16LittleEndian but must be utf8"),
            (b"\xfe\xff\0a", "configuration is encoded with UTF16BigEndian but must be utf8"),
            (b"\xff\xfe\0\0a\0\0\0", "configuration is encoded with UTF32LittleEndian but must be utf8"),
            (b"a = \"\xff\"", "unknown encoding for config"),
        ] {
            let result = check_encoding(bytes).map_err(|error| error.to_string());
            assert_eq!(result.err().unwrap_or_default(), message);
        }
    }
}
