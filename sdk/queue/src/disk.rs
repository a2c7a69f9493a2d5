//! The segment files of one queue, and nothing about waiting or waking: blocking calls, used by one caller at a time.

mod cursor;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base_sys::fs::{self, Sync};
use bytes::Bytes;

use cursor::CursorFile;
pub(crate) use cursor::{Cursor, Position};
use segment::{FILE_HEADER_BYTES, FileHeader};

use crate::Counters;
use crate::config::Disk;
use crate::record::{HEADER_BYTES, Header, Record};

/// The files of one queue.
#[derive(Debug)]
pub(crate) struct Store {
    config: Disk,
    counters: Arc<Counters>,
    /// Held for as long as the queue is open: two processes on one directory would corrupt each other.
    _lock: File,
    /// Oldest first. The last is the one being written when `writer` is open.
    segments: VecDeque<Segment>,
    writer: Option<Writer>,
    next_id: u64,
    /// Everything before it was read.
    read_to: Position,
    reader: Option<(u64, File)>,
    cursor: Cursor,
    cursor_file: CursorFile,
    cursor_saved: bool,
}

#[derive(Debug)]
struct Segment {
    id: u64,
    salt: u32,
    /// The end of the last record.
    bytes: u64,
    unread: Unread,
}

#[derive(Debug)]
struct Writer {
    file: File,
    buffer: Vec<u8>,
}

/// Records on the disk that were not read yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    pub records: u64,
    pub items: u64,
    pub bytes: u64,
}

/// A record that came from the disk.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub record: Record,
    pub taken_at_ms: i64,
    /// Just behind it.
    pub end: Position,
}

/// How an append ended.
#[derive(Debug)]
pub(crate) struct Appended {
    /// One position for each record that is now on the disk; a prefix of what was given.
    pub ends: Vec<Position>,
    pub stopped_by: Option<Stop>,
}

/// Why not all was written.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bound of the segment files is reached.
    Full,
    Failed(io::Error),
}

/// How much is read from the disk at once, at most (one record may be larger).
const READ_BYTES: u64 = 4 << 20;

const CURSOR: &str = "cursor";
/// Every queue directory has it.
pub(crate) const LOCK: &str = "lock";
const FRONT: &str = "front-";

// === impl Unread ===

impl Unread {
    fn add(&mut self, items: u32, bytes: u64) {
        self.records += 1;
        self.items += u64::from(items);
        self.bytes += bytes;
    }

