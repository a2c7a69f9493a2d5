//! One segment file: a header, then records one behind the other.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom};

use crate::record::{HEADER_BYTES, Header, MAGIC};

/// Where the first record is.
pub(crate) const FILE_HEADER_BYTES: u64 = 2 * COPY_BYTES as u64;

const FILE_MAGIC: &[u8; 8] = b"FALOYSEG";
const VERSION: u32 = 1;
const COPY_BYTES: usize = 8 + 4 + 4 + 4;
/// How much is read at once while looking for the next record behind damaged bytes.
const SEARCH_BYTES: usize = 256 << 10;

/// What the header of a segment file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileHeader {
    Ours {
        salt: u32,
    },
    /// Written by another version of this program.
    Version(u32),
    Damaged,
}

/// The next readable record of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    /// Bytes that were passed over because they held no record.
    pub skipped: u64,
    /// Where the record starts, or nothing when there is none up to the end.
    pub record: Option<(u64, Header)>,
}

pub(crate) fn file_name(id: u64) -> String {
    format!("{id:020}.seg")
}

pub(crate) fn id_of(file_name: &str) -> Option<u64> {
    file_name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?.parse().ok()
}

pub(crate) fn new_salt() -> u32 {
    // The standard library's hasher is seeded by the operating system's random numbers; nothing here is a secret.
    RandomState::new().build_hasher().finish() as u32
}

/// The header is there twice, so one flipped bit does not cost the whole segment.
pub(crate) fn file_header(salt: u32) -> Vec<u8> {
    let mut copy = Vec::with_capacity(COPY_BYTES);
    copy.extend_from_slice(FILE_MAGIC);
    copy.extend_from_slice(&VERSION.to_le_bytes());
    copy.extend_from_slice(&salt.to_le_bytes());
    copy.extend_from_slice(&crc32fast::hash(&copy).to_le_bytes());
    copy.repeat(2)
}

pub(crate) fn parse_file_header(bytes: &[u8]) -> FileHeader {
    for copy in bytes.chunks_exact(COPY_BYTES).take(2) {
        let u32_at = |at: usize| u32::from_le_bytes([copy[at], copy[at + 1], copy[at + 2], copy[at + 3]]);
        if &copy[..8] != FILE_MAGIC || u32_at(16) != crc32fast::hash(&copy[..16]) {
            continue;
        }
        return if u32_at(8) == VERSION {
            FileHeader::Ours { salt: u32_at(12) }
        } else {
            FileHeader::Version(u32_at(8))
        };
    }
    FileHeader::Damaged
}

/// Finds the first whole record at or behind `offset` and before `end`. Only its header is looked at.
pub(crate) fn next_record(file: &mut File, salt: u32, offset: u64, end: u64) -> io::Result<Next> {
    let fits = |at: u64, header: &Header| at.checked_add(header.disk_bytes()).is_some_and(|behind| behind <= end);
    let mut bytes = [0; HEADER_BYTES];
    if offset + HEADER_BYTES as u64 > end {
        return Ok(Next { skipped: end.saturating_sub(offset), record: None });
    }
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    if let Some(header) = Header::parse(salt, &bytes)
        && fits(offset, &header)
    {
        return Ok(Next { skipped: 0, record: Some((offset, header)) });
    }

    let finder = memchr::memmem::Finder::new(&MAGIC);
    let mut window = Vec::with_capacity(SEARCH_BYTES);
    let mut start = offset + 1;
    while start + HEADER_BYTES as u64 <= end {
        window.clear();
        file.seek(SeekFrom::Start(start))?;
        let wanted = (end - start).min(SEARCH_BYTES as u64);
        (&mut *file).take(wanted).read_to_end(&mut window)?;
        for at in finder.find_iter(&window) {
            if let Some(header) = Header::parse(salt, &window[at..])
                && fits(start + at as u64, &header)
            {
                let found = start + at as u64;
                return Ok(Next { skipped: found - offset, record: Some((found, header)) });
            }
        }
        if window.len() < HEADER_BYTES {
            break; // the file is shorter than we were told
        }
        // The last bytes may hold the start of a header: the next window begins with them.
        start += (window.len() - (HEADER_BYTES - 1)) as u64;
    }
    Ok(Next { skipped: end - offset, record: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_header_copy_is_survived() {
        let header = file_header(9);
        assert_eq!(parse_file_header(&header), FileHeader::Ours { salt: 9 });
        for byte in 0..header.len() {
            let mut damaged = header.clone();
            damaged[byte] ^= 0x10;
            assert_eq!(parse_file_header(&damaged), FileHeader::Ours { salt: 9 }, "byte {byte}");
        }
        assert_eq!(parse_file_header(&header[..10]), FileHeader::Damaged);
    }

    #[test]
    fn names_sort_as_numbers() {
        assert!(file_name(9) < file_name(10));
        assert_eq!(id_of(&file_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(id_of("cursor"), None);
    }
}
