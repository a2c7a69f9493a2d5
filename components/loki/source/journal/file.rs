//! One journal file, as systemd describes the format: a header, and objects that point at each other.
//!
//! journald writes while we read, and machines lose power while journald writes: whatever an offset or a length says is
//! checked before it is followed, lists only go forward, and sizes have bounds.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sdk_protocols_compression::Coding;

use super::access::{identity, read_exact_at};
use super::cursor::{Cursor, Id};
use super::xz;
use crate::recent::Recent;

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// The oldest header that anybody wrote.
const MIN_HEADER: u64 = 208;
/// Entries of journald have at most 1024 fields.
const MAX_FIELDS: u64 = 4096;
/// A larger field is left out: nobody reads such a line, and many at once would fill the memory.
pub const MAX_FIELD_BYTES: usize = 16 << 20;
/// Fields that come again and again, such as the name of a unit, are read once.
const KEPT_FIELDS: usize = 1024;
/// Only small ones are kept.
const KEPT_BYTES: usize = 256;
/// Lists of entries double in size, so that no file has more of them.
const MAX_LISTS: usize = 65_536;

/// What a reader must understand; the last three are of fields that were compressed.
mod incompatible {
    pub const COMPRESSED_XZ: u32 = 1;
    pub const COMPRESSED_LZ4: u32 = 2;
    pub const KEYED_HASH: u32 = 4;
    pub const COMPRESSED_ZSTD: u32 = 8;
    pub const COMPACT: u32 = 16;
    pub const KNOWN: u32 = COMPRESSED_XZ | COMPRESSED_LZ4 | KEYED_HASH | COMPRESSED_ZSTD | COMPACT;
}

mod object {
    pub const DATA: u8 = 1;
    pub const ENTRY: u8 = 3;
    pub const ENTRY_ARRAY: u8 = 6;
    pub const FLAG_XZ: u8 = 1;
    pub const FLAG_LZ4: u8 = 2;
    pub const FLAG_ZSTD: u8 = 4;
    pub const HEADER: u64 = 16;
}

/// `state` of a file that nobody writes to any more.
const ARCHIVED: u8 = 2;

/// An open file.
pub struct JournalFile {
    file: File,
    path: PathBuf,
    compact: bool,
    header_size: u64,
    sequence: Id,
    /// What `refresh` saw last.
    entries: u64,
    archived: bool,
    first_list: u64,
    lists: Vec<List>,
    fields: Recent<u64, Arc<Field>>,
}

/// Part of the list of entries.
#[derive(Clone, Copy)]
struct List {
    offset: u64,
    /// The number of its first entry.
    first: u64,
    items: u64,
}

/// An entry without its fields.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    offset: u64,
    size: u64,
    /// Where it is.
    pub cursor: Cursor,
}

/// `NAME=value`
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Capital letters, digits and underscores.
    pub name: String,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// Why something of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk's.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not, or not any more, what it should be.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer journald.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}

// === impl Fault ===

impl Fault {
    /// For a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Fault::Io(_) => "unreadable",
            Fault::Damaged(_) => "damaged",
            Fault::Unsupported(_) => "unsupported",
        }
    }
}

// === impl JournalFile ===

