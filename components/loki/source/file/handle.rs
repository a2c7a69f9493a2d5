//! An open file, and what tells it from another one of the same name.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base_sys::fs;

use super::compressed::{Format, Unpacked};
use super::identity::{Id, Identity};

/// An open file.
#[derive(Clone)]
pub struct Handle {
    file: Content,
    id: Option<Id>,
    modified: SystemTime,
    start: Start,
}

/// The first bytes, as far as they were there when last looked at: what tells them from others, not themselves, as there may
/// be ten thousand files.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Start {
    length: u16,
    /// A byte order mark, if there is one.
    mark: [u8; 3],
    checksum: u32,
    hash: u64,
}

#[derive(Clone)]
enum Content {
    Plain(Arc<File>),
    /// Its offsets are those behind the compression.
    Compressed(Arc<Unpacked>),
}

/// How a path stands to the open file.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// The same file, of this size, and when it was last written to.
    Same(u64, SystemTime),
    /// The same file, but what it held is gone.
    Truncated,
    /// Another file has the name now.
    Replaced,
    /// No file has the name.
    Missing,
}

/// As much of a file's start as tells it from another one.
const START_BYTES: u16 = 1024;

/// A folder with more files than this is not searched to its end.
const MAX_NEIGHBOURS: usize = 10_000;

// === impl Handle ===

