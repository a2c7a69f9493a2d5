//! What a queued request says beside its body.

use bytes::Bytes;
use sdk_protocols_remote_write::Version;

/// So much of the sender's knowledge is kept with each request, also on the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Meta {
    pub(crate) generation: u32,
    pub(crate) shard: u32,
    pub(crate) version: Version,
    pub(crate) counts: Counts,
    pub(crate) highest_timestamp: i64,
    /// What the journal knows it by; 0 if it does not.
    pub(crate) draft: u64,
}

/// What is in a request that is no plain sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) exemplars: u32,
    pub(crate) histograms: u32,
    /// Series that say what they are; version 2 only.
    pub(crate) metadata: u32,
}

impl Counts {
    /// Plain samples among so many items.
    pub(crate) fn samples(self, items: u32) -> u32 {
        items.saturating_sub(self.exemplars).saturating_sub(self.histograms)
    }
}

/// The first five words are all that a request had before there were histograms and version 2.
const FIRST_WORDS: usize = 5;
/// And these before there was a journal.
const SECOND_WORDS: usize = 8;
const WORDS: usize = 10;

impl Meta {
    pub(crate) fn to_bytes(self) -> Bytes {
        let (time, draft) = (self.highest_timestamp as u64, self.draft);
        let version = match self.version {
            Version::V1 => 0,
            Version::V2 => 1,
        };
        let Counts { exemplars, histograms, metadata } = self.counts;
        let words: [u32; WORDS] = [
            self.generation,
            self.shard,
            exemplars,
            time as u32,
            (time >> 32) as u32,
            version,
            histograms,
            metadata,
            draft as u32,
            (draft >> 32) as u32,
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    /// None for a record that another version has written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Meta> {
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || !matches!(words.len(), FIRST_WORDS | SECOND_WORDS | WORDS) {
            return None;
        }
        let word = |at: usize| words.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let version = match word(5) {
            0 => Version::V1,
            1 => Version::V2,
            _ => return None,
        };
        Some(Meta {
            generation: word(0),
            shard: word(1),
            version,
            counts: Counts { exemplars: word(2), histograms: word(6), metadata: word(7) },
            highest_timestamp: (u64::from(word(4)) << 32 | u64::from(word(3))) as i64,
            draft: u64::from(word(9)) << 32 | u64::from(word(8)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_comes_back_from_its_bytes_and_from_those_of_the_version_before() {
        let counts = Counts { exemplars: 2, histograms: 5, metadata: 9 };
        let highest_timestamp = -1_700_000_000_123;
        let meta =
            Meta { generation: 7, shard: 3, version: Version::V2, counts, highest_timestamp, draft: 5 << 40 | 3 };
        let bytes = meta.to_bytes();
        assert_eq!(Meta::from_bytes(&bytes), Some(meta));
        let meta = Meta { draft: 0, ..meta };
        assert_eq!(Meta::from_bytes(&bytes[..32]), Some(meta));
        let counts = Counts { exemplars: 2, ..Counts::default() };
        assert_eq!(Meta::from_bytes(&bytes[..20]), Some(Meta { version: Version::V1, counts, ..meta }));
        assert_eq!(Meta::from_bytes(b"short"), None);
        assert_eq!(Meta::from_bytes(&bytes[..24]), None);
    }
}