impl JournalFile {
    /// Reads and checks the header.
    pub fn open(path: &Path) -> Result<JournalFile, Fault> {
        let file = File::open(path)?;
        let mut header = [0; MIN_HEADER as usize];
        read_exact_at(&file, &mut header, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Damaged("the file is shorter than its header"),
            _ => Fault::Io(error),
        })?;
        if &header[..8] != SIGNATURE {
            return Err(Fault::Damaged("this is no journal file"));
        }
        let flags = u32::from_le_bytes(header[12..16].try_into().expect("four bytes"));
        if flags & !incompatible::KNOWN != 0 {
            return Err(Fault::Unsupported("the file has features that are not known here"));
        }
        let header_size = number(&header, 88);
        if header_size < MIN_HEADER || !header_size.is_multiple_of(8) {
            return Err(Fault::Damaged("the header has an impossible size"));
        }
        let mut file = JournalFile {
            file,
            path: path.to_owned(),
            compact: flags & incompatible::COMPACT != 0,
            header_size,
            sequence: Id(header[72..88].try_into().expect("sixteen bytes")),
            entries: 0,
            archived: false,
            first_list: 0,
            lists: Vec::new(),
            fields: Recent::new(KEPT_FIELDS),
        };
        file.refresh()?;
        Ok(file)
    }

    /// Looks how many entries there are by now.
    pub fn refresh(&mut self) -> Result<(), Fault> {
        let mut state = [0];
        read_exact_at(&self.file, &mut state, 16)?;
        let mut counts = [0; 32];
        read_exact_at(&self.file, &mut counts, 152)?;
        self.archived = state[0] == ARCHIVED;
        self.entries = number(&counts, 0);
        self.first_list = number(&counts, 24);
        Ok(())
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Entries, as far as is known.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Nobody writes to it any more.
    pub fn is_archived(&self) -> bool {
        self.archived
    }

    /// The sequence that its numbers belong to.
    pub fn sequence(&self) -> Id {
        self.sequence
    }

    /// Device and inode: the same after the file was renamed.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| identity(&metadata))
    }

    /// The number of the first entry for which `before` is false; what cannot be read counts as before.
    pub fn find(&mut self, before: impl Fn(&Cursor) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.head(middle) {
                Ok(head) if !before(&head.cursor) => high = middle,
                _ => low = middle + 1,
            }
        }
        low
    }

    /// The entry of a number, which is below [`JournalFile::entries`].
    pub fn head(&mut self, number_of_entry: u64) -> Result<Head, Fault> {
        let offset = self.entry_offset(number_of_entry)?;
        let size = self.object(offset, object::ENTRY, 64)?;
        let mut head = [0; 48];
        read_exact_at(&self.file, &mut head, offset + object::HEADER)?;
        let cursor = Cursor {
            sequence: self.sequence,
            seqnum: number(&head, 0),
            realtime: number(&head, 8),
            monotonic: number(&head, 16),
            boot: Id(head[24..40].try_into().expect("sixteen bytes")),
            hash: number(&head, 40),
        };
        Ok(Head { offset, size, cursor })
    }

    /// The fields of an entry; those that cannot be read are told to `fault` and left out.
    pub fn fields(&mut self, head: &Head, fault: &mut dyn FnMut(&Fault)) -> Result<Vec<Arc<Field>>, Fault> {
        let item: u64 = if self.compact { 4 } else { 16 };
        let count = (head.size - 64) / item;
        if count > MAX_FIELDS {
            return Err(Fault::Damaged("an entry has too many fields"));
        }
        let mut items = vec![0; (count * item) as usize];
        read_exact_at(&self.file, &mut items, head.offset + 64)?;
        let mut fields = Vec::with_capacity(count as usize);
        for item in items.chunks_exact(item as usize) {
            let offset = match self.compact {
                true => u64::from(u32::from_le_bytes(item.try_into().expect("four bytes"))),
                false => number(item, 0),
            };
            match self.field(offset) {
                Ok(field) => fields.push(field),
                Err(error) => fault(&error),
            }
        }
        Ok(fields)
    }

    fn field(&mut self, offset: u64) -> Result<Arc<Field>, Fault> {
        if let Some(known) = self.fields.get(&offset) {
            return Ok(known.clone());
        }
        let before: u64 = if self.compact { 72 } else { 64 };
        let size = self.object(offset, object::DATA, before)?;
        let length = size - before;
        if length > MAX_FIELD_BYTES as u64 {
            return Err(Fault::Unsupported("a field of more than 16 MiB"));
        }
        let mut flags = [0];
        read_exact_at(&self.file, &mut flags, offset + 1)?;
        let mut payload = vec![0; length as usize];
        read_exact_at(&self.file, &mut payload, offset + before)?;
        let payload = expanded(flags[0], payload)?;
        let field = Arc::new(Field::parse(payload)?);
        if field.value.len() <= KEPT_BYTES {
            self.fields.insert(offset, field.clone());
        }
        Ok(field)
    }

    /// Checks that there is an object of a kind at an offset; its size.
    fn object(&self, offset: u64, kind: u8, least: u64) -> Result<u64, Fault> {
        if offset < self.header_size || !offset.is_multiple_of(8) {
            return Err(Fault::Damaged("an offset points at no object"));
        }
        let mut header = [0; 16];
        read_exact_at(&self.file, &mut header, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Damaged("an offset points behind the end"),
            _ => Fault::Io(error),
        })?;
        let size = number(&header, 8);
        if header[0] != kind || size < least {
            return Err(Fault::Damaged("an offset points at something else"));
        }
        let end = offset.checked_add(size).ok_or(Fault::Damaged("an object has an impossible size"))?;
        if end > self.file.metadata()?.len() {
            return Err(Fault::Damaged("an object ends behind the end of the file"));
        }
        Ok(size)
    }

    fn entry_offset(&mut self, number_of_entry: u64) -> Result<u64, Fault> {
        let item: u64 = if self.compact { 4 } else { 8 };
        let list = self.list_of(number_of_entry)?;
        let mut bytes = [0; 8];
        let at = list.offset + 24 + (number_of_entry - list.first) * item;
        read_exact_at(&self.file, &mut bytes[..item as usize], at)?;
        match u64::from_le_bytes(bytes) {
            0 => Err(Fault::Damaged("an entry is missing")),
            offset => Ok(offset),
        }
    }

    /// The list that an entry stands in; lists are found one after the other, and only forward.
    fn list_of(&mut self, number_of_entry: u64) -> Result<List, Fault> {
        let item: u64 = if self.compact { 4 } else { 8 };
        loop {
            let known = self.lists.partition_point(|list| list.first <= number_of_entry);
            if let Some(list) = known.checked_sub(1).map(|at| self.lists[at])
                && number_of_entry < list.first + list.items
            {
                return Ok(list);
            }
            let (offset, first) = match self.lists.last().copied() {
                None => (self.first_list, 0),
                Some(last) => {
                    // The last list that is known may have got a successor by now.
                    let mut next = [0; 8];
                    read_exact_at(&self.file, &mut next, last.offset + object::HEADER)?;
                    let next = u64::from_le_bytes(next);
                    if next != 0 && next <= last.offset {
                        return Err(Fault::Damaged("the list of entries goes backwards"));
                    }
                    (next, last.first + last.items)
                }
            };
            if offset == 0 || self.lists.len() >= MAX_LISTS {
                return Err(Fault::Damaged("the list of entries is shorter than the header says"));
            }
            let size = self.object(offset, object::ENTRY_ARRAY, 24 + item)?;
            self.lists.push(List { offset, first, items: (size - 24) / item });
        }
    }
}

