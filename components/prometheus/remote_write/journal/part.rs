//! A part of a request, as it stands in the journal.

use sdk_protocols_remote_write::{Part, Version};

use super::super::meta::Counts;

/// In front of the part's bytes.
const ABOUT_BYTES: usize = 1 + 4 * 6 + 8;

/// A part of a request that is being filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PartOf<'a> {
    /// How many parts of this draft were written before.
    pub(crate) index: u32,
    pub(crate) version: Version,
    /// Samples, exemplars and histograms in this part; the counts are those of this part too.
    pub(crate) items: u32,
    pub(crate) counts: Counts,
    /// Of the draft so far.
    pub(crate) highest_timestamp: i64,
    pub(crate) part: Part<'a>,
}

// === impl PartOf ===

impl<'a> PartOf<'a> {
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        let PartOf { index, version, items, counts, highest_timestamp, part } = self;
        to.push(match version {
            Version::V1 => 1,
            Version::V2 => 2,
        });
        let compressed_from = part.compressed_from.unwrap_or(0) as u32;
        for number in [*index, compressed_from, *items, counts.exemplars, counts.histograms, counts.metadata] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        to.extend_from_slice(&highest_timestamp.to_le_bytes());
        to.extend_from_slice(part.bytes);
    }

    /// None for what another version of this program has written.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<PartOf<'a>> {
        let (about, bytes) = bytes.split_first_chunk::<ABOUT_BYTES>()?;
        let number = |index: usize| {
            let at = 1 + 4 * index;
            u32::from_le_bytes([about[at], about[at + 1], about[at + 2], about[at + 3]])
        };
        let version = match about[0] {
            1 => Version::V1,
            2 => Version::V2,
            _ => return None,
        };
        let compressed_from = Some(number(1) as usize).filter(|length| *length > 0);
        Some(PartOf {
            index: number(0),
            version,
            items: number(2),
            counts: Counts { exemplars: number(3), histograms: number(4), metadata: number(5) },
            highest_timestamp: i64::from_le_bytes(about[ABOUT_BYTES - 8..].try_into().ok()?),
            part: Part { bytes, compressed_from },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_from_its_bytes() {
        for (version, compressed_from) in [(Version::V1, None), (Version::V2, Some(99))] {
            let counts = Counts { exemplars: 1, histograms: 2, metadata: 3 };
            let part = Part { bytes: b"bytes", compressed_from };
            let part = PartOf { index: 4, version, items: 5, counts, highest_timestamp: -7, part };
            let mut bytes = Vec::new();
            part.put(&mut bytes);
            assert_eq!(PartOf::parse(&bytes), Some(part));
            bytes[0] = 3;
            assert_eq!(PartOf::parse(&bytes), None);
            assert_eq!(PartOf::parse(&bytes[..ABOUT_BYTES - 1]), None);
        }
    }
}