impl Handle {
    /// Opens a file; a directory is an error.
    pub fn open(path: &Path) -> io::Result<Handle> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let file = Content::Plain(Arc::new(file));
        let mut handle = Handle { file, id: id(&metadata), modified, start: Start::default() };
        handle.look_at_start()?;
        Ok(handle)
    }

    /// Opens a file that was rotated away, and perhaps compressed.
    pub fn open_rotated(path: &Path) -> io::Result<Handle> {
        let mut handle = Handle::open(path)?;
        if let Some(format) = Format::of_name(path) {
            handle.file = Content::Compressed(Arc::new(Unpacked::open(format, path)?));
            handle.start = Start::of(&handle.read(0, START_BYTES.into())?);
        }
        Ok(handle)
    }

    /// What will tell it from others after a restart.
    pub fn identity(&self) -> Identity {
        Identity::new(self.id, (self.start.length.into(), self.start.checksum), self.modified)
    }

    /// Whether it must be read to its end to know its size.
    pub fn is_compressed(&self) -> bool {
        matches!(self.file, Content::Compressed(_))
    }

    /// It was last written to at this time.
    pub fn was_modified(&mut self, at: SystemTime) {
        self.modified = at;
    }

    /// Copies of this file beside it that were made since `since`, of which at least `offset` bytes are there: what
    /// `copytruncate` leaves behind. The newest comes first.
    pub fn copies(&self, path: &Path, offset: u64, since: SystemTime) -> Vec<Handle> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let mut copies = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NEIGHBOURS) {
            // `app.log` becomes `app.log.1`, `app.log-20260101`, or, with `extension .log`, `app-20260101.log`.
            let stem = Path::new(name).file_stem().unwrap_or(name);
            if !entry.file_name().as_encoded_bytes().starts_with(stem.as_encoded_bytes()) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() || id(&metadata) == self.id || metadata.len() < offset || changed(&metadata) < since
            {
                continue;
            }
            if let Ok(copy) = Handle::open(&entry.path())
                && self.is_continued_by(&copy)
            {
                copies.push((changed(&metadata), copy));
            }
        }
        copies.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        copies.into_iter().map(|(_, copy)| copy).collect()
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Handle) -> bool {
        self.id == other.id
    }

    /// Its size now; of a compressed one, more than it can be.
    pub fn size(&self) -> io::Result<u64> {
        match &self.file {
            Content::Plain(file) => Ok(file.metadata()?.len()),
            Content::Compressed(_) => Ok(u64::MAX),
        }
    }

    /// By which the kernel can be asked about it; none if it is compressed.
    #[cfg(target_os = "linux")]
    pub fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match &self.file {
            Content::Plain(file) => Some(std::os::fd::AsFd::as_fd(&**file)),
            Content::Compressed(_) => None,
        }
    }

    /// By which the kernel can be asked about it: not on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn descriptor(&self) -> Option<std::convert::Infallible> {
        None
    }

    /// What may be a byte order mark.
    pub fn mark(&self) -> &[u8] {
        &self.start.mark[..self.start.mark.len().min(self.start.length.into())]
    }

    /// By so many first bytes it is known, up to a kilobyte.
    pub fn known_by(&self) -> u16 {
        self.start.length
    }

    /// Learns more of the start, if it was shorter before.
    pub fn look_at_start(&mut self) -> io::Result<()> {
        if self.start.length < START_BYTES && !self.is_compressed() {
            self.start = Start::of(&self.read(0, START_BYTES.into())?);
        }
        Ok(())
    }

    /// Whether so many of its first bytes have this checksum.
    pub fn begins_with(&self, length: usize, checksum: u32) -> bool {
        if length == usize::from(self.start.length) {
            return checksum == self.start.checksum;
        }
        length < usize::from(self.start.length)
            && self.read(0, length).is_ok_and(|start| start.len() == length && crc32fast::hash(&start) == checksum)
    }

    /// Up to `wanted` bytes from `offset` on; fewer only at the end of the file.
    pub fn read(&self, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
        match &self.file {
            Content::Plain(file) => fs::read_at(file, offset, wanted),
            Content::Compressed(unpacked) => unpacked.read(offset, wanted),
        }
    }

    /// The same, if nothing has to be waited for: neither the disk nor a decompression.
    pub fn read_at_once(&self, offset: u64, wanted: usize) -> io::Result<Option<Vec<u8>>> {
        match &self.file {
            Content::Plain(file) => fs::read_at_once(file, offset, wanted),
            Content::Compressed(_) => Ok(None),
        }
    }

    /// Compares the open file, read up to `offset`, with what the path names now.
    pub fn compare(&self, path: &Path, offset: u64) -> io::Result<Standing> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Missing),
            Err(error) => return Err(error),
        };
        if id(&metadata) != self.id {
            return Ok(Standing::Replaced);
        }
        if metadata.len() < offset {
            return Ok(Standing::Truncated);
        }
        Ok(Standing::Same(metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    /// Whether the start is still what it was: a file that was emptied and has grown again meanwhile is another one.
    pub fn starts_as_before(&self) -> io::Result<bool> {
        Ok(Start::of(&self.read(0, self.start.length.into())?) == self.start)
    }

    /// Whether another file begins as this one does, so that it is the same text written anew. Nothing begins as an empty
    /// file does.
    pub fn is_continued_by(&self, other: &Handle) -> bool {
        let length = self.start.length;
        let begins = || other.read(0, length.into()).is_ok_and(|start| Start::of(&start) == self.start);
        length > 0 && other.start.length >= length && (other.start == self.start || begins())
    }
}

// === impl Start ===

impl Start {
    fn of(bytes: &[u8]) -> Start {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let mut mark = [0; 3];
        for (to, byte) in mark.iter_mut().zip(bytes) {
            *to = *byte;
        }
        Start {
            length: u16::try_from(bytes.len()).unwrap_or(START_BYTES),
            mark,
            checksum: crc32fast::hash(bytes),
            hash: hasher.finish(),
        }
    }
}

/// When it was made, written to, or got its name.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(metadata.ctime_nsec()).unwrap_or_default())
}

#[cfg(windows)]
fn changed(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(unix)]
pub fn id(metadata: &Metadata) -> Option<Id> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(windows)]
pub fn id(metadata: &Metadata) -> Option<Id> {
    // Windows tells no more without opening; a rotated file has another time of creation.
    use std::os::windows::fs::MetadataExt;
    Some((metadata.creation_time(), 0))
}