// === impl Field ===

impl Field {
    fn parse(mut payload: Vec<u8>) -> Result<Field, Fault> {
        let equals = memchr::memchr(b'=', &payload).ok_or(Fault::Damaged("a field has no name"))?;
        let allowed = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        if equals == 0 || equals > 64 || !payload[..equals].iter().all(allowed) {
            return Err(Fault::Damaged("a field has an impossible name"));
        }
        let value = payload.split_off(equals + 1);
        payload.truncate(equals);
        let name = String::from_utf8(payload).map_err(|_| Fault::Damaged("a field has an impossible name"))?;
        Ok(Field { name, value })
    }
}

fn expanded(flags: u8, payload: Vec<u8>) -> Result<Vec<u8>, Fault> {
    match flags & (object::FLAG_XZ | object::FLAG_LZ4 | object::FLAG_ZSTD) {
        0 => Ok(payload),
        object::FLAG_ZSTD => {
            let expanded = Coding::Zstd.expand(&payload, MAX_FIELD_BYTES);
            expanded.map_err(|_| Fault::Damaged("a field is no zstd, or too large"))
        }
        object::FLAG_LZ4 => {
            let (length, block) =
                payload.split_first_chunk::<8>().ok_or(Fault::Damaged("a compressed field is too short"))?;
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
            if length > MAX_FIELD_BYTES {
                return Err(Fault::Unsupported("a field of more than 16 MiB"));
            }
            lz4_flex::block::decompress(block, length).map_err(|_| Fault::Damaged("a field is no lz4"))
        }
        object::FLAG_XZ => {
            xz::expand(&payload, MAX_FIELD_BYTES).map_err(|_| Fault::Damaged("a field is no xz, or too large"))
        }
        _ => Err(Fault::Damaged("a field is compressed in two ways")),
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
#[cfg(unix)]
pub mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Writes a small journal file, as journald would: for tests of what no journald at hand writes any more.
    pub struct Writer {
        bytes: Vec<u8>,
        compact: bool,
        /// Where the two lists of entries are.
        lists: [usize; 2],
        entries: Vec<u64>,
        seqnum: u64,
    }

    impl Writer {
        pub fn new(compact: bool, sequence: u8) -> Writer {
            let mut bytes = vec![0; 272];
            bytes[..8].copy_from_slice(SIGNATURE);
            bytes[12] = if compact { 31 } else { 15 };
            bytes[72..88].copy_from_slice(&[sequence; 16]);
            bytes[88..96].copy_from_slice(&272u64.to_le_bytes());
            let mut writer = Writer { bytes, compact, lists: [0; 2], entries: Vec::new(), seqnum: 0 };
            // Lists come first and have room, as journald's do: a file that grows never moves what it has.
            let item = if compact { 4 } else { 8 };
            for (list, capacity) in [4, 64].into_iter().enumerate() {
                let body = vec![0; 8 + item * capacity];
                writer.lists[list] = writer.object(object::ENTRY_ARRAY, 0, &body) as usize;
            }
            let [first, second] = writer.lists;
            writer.bytes[first + 16..first + 24].copy_from_slice(&(second as u64).to_le_bytes());
            writer.bytes[176..184].copy_from_slice(&(first as u64).to_le_bytes());
            writer
        }

        /// Numbers go on from here.
        pub fn from(mut self, seqnum: u64) -> Writer {
            self.seqnum = seqnum - 1;
            self
        }

        fn object(&mut self, kind: u8, flags: u8, body: &[u8]) -> u64 {
            self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
            let offset = self.bytes.len() as u64;
            self.bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 0, 0, 0]);
            self.bytes.extend_from_slice(&(body.len() as u64 + 16).to_le_bytes());
            self.bytes.extend_from_slice(body);
            offset
        }

        fn data(&mut self, flags: u8, payload: &[u8]) -> u64 {
            let before = if self.compact { 56 } else { 48 };
            let mut body = vec![0; before];
            body.extend_from_slice(payload);
            self.object(object::DATA, flags, &body)
        }

        /// An entry with fields, each with its flags.
        pub fn entry(mut self, realtime: u64, fields: &[(u8, &[u8])]) -> Writer {
            let offsets: Vec<u64> = fields.iter().map(|(flags, payload)| self.data(*flags, payload)).collect();
            self.seqnum += 1;
            let mut body = [self.seqnum, realtime, realtime].map(u64::to_le_bytes).concat();
            body.extend_from_slice(&[7; 16]);
            body.extend_from_slice(&(realtime ^ 0x5555).to_le_bytes());
            for offset in offsets {
                match self.compact {
                    true => body.extend_from_slice(&(offset as u32).to_le_bytes()),
                    false => body.extend_from_slice(&[offset, 0].map(u64::to_le_bytes).concat()),
                }
            }
            let offset = self.object(object::ENTRY, 0, &body);
            self.entries.push(offset);
            self
        }

        /// A plain message.
        pub fn message(self, realtime: u64, text: &str) -> Writer {
            self.entry(realtime, &[(0, format!("MESSAGE={text}").as_bytes())])
        }

        pub fn finish(mut self) -> Vec<u8> {
            let item = if self.compact { 4 } else { 8 };
            for (index, offset) in self.entries.iter().enumerate() {
                let (list, place) = if index < 4 { (0, index) } else { (1, index - 4) };
                let at = self.lists[list] + 24 + place * item;
                self.bytes[at..at + item].copy_from_slice(&offset.to_le_bytes()[..item]);
            }
            self.bytes[152..160].copy_from_slice(&(self.entries.len() as u64).to_le_bytes());
            self.bytes
        }

        pub fn write(self, path: &Path) {
            std::fs::write(path, self.finish()).unwrap();
        }
    }

    /// Every message and every fault.
    pub fn read(path: &Path) -> Result<(Vec<String>, Vec<&'static str>), Fault> {
        let mut file = JournalFile::open(path)?;
        let (mut messages, mut faults) = (Vec::new(), Vec::new());
        for number in 0..file.entries().min(1000) {
            let head = match file.head(number) {
                Ok(head) => head,
                Err(fault) => {
                    faults.push(fault.reason());
                    continue;
                }
            };
            let fields = file.fields(&head, &mut |fault| faults.push(fault.reason()));
            for field in fields.unwrap_or_default() {
                if field.name == "MESSAGE" {
                    messages.push(String::from_utf8_lossy(&field.value).into_owned());
                }
            }
        }
        Ok((messages, faults))
    }

    #[test]
    fn both_layouts_and_every_compression_are_read_or_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let text = format!("MESSAGE={}", "long ".repeat(50));
        let (xz_text, xz) = xz::tests::text();
        let mut lz4 = (text.len() as u64).to_le_bytes().to_vec();
        lz4.extend_from_slice(&lz4_flex::block::compress(text.as_bytes()));
        let huge = [(1u64 << 40).to_le_bytes().to_vec(), lz4[8..].to_vec()].concat();
        for compact in [false, true] {
            let writer = Writer::new(compact, 1)
                .message(1, "plain")
                .entry(2, &[(object::FLAG_LZ4, &lz4), (0, b"PRIORITY=3")])
                .entry(3, &[(object::FLAG_XZ, &xz)])
                .entry(3, &[(object::FLAG_XZ, b"\xfd7zXZ")])
                .entry(4, &[(object::FLAG_LZ4, &huge)])
                .entry(5, &[(object::FLAG_ZSTD, b"no zstd")])
                .message(6, "last");
            writer.write(&path);
            let (messages, faults) = read(&path).unwrap();
            assert_eq!(messages, ["plain", &text[8..], &xz_text[8..], "last"]);
            assert_eq!(faults, ["damaged", "unsupported", "damaged"]);
        }
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut good = Writer::new(false, 1).message(1, "x").finish();
        for (bytes, reason) in [(b"short".to_vec(), "damaged"), (vec![0; 500], "damaged")] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(JournalFile::open(&path).err().map(|fault| fault.reason()), Some(reason));
        }
        good[12] = 0x40;
        std::fs::write(&path, good).unwrap();
        assert_eq!(JournalFile::open(&path).err().map(|fault| fault.reason()), Some("unsupported"));
    }

    proptest! {
        #[test]
        fn damage_of_any_kind_is_no_panic_and_ends(
            at in 0..2000usize, byte: u8, cut in 0..2500usize, compact: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.journal");
            let mut writer = Writer::new(compact, 1);
            for number in 0..8 {
                writer = writer.entry(number, &[(0, b"MESSAGE=x"), (0, b"PRIORITY=1")]);
            }
            let mut bytes = writer.finish();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(1));
            std::fs::write(&path, bytes).unwrap();
            let _ = read(&path);
        }
    }
}
