//! The cursor file: how far the consumer has come. Replaced whole (temporary file and rename), with a checksum.

use std::io;
use std::path::Path;

use base_sys::fs::{self, Sync};

/// A place in the segment files: just behind a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Everything before it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    pub position: Position,
    /// Which front file `front_acked` speaks of; an older front file's count is not this one's.
    pub front: u64,
    /// Acknowledged records at the start of the front file.
    pub front_acked: u64,
}

/// What was found at the start.
#[derive(Debug)]
pub(crate) enum Found {
    Cursor(Cursor),
    Nothing,
    /// Unreadable: everything on the disk is sent again, as repeating is better than losing.
    Damaged(String),
}

const MAGIC: &[u8; 8] = b"FALOYCUR";
const VERSION: u32 = 1;
const BYTES: usize = 8 + 4 + 4 * 8 + 4;

pub(crate) fn load(path: &Path) -> Found {
    let bytes = match fs::read_bounded(path, 4096) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    match parse(&bytes) {
        Some(cursor) => Found::Cursor(cursor),
        None => Found::Damaged("not a cursor, or one whose checksum does not fit".to_owned()),
    }
}

pub(crate) fn save(path: &Path, cursor: &Cursor, sync: Sync) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for number in [cursor.position.segment, cursor.position.offset, cursor.front, cursor.front_acked] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    fs::write_atomic(path, &bytes, sync)
}

fn parse(bytes: &[u8]) -> Option<Cursor> {
    if bytes.len() != BYTES || &bytes[..8] != MAGIC || bytes[8..12] != VERSION.to_le_bytes() {
        return None;
    }
    if bytes[BYTES - 4..] != crc32fast::hash(&bytes[..BYTES - 4]).to_le_bytes() {
        return None;
    }
    let number = |index: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[12 + index * 8..20 + index * 8]);
        u64::from_le_bytes(eight)
    };
    let position = Position { segment: number(0), offset: number(1) };
    Some(Cursor { position, front: number(2), front_acked: number(3) })
}