    fn remove(&mut self, items: u32, bytes: u64) {
        self.records = self.records.saturating_sub(1);
        self.items = self.items.saturating_sub(u64::from(items));
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

// === impl Store ===

impl Store {
    /// Opens or creates the directory and finds what an earlier run left. The records of the front file (what was in
    /// memory at the last stop) come back with it, to be sent before everything else.
    pub fn open(config: Disk, counters: Arc<Counters>) -> io::Result<(Store, Vec<(Record, i64)>)> {
        fs::create_dir_private(&config.dir)?;
        let lock = fs::create_private(&config.dir.join(LOCK))?;
        if let Err(std::fs::TryLockError::WouldBlock) = lock.try_lock() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process uses this queue directory"));
        }
        // A file system that knows no locks is no reason not to start.

        let (cursor_file, found) = CursorFile::load(config.dir.join(CURSOR));
        let (cursor, cursor_saved) = match found {
            cursor::Found::Cursor(cursor) => (cursor, true),
            cursor::Found::Nothing => (Cursor::default(), false),
            cursor::Found::Damaged(error) => {
                tracing::warn!(dir = %config.dir.display(), error, "cannot read the queue's cursor; sending again all that is on the disk");
                counters.disk_errors.fetch_add(1, Relaxed);
                (Cursor::default(), false)
            }
        };

        let mut ids = Vec::new();
        let mut fronts = Vec::new();
        for entry in std::fs::read_dir(&config.dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(id) = segment::id_of(name) {
                ids.push(id);
            } else if let Some(number) = name.strip_prefix(FRONT).and_then(|number| number.parse::<u64>().ok()) {
                fronts.push(number);
            }
        }
        ids.sort_unstable();
        fronts.sort_unstable();

        let mut store = Store {
            next_id: ids.last().map_or(0, |last| last + 1).max(cursor.position.segment + 1),
            read_to: cursor.position,
            config,
            counters,
            _lock: lock,
            segments: VecDeque::new(),
            writer: None,
            reader: None,
            cursor,
            cursor_file,
            cursor_saved,
        };
        for id in ids {
            store.recover_segment(id);
        }
        store.reclaim();
        let front = store.recover_front(&fronts);
        let unread = store.unread();
        store.counters.recovered.add(unread.records, unread.items, unread.bytes);
        Ok((store, front))
    }

    /// Everything before it was read.
    pub fn read_to(&self) -> Position {
        self.read_to
    }

    /// Counts what a segment holds beyond the cursor, by its headers alone. Nothing here fails the start.
    fn recover_segment(&mut self, id: u64) {
        let path = self.segment_path(id);
        if id < self.cursor.position.segment {
            self.remove(&path);
            return;
        }
        match self.scan(id, &path) {
            Ok(Some(segment)) if segment.unread.records > 0 => self.segments.push_back(segment),
            Ok(Some(_)) => self.remove(&path),
            Ok(None) => {}
            Err(error) => self.set_aside(&path, &error.to_string()),
        }
    }

    fn scan(&mut self, id: u64, path: &Path) -> io::Result<Option<Segment>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = Vec::new();
        (&mut file).take(FILE_HEADER_BYTES).read_to_end(&mut header)?;
        let salt = match segment::parse_file_header(&header) {
            FileHeader::Ours { salt } => salt,
            FileHeader::Version(version) => {
                self.set_aside(path, &format!("it has format version {version}, which this version cannot read"));
                return Ok(None);
            }
            FileHeader::Damaged => {
                // A crash between creating a file and writing its header leaves an empty one: nothing is lost by that.
                self.counters.corrupt_bytes.fetch_add(length, Relaxed);
                if length <= FILE_HEADER_BYTES {
                    self.remove(path);
                } else {
                    self.set_aside(path, "its header is damaged");
                }
                return Ok(None);
            }
        };
        let mut at = FILE_HEADER_BYTES;
        if id == self.cursor.position.segment {
            at = at.max(self.cursor.position.offset);
        }
        let mut unread = Unread::default();
        let mut end = at.min(length.max(FILE_HEADER_BYTES));
        while at < length {
            let next = segment::next_record(&mut file, salt, at, length)?;
            let Some((start, header)) = next.record else {
                // Damage behind the last record is never passed again: count it here.
                self.counters.corrupt_bytes.fetch_add(next.skipped, Relaxed);
                break;
            };
            unread.add(header.items, header.payload_bytes());
            at = start + header.disk_bytes();
            end = at;
        }
        Ok(Some(Segment { id, salt, bytes: end, unread }))
    }

    /// Reads the newest front file; older ones, and one that is wholly acknowledged, are removed.
    fn recover_front(&mut self, fronts: &[u64]) -> Vec<(Record, i64)> {
        let mut records = Vec::new();
        for (index, &number) in fronts.iter().enumerate() {
            let path = self.front_path(number);
            if index + 1 < fronts.len() {
                self.remove(&path);
                continue;
            }
            let skip = if self.cursor.front == number { self.cursor.front_acked } else { 0 };
            self.cursor.front = number;
            self.cursor.front_acked = skip;
            match self.read_front(&path, skip) {
                Ok(found) => records = found,
                Err(error) => self.set_aside(&path, &error.to_string()),
            }
            if records.is_empty() {
                self.remove(&path);
            }
        }
        for (record, _) in &records {
            self.counters.recovered.one(record);
        }
        records
    }

    fn read_front(&mut self, path: &Path, skip: u64) -> io::Result<Vec<(Record, i64)>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = Vec::new();
        (&mut file).take(FILE_HEADER_BYTES).read_to_end(&mut header)?;
        let FileHeader::Ours { salt } = segment::parse_file_header(&header) else {
            self.counters.corrupt_bytes.fetch_add(length, Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its header is damaged or of another version"));
        };
        let mut records = Vec::new();
        let mut at = FILE_HEADER_BYTES;
        let mut seen = 0;
        while at < length {
            let next = segment::next_record(&mut file, salt, at, length)?;
            self.counters.corrupt_bytes.fetch_add(next.skipped, Relaxed);
            let Some((start, header)) = next.record else { break };
            at = start + header.disk_bytes();
            seen += 1;
            if seen <= skip {
                continue;
            }
            let payload = read_payload(&mut file, start, &header)?;
            match header.record(payload) {
                Some(record) => records.push((record, header.taken_at_ms)),
                None => {
                    self.counters.recovered.add(1, u64::from(header.items), header.payload_bytes());
                    self.count_corrupt(&header);
                }
            }
        }
        Ok(records)
    }

