//! UUIDs of sixteen random bytes.

use std::fmt;

/// A UUID (RFC 9562), shown as `01234567-89ab-4cde-8f01-23456789abcd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// These bytes, with the bits that tell the version and the variant set: 4 where all are random, 7 where the first six
    /// are the milliseconds since 1970.
    pub fn new(version: u8, mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = bytes[6] & 0x0f | version << 4;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_variant_are_told() {
        assert_eq!(Uuid::new(4, [0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Uuid::new(7, [0; 16]).to_string(), "00000000-0000-7000-8000-000000000000");
    }
}
