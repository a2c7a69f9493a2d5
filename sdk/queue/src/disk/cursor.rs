//! The cursor file: how far the consumer has come. It is written some ten times a second, so it is not replaced each time: it
//! has two places that are written by turns, in different blocks, and what a power cut leaves half-written is the older one of
//! the two at worst.
//!
//! ```text
//! place: magic 8 │ version u32 │ turn u64 │ segment, offset, front, acknowledged of it u64 │ CRC-32
//! ```

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;

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

/// The file.
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    /// None until it is written for the first time.
    file: Option<File>,
    /// That of the newest place.
    turn: u64,
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
const VERSION: u32 = 2;
const BYTES: usize = 8 + 4 + 5 * 8 + 4;
/// From one place to the other.
const APART: usize = 4096;
/// Before there were two places there was one, and no turns.
const VERSION_1: u32 = 1;

// === impl CursorFile ===

impl CursorFile {
    /// The file at this path, and what it says.
    pub fn load(path: PathBuf) -> (CursorFile, Found) {
        let read = fs::read_bounded(&path, 4 * APART);
        let mut file = CursorFile { path, file: None, turn: 0 };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (file, Found::Nothing),
            Err(error) => return (file, Found::Damaged(error.to_string())),
        };
        let places = bytes.chunks(APART).filter_map(|place| parse(place.get(..BYTES)?, VERSION));
        let found = match places.max_by_key(|(turn, _)| *turn) {
            Some((turn, cursor)) => {
                file.turn = turn;
                Some(cursor)
            }
            None => parse(&bytes, VERSION_1).map(|(_, cursor)| cursor),
        };
        let damaged = || Found::Damaged("not a cursor, or one whose checksum does not fit".to_owned());
        (file, found.map_or_else(damaged, Found::Cursor))
    }

    /// Writes it down.
    pub fn save(&mut self, cursor: &Cursor, sync: Sync) -> io::Result<()> {
        self.turn += 1;
        let written = self.write(&place(self.turn, cursor), sync);
        if written.is_err() {
            // Whatever became of this file, the next one is another.
            self.file = None;
        }
        written
    }

    fn write(&mut self, place: &[u8], sync: Sync) -> io::Result<()> {
        let at = (self.turn % 2) as usize * APART;
        let Some(file) = &mut self.file else {
            let mut whole = vec![0; APART + BYTES];
            whole[at..at + BYTES].copy_from_slice(place);
            fs::write_atomic(&self.path, &whole, sync)?;
            self.file = Some(File::options().write(true).open(&self.path)?);
            return Ok(());
        };
        file.seek(io::SeekFrom::Start(at as u64))?;
        file.write_all(place)?;
        if sync == Sync::Disk { file.sync_data() } else { Ok(()) }
    }
}

fn place(turn: u64, cursor: &Cursor) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for number in [turn, cursor.position.segment, cursor.position.offset, cursor.front, cursor.front_acked] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Turn and cursor of a place; the first version knows no turns.
fn parse(bytes: &[u8], version: u32) -> Option<(u64, Cursor)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    let numbers = body.strip_prefix(MAGIC)?.strip_prefix(&version.to_le_bytes())?;
    if *crc != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let numbers: Vec<u64> = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let (turn, rest) = if version == VERSION_1 { (0, &numbers[..]) } else { (*numbers.first()?, &numbers[1..]) };
    let [segment, offset, front, front_acked] = rest else { return None };
    let position = Position { segment: *segment, offset: *offset };
    Some((turn, Cursor { position, front: *front, front_acked: *front_acked }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(number: u64) -> Cursor {
        Cursor { position: Position { segment: number, offset: 2 }, front: 3, front_acked: 4 }
    }

    fn loaded(path: &std::path::Path) -> Option<Cursor> {
        match CursorFile::load(path.to_owned()).1 {
            Found::Cursor(cursor) => Some(cursor),
            Found::Nothing | Found::Damaged(_) => None,
        }
    }

    #[test]
    fn the_newest_place_counts_and_a_damaged_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        let (mut file, found) = CursorFile::load(path.clone());
        assert!(matches!(found, Found::Nothing));
        for number in 1..8 {
            file.save(&cursor(number), if number % 3 == 0 { Sync::Disk } else { Sync::Kernel }).unwrap();
            assert_eq!(loaded(&path), Some(cursor(number)));
            // As after a restart.
            if number == 4 {
                file = CursorFile::load(path.clone()).0;
            }
        }
        let whole = std::fs::read(&path).unwrap();
        let newest = (file.turn % 2) as usize * APART;
        for bit in 0..BYTES * 8 {
            let mut damaged = whole.clone();
            damaged[newest + bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(loaded(&path), Some(cursor(6)), "bit {bit}");
        }
        std::fs::write(&path, [0; APART + BYTES]).unwrap();
        assert_eq!(loaded(&path), None);
    }

    #[test]
    fn one_of_the_first_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        let mut bytes = [&MAGIC[..], &VERSION_1.to_le_bytes()].concat();
        for number in [1u64, 2, 3, 4] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(loaded(&path), Some(cursor(1)));
    }
}
