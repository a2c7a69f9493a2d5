//! What stands in a file of the journal.

use sdk_protocols_remote_write::{Part, Version};

use super::super::meta::Counts;

/// The start of each file, and of those from before there were rounds.
const MAGIC: &[u8; 8] = b"FALOYJ02";
const MAGIC_1: &[u8; 8] = b"FALOYJ01";

/// What stands behind the last entry.
pub(super) const END: [u8; 4] = [0; 4];

const PART: u8 = 1;
const DONE: u8 = 2;
/// Length and CRC.
const FRAME_BYTES: usize = 8;
const NAME_BYTES: usize = 9;
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

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Entry<'a> {
    Part(u64, PartOf<'a>),
    Done(u64),
}

/// The head of a file in one of its rounds.
pub(super) fn head(round: u32) -> Vec<u8> {
    [&MAGIC[..], &round.to_le_bytes()].concat()
}

pub(super) fn push_part(to: &mut Vec<u8>, round: u32, draft: u64, part: &PartOf<'_>) {
    push(to, round, PART, draft, |to| {
        let PartOf { index, version, items, counts, highest_timestamp, part } = part;
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
    });
}

pub(super) fn push_done(to: &mut Vec<u8>, round: u32, draft: u64) {
    push(to, round, DONE, draft, |_| {});
}

fn push(to: &mut Vec<u8>, round: u32, kind: u8, draft: u64, rest: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; FRAME_BYTES]);
    to.push(kind);
    to.extend_from_slice(&draft.to_le_bytes());
    rest(to);
    let body = &to[start + FRAME_BYTES..];
    let (length, crc) = (body.len() as u32, crc(round, body));
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
    to[start + 4..start + FRAME_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn crc(round: u32, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(round);
    crc.update(body);
    crc.finalize()
}

/// The entries of a file, in order. A damaged one is passed over, and the walk ends where no entry can be found any more;
/// `damaged` hears the bytes.
pub(super) fn entries<'a>(mut bytes: &'a [u8], mut damaged: impl FnMut(usize), mut each: impl FnMut(Entry<'a>)) {
    let mut round = 0;
    let behind = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk);
    match behind.map(|(given, rest)| (u32::from_le_bytes(*given), rest)) {
        Some(both) => (round, bytes) = both,
        None => match bytes.strip_prefix(MAGIC_1) {
            Some(rest) => bytes = rest,
            None => return damaged(bytes.len()),
        },
    }
    if bytes.strip_prefix(&END).is_some() {
        return;
    }
    while let Some((frame, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() {
        let number = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let Some((body, rest)) = rest.split_at_checked(number(0) as usize) else { break };
        match parse(body).filter(|_| crc(round, body) == number(4)) {
            Some(entry) => each(entry),
            None => damaged(FRAME_BYTES + body.len()),
        }
        bytes = rest;
        if bytes.strip_prefix(&END).is_some() {
            return;
        }
    }
    if !bytes.is_empty() {
        damaged(bytes.len());
    }
}

fn parse(body: &[u8]) -> Option<Entry<'_>> {
    let (name, rest) = body.split_first_chunk::<NAME_BYTES>()?;
    let draft = u64::from_le_bytes(name[1..].try_into().ok()?);
    if name[0] == DONE {
        return Some(Entry::Done(draft));
    }
    let (about, bytes) = rest.split_first_chunk::<ABOUT_BYTES>().filter(|_| name[0] == PART)?;
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
    let part = PartOf {
        index: number(0),
        version,
        items: number(2),
        counts: Counts { exemplars: number(3), histograms: number(4), metadata: number(5) },
        highest_timestamp: i64::from_le_bytes(about[ABOUT_BYTES - 8..].try_into().ok()?),
        part: Part { bytes, compressed_from },
    };
    Some(Entry::Part(draft, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_costs_itself() {
        let part = |index| PartOf {
            index,
            version: Version::V2,
            items: 5,
            counts: Counts { exemplars: 1, histograms: 2, metadata: 3 },
            highest_timestamp: -7,
            part: Part { bytes: b"bytes", compressed_from: Some(99) },
        };
        let mut file = head(3);
        push_part(&mut file, 3, 8, &part(0));
        let second = file.len();
        push_part(&mut file, 3, 8, &part(1));
        let third = file.len();
        push_done(&mut file, 3, 8);
        let read = |bytes: &[u8]| {
            let (mut found, mut lost) = (Vec::new(), 0);
            entries(bytes, |bytes| lost += bytes, |entry| found.push(format!("{entry:?}")));
            (found, lost)
        };
        let whole =
            [Entry::Part(8, part(0)), Entry::Part(8, part(1)), Entry::Done(8)].map(|entry| format!("{entry:?}"));
        assert_eq!(read(&file), (whole.to_vec(), 0));
        for bit in (second + 4) * 8..third * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = vec![whole[0].clone(), whole[2].clone()];
            assert_eq!(read(&damaged), (expected, third - second), "bit {bit}");
        }
        assert_eq!(read(&file[..third - 1]), (whole[..1].to_vec(), third - 1 - second), "a torn end");
        // What is left of another round behind the end, or behind an entry of which a part was written.
        let mut left = Vec::new();
        push_done(&mut left, 2, 8);
        assert_eq!(read(&[&file[..second], &END, &left].concat()), (whole[..1].to_vec(), 0));
        assert_eq!(read(&[&file[..second], &left].concat()), (whole[..1].to_vec(), left.len()));
        assert_eq!(read(&[&head(3)[..], &END, &left].concat()), (Vec::new(), 0));
        // As they were before there were rounds.
        let mut first = MAGIC_1.to_vec();
        push_done(&mut first, 0, 8);
        assert_eq!(read(&first), (whole[2..].to_vec(), 0));
        assert_eq!(read(b"FALOYJ99 and more").1, 17);
        assert_eq!(read(b"").1, 0);
    }
}