    /// Records at the start of the front file that were acknowledged before.
    pub fn front_acked(&self) -> u64 {
        self.cursor.front_acked
    }

    /// What was written and not read.
    pub fn unread(&self) -> Unread {
        self.segments.iter().fold(Unread::default(), |sum, segment| Unread {
            records: sum.records + segment.unread.records,
            items: sum.items + segment.unread.items,
            bytes: sum.bytes + segment.unread.bytes,
        })
    }

    /// Bytes of all segment files.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes and syncs records, oldest first. The first `read` of them need not be read: the caller has them in memory, and
    /// nothing older is to be read.
    pub fn append(&mut self, records: &[(Record, i64)], read: usize, drop_oldest: bool) -> Appended {
        let mut ends = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let stopped_by = match self.make_room(rest[0].0.disk_size(), drop_oldest) {
                Ok(true) => match self.append_to_segment(rest, read, &mut ends) {
                    Ok(written) => {
                        rest = &rest[written..];
                        continue;
                    }
                    Err(error) => Stop::Failed(error),
                },
                Ok(false) => Stop::Full,
                Err(error) => Stop::Failed(error),
            };
            if let Stop::Failed(_) = stopped_by {
                self.counters.disk_errors.fetch_add(1, Relaxed);
            }
            return Appended { ends, stopped_by: Some(stopped_by) };
        }
        Appended { ends, stopped_by: None }
    }

    /// Makes sure that there is a segment to write to and that one record more fits the bound.
    fn make_room(&mut self, record_bytes: u64, drop_oldest: bool) -> io::Result<bool> {
        if self.disk_bytes() + record_bytes > self.config.max_bytes {
            // The segment being written can only be given back when it is no longer written to.
            self.writer = None;
            self.save_cursor(Sync::Kernel)?;
            self.reclaim();
        }
        while self.disk_bytes() + record_bytes > self.config.max_bytes && !self.segments.is_empty() {
            if !drop_oldest {
                return Ok(false);
            }
            self.drop_oldest_segment();
        }
        if self.writer.is_some() && self.segments.back().is_some_and(|last| last.bytes >= self.config.segment_bytes) {
            self.writer = None;
        }
        if self.writer.is_none() {
            self.begin_segment()?;
        }
        Ok(true)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let id = self.next_id;
        let path = self.segment_path(id);
        let salt = segment::new_salt();
        let begun = (|| {
            let mut file = fs::create_private(&path)?;
            file.write_all(&segment::file_header(salt))?;
            file.sync_data()?;
            fs::sync_dir(&self.config.dir)?;
            Ok(file)
        })();
        match begun {
            Ok(file) => {
                self.next_id += 1;
                self.segments.push_back(Segment { id, salt, bytes: FILE_HEADER_BYTES, unread: Unread::default() });
                self.writer = Some(Writer { file, buffer: Vec::new() });
                Ok(())
            }
            Err(error) => {
                self.remove(&path);
                Err(error)
            }
        }
    }

    /// Writes as many records as belong in the current segment, in one write and one sync.
    fn append_to_segment(
        &mut self,
        records: &[(Record, i64)],
        read: usize,
        ends: &mut Vec<Position>,
    ) -> io::Result<usize> {
        let total = self.disk_bytes();
        let (Some(writer), Some(segment)) = (self.writer.as_mut(), self.segments.back_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        writer.buffer.clear();
        let mut written = 0;
        let first = ends.len();
        for (record, taken_at_ms) in records {
            let at = segment.bytes + writer.buffer.len() as u64;
            let over = total + writer.buffer.len() as u64 + record.disk_size() > self.config.max_bytes;
            if written > 0 && (at >= self.config.segment_bytes || over) {
                break;
            }
            record.write_to(segment.salt, *taken_at_ms, &mut writer.buffer);
            let offset = segment.bytes + writer.buffer.len() as u64;
            ends.push(Position { segment: segment.id, offset });
            written += 1;
        }
        let result = writer.file.write_all(&writer.buffer).and_then(|()| writer.file.sync_data());
        let grown = writer.buffer.len() as u64;
        if grown > READ_BYTES {
            writer.buffer = Vec::new(); // one huge record must not keep its memory for ever
        }
        if let Err(error) = result {
            ends.truncate(first);
            // Whatever part of it reached the file must not stand before the next record; and after a failed sync the
            // kernel may have forgotten pages of this file, so it is not written to again.
            let _ = writer.file.set_len(segment.bytes);
            self.writer = None;
            if segment.bytes == FILE_HEADER_BYTES {
                let id = segment.id;
                self.segments.pop_back();
                self.remove(&self.segment_path(id));
            }
            return Err(error);
        }
        segment.bytes += grown;
        for ((record, _), (index, end)) in records.iter().zip(ends.iter().enumerate().skip(first)) {
            if index < read {
                self.read_to = *end;
            } else {
                segment.unread.add(record.items, record.size() as u64);
            }
            self.counters.spilled.one(record);
        }
        Ok(written)
    }

    /// Reads the next records, at most `max_bytes` of them but at least one when there is one. Damage is passed over and
    /// counted; an error of the disk costs the rest of that segment.
    pub fn read(&mut self, max_bytes: u64) -> Vec<Loaded> {
        let mut loaded = Vec::new();
        let mut bytes = 0;
        let limit = max_bytes.min(READ_BYTES);
        while let Some(index) = self.segment_to_read() {
            match self.read_from(index, limit, &mut bytes, &mut loaded) {
                Ok(true) => {}
                Ok(false) => return loaded,
                Err(error) => {
                    let id = self.segments[index].id;
                    tracing::error!(dir = %self.config.dir.display(), segment = id, %error, "cannot read a segment of the queue; skipping the rest of it");
                    self.counters.disk_errors.fetch_add(1, Relaxed);
                    self.give_up_rest(index);
                }
            }
        }
        loaded
    }

    fn segment_to_read(&self) -> Option<usize> {
        self.segments.iter().position(|segment| {
            segment.id > self.read_to.segment
                || (segment.id == self.read_to.segment && segment.bytes > self.read_to.offset)
        })
    }

    /// Reads on in one segment; true when its end is reached, false when enough was read.
    fn read_from(&mut self, index: usize, limit: u64, bytes: &mut u64, loaded: &mut Vec<Loaded>) -> io::Result<bool> {
        let Segment { id, salt, bytes: end, .. } = self.segments[index];
        let mut file = match self.reader.take() {
            Some((open, file)) if open == id => file,
            _ => File::open(self.segment_path(id))?,
        };
        let mut at =
            if self.read_to.segment == id { self.read_to.offset.max(FILE_HEADER_BYTES) } else { FILE_HEADER_BYTES };
        while at < end {
            let next = segment::next_record(&mut file, salt, at, end)?;
            let Some((start, header)) = next.record else { break };
            if !loaded.is_empty() && *bytes + header.payload_bytes() > limit {
                self.reader = Some((id, file));
                return Ok(false);
            }
            self.counters.corrupt_bytes.fetch_add(next.skipped, Relaxed);
            let payload = read_payload(&mut file, start, &header)?;
            at = start + header.disk_bytes();
            self.read_to = Position { segment: id, offset: at };
            self.segments[index].unread.remove(header.items, header.payload_bytes());
            match header.record(payload) {
                Some(record) => {
                    *bytes += header.payload_bytes();
                    loaded.push(Loaded { record, taken_at_ms: header.taken_at_ms, end: self.read_to });
                }
                None => self.count_corrupt(&header),
            }
        }
        self.counters.corrupt_bytes.fetch_add(end.saturating_sub(at), Relaxed);
        self.give_up_rest(index);
        Ok(true)
    }

    /// Records that were written to this segment and cannot be found again are lost to damage.
    fn give_up_rest(&mut self, index: usize) {
        let segment = &mut self.segments[index];
        let lost = std::mem::take(&mut segment.unread);
        if lost.records > 0 {
            self.counters.lost_corrupt.add(lost.records, lost.items, lost.bytes);
        }
        self.read_to = Position { segment: segment.id, offset: segment.bytes };
    }

    fn count_corrupt(&self, header: &Header) {
        self.counters.lost_corrupt.add(1, u64::from(header.items), header.payload_bytes());
        self.counters.corrupt_bytes.fetch_add(header.disk_bytes(), Relaxed);
    }

    fn drop_oldest_segment(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        if self.segments.is_empty() {
            self.writer = None;
        }
        let Unread { records, items, bytes } = segment.unread;
        if records > 0 {
            self.counters.lost_overflow.add(records, items, bytes);
            tracing::warn!(dir = %self.config.dir.display(), records, items, bytes, "the queue is full: the oldest segment is dropped");
        }
        self.remove(&self.segment_path(segment.id));
    }

    /// Everything before `position`, and the first `front_acked` records of the front file, were acknowledged.
    pub fn acknowledge(&mut self, position: Option<Position>, front_acked: u64, sync: Sync) -> io::Result<()> {
        if let Some(position) = position {
            self.cursor.position = self.cursor.position.max(position);
        }
        self.cursor.front_acked = front_acked;
        self.cursor_saved = false;
        self.save_cursor(sync)?;
        self.reclaim();
        Ok(())
    }

    fn save_cursor(&mut self, sync: Sync) -> io::Result<()> {
        if !self.cursor_saved || sync == Sync::Disk {
            self.cursor_file.save(&self.cursor, sync)?;
            self.cursor_saved = true;
        }
        Ok(())
    }

    /// Removes the segments that the cursor has passed. The one being written stays.
    fn reclaim(&mut self) {
        let Position { segment: at, offset } = self.cursor.position;
        while let Some(first) = self.segments.front() {
            let is_written = self.segments.len() == 1 && self.writer.is_some();
            let passed = first.id < at || (first.id == at && first.bytes <= offset);
            if is_written || !passed {
                return;
            }
            let path = self.segment_path(first.id);
            self.segments.pop_front();
            self.remove(&path);
        }
    }

    /// Writes down what is older than everything in the segments behind `up_to`, replacing an earlier front file. What the
    /// segments hold before that place is among the records, or was acknowledged.
    pub fn write_front(&mut self, records: &[(Record, i64)], up_to: Option<Position>) -> io::Result<()> {
        let old = self.cursor.front;
        let salt = segment::new_salt();
        let mut bytes = segment::file_header(salt);
        for (record, taken_at_ms) in records {
            record.write_to(salt, *taken_at_ms, &mut bytes);
        }
        let number = old + 1;
        fs::write_atomic(&self.front_path(number), &bytes, Sync::Disk)?;
        self.cursor.front = number;
        self.cursor.front_acked = 0;
        if let Some(up_to) = up_to {
            self.cursor.position = self.cursor.position.max(up_to);
        }
        self.cursor_saved = false;
        self.save_cursor(Sync::Disk)?;
        self.reclaim();
        if old > 0 {
            self.remove(&self.front_path(old));
        }
        Ok(())
    }

    /// Removes the front file: all of it was acknowledged, or is elsewhere on the disk.
    pub fn remove_front(&mut self) {
        if self.cursor.front > 0 {
            self.remove(&self.front_path(self.cursor.front));
        }
    }

    /// Brings everything to the disk; the last act.
    pub fn sync(&mut self) -> io::Result<()> {
        self.save_cursor(Sync::Disk)
    }

    fn segment_path(&self, id: u64) -> PathBuf {
        self.config.dir.join(segment::file_name(id))
    }

    fn front_path(&self, number: u64) -> PathBuf {
        self.config.dir.join(format!("{FRONT}{number}"))
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file of the queue");
            self.counters.disk_errors.fetch_add(1, Relaxed);
        }
    }

    /// Keeps a file that we cannot use, under a name that is not looked at again.
    fn set_aside(&self, path: &Path, why: &str) {
        let aside = path.with_extension("damaged");
        tracing::error!(path = %path.display(), why, kept_as = %aside.display(), "cannot use a file of the queue");
        self.counters.disk_errors.fetch_add(1, Relaxed);
        let _ = std::fs::rename(path, aside);
    }
}

fn read_payload(file: &mut File, start: u64, header: &Header) -> io::Result<Bytes> {
    // `next_record` made sure that this many bytes are there, so a damaged length cannot ask for more than the file has.
    let mut payload = Vec::with_capacity(header.payload_bytes() as usize);
    file.seek(SeekFrom::Start(start + HEADER_BYTES as u64))?;
    file.take(header.payload_bytes()).read_to_end(&mut payload)?;
    Ok(Bytes::from(payload))
}
