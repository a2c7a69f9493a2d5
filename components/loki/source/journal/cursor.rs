//! Where an entry is: the text that journald itself gives an entry, so that positions of other readers are understood.

use std::fmt;
use std::str::FromStr;

/// 128 bits, in hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 16]);

/// One entry of one sequence of journal files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The sequence that the number belongs to.
    pub sequence: Id,
    /// Its number there.
    pub seqnum: u64,
    /// The boot during which it was written.
    pub boot: Id,
    /// Microseconds since that boot.
    pub monotonic: u64,
    /// Microseconds since 1970.
    pub realtime: u64,
    /// Of all its fields.
    pub hash: u64,
}

/// The text is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no cursor of a journal")]
pub struct NoCursor(String);

// === impl Id ===

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Id {
    /// From 32 digits.
    pub fn parse(text: &str) -> Option<Id> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Id(id))
    }
}

// === impl Cursor ===

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { sequence, seqnum, boot, monotonic, realtime, hash } = self;
        write!(f, "s={sequence};i={seqnum:x};b={boot};m={monotonic:x};t={realtime:x};x={hash:x}")
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Cursor, NoCursor> {
        let part = |name: &str| text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str| u64::from_str_radix(part(name)?, 16).ok();
        let read = || {
            Some(Cursor {
                sequence: Id::parse(part("s")?)?,
                seqnum: number("i")?,
                boot: Id::parse(part("b")?)?,
                monotonic: number("m")?,
                realtime: number("t")?,
                hash: number("x")?,
            })
        };
        read().ok_or_else(|| NoCursor(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journalds_own_text_is_read_and_written() {
        let text = "s=1acbeb38fd1c4f38908f13f3dab758f4;i=2;b=11111111111111111111111111111111;m=f4290;t=64c2b99637243;x=fb1e7ed2e352d135";
        let cursor: Cursor = text.parse().unwrap();
        assert_eq!((cursor.seqnum, cursor.realtime), (2, 1_772_600_001_000_003));
        assert_eq!(cursor.to_string(), text);
        for bad in ["", "s=1;i=2", "s=1acbeb38fd1c4f38908f13f3dab758f4;i=x", "s=ü"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
