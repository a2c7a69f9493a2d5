//! What a collector is, and the files it reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base_metrics::FamilyWriter;
use base_sys::descriptors;

/// One group of families of the page, such as `cpu` or `meminfo`.
pub(crate) trait Collector: Send {
    /// Reads the host and writes the families. What was written before a failure stays on the page.
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure>;
}

/// Why a collector has nothing, or not all, to show.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The host does not have what the collector looks for: told by `node_scrape_collector_success 0` only.
    NoData,
    /// Something went wrong.
    Failed(String),
}

/// Where the host's trees are mounted.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub procfs: PathBuf,
    pub sysfs: PathBuf,
    pub rootfs: PathBuf,
    pub udev: PathBuf,
}

/// Room to read into, shared by all collectors of a page.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
}

/// A file of procfs or sysfs that is read again and again: opened once, then read from its start each time. To open one costs
/// 3 to 7 µs, ten times what it costs to read a number. Where there is no [`Room`], it is opened for each look.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: Option<Kept>,
    shape: Shape,
    room: &'static Room,
}

/// How many files may stay open.
#[derive(Debug)]
struct Room {
    kept: AtomicUsize,
    most: OnceLock<usize>,
}

/// A file that stays open.
#[derive(Debug)]
struct Kept {
    file: File,
    room: &'static Room,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// The kernel writes it out in one go: a read that did not fill the room was the whole file.
    Single,
    /// The kernel hands it out record by record: only an empty read is the end.
    Records,
    /// The same, and no record is longer than half a page. The kernel fills a page as long as records fit in, so what fills
    /// less than half of one was the end; to ask for nothing more costs as much as to ask for all, where it has to look
    /// through a whole table to find that nothing is left.
    ShortRecords,
}

/// More than this is not read: the largest file here, the interrupt counts of a big machine, stays far below.
const MAX_BYTES: usize = 8 << 20;
const FIRST_READ: usize = 16 << 10;
const HALF_A_PAGE: usize = 2 << 10;

/// Of the files that this process may have open, sources keep no more than one in so many: the rest is for targets, logs and
/// clients.
const SHARE: u64 = 8;

/// That of all exporters of this process.
static ROOM: Room = Room { kept: AtomicUsize::new(0), most: OnceLock::new() };

// === impl Source ===

impl Source {
    /// A file the kernel writes out in one go: `meminfo`, `stat`, `loadavg`, `pressure/*`, everything in `sys` and
    /// sysfs.
    pub fn single(path: PathBuf) -> Source {
        Source::of(path, Shape::Single)
    }

    /// A file the kernel hands out record by record: `vmstat`, `diskstats`, `mounts`, `net/dev` and other tables.
    pub fn records(path: PathBuf) -> Source {
        Source::of(path, Shape::Records)
    }

    /// One of those whose records are short lines: `net/udp`, `diskstats`.
    pub fn short_records(path: PathBuf) -> Source {
        Source::of(path, Shape::ShortRecords)
    }

    fn of(path: PathBuf, shape: Shape) -> Source {
        Source { path, file: None, shape, room: &ROOM }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file; the next read opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// The whole text as it is now.
    pub fn read<'s>(&mut self, scratch: &'s mut Scratch) -> io::Result<&'s str> {
        let length = match self.fill(&mut scratch.bytes) {
            // What the file belonged to may be gone and back, such as a network device: look for it anew.
            Err(error) if self.file.is_some() && may_be_stale(&error) => {
                self.file = None;
                self.fill(&mut scratch.bytes)?
            }
            filled => filled?,
        };
        scratch.text(length)
    }

    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        if let Some(kept) = &self.file {
            return self.shape.read(&kept.file, bytes);
        }
        let file = File::open(&self.path)?;
        let filled = self.shape.read(&file, bytes);
        // Also one that cannot be read, as the speed of a device that is down: it costs as much to open.
        self.file = self.room.keep(file);
        filled
    }
}

// === impl Room ===

impl Room {
    /// The file, if it may stay open.
    fn keep(&'static self, file: File) -> Option<Kept> {
        let most =
            *self.most.get_or_init(|| usize::try_from(descriptors::limit().unwrap_or(0) / SHARE).unwrap_or(usize::MAX));
        let one_more = |kept: usize| (kept < most).then_some(kept + 1);
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Kept { file, room: self })
    }
}

// === impl Kept ===

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Shape ===

impl Shape {
    /// Reads all of a file: how many bytes there are.
    fn read(self, file: &File, bytes: &mut Vec<u8>) -> io::Result<usize> {
        if bytes.len() < FIRST_READ {
            bytes.resize(FIRST_READ, 0);
        }
        let mut filled = 0;
        loop {
            if filled == bytes.len() {
                if filled >= MAX_BYTES {
                    return Err(io::Error::other(format!("more than {MAX_BYTES} bytes")));
                }
                bytes.resize(filled * 2, 0);
            }
            let read = match file.read_at(&mut bytes[filled..], filled as u64) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            filled += read;
            let is_end = match self {
                Shape::Single => filled < bytes.len(),
                Shape::Records => false,
                Shape::ShortRecords => read < HALF_A_PAGE && filled < bytes.len(),
            };
            if is_end || read == 0 {
                return Ok(filled);
            }
        }
    }
}

fn may_be_stale(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESTALE | libc::ENOENT | libc::ESRCH))
}

// === impl Scratch ===

impl Scratch {
    /// Bytes that are not UTF-8 (device names, mount points) become replacement characters: the page is UTF-8.
    fn text(&mut self, length: usize) -> io::Result<&str> {
        if std::str::from_utf8(&self.bytes[..length]).is_err() {
            let mended = String::from_utf8_lossy(&self.bytes[..length]).into_owned().into_bytes();
            self.bytes = mended;
            return std::str::from_utf8(&self.bytes).map_err(io::Error::other);
        }
        std::str::from_utf8(&self.bytes[..length]).map_err(io::Error::other)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure to read `path`.
    pub fn reading(path: &Path, error: &io::Error) -> Failure {
        Failure::Failed(format!("cannot read {}: {error}", path.display()))
    }

    /// No data when the file is not there, a failure otherwise.
    pub fn absent_or(path: &Path, error: &io::Error) -> Failure {
        if error.kind() == io::ErrorKind::NotFound { Failure::NoData } else { Failure::reading(path, error) }
    }

    /// The file does not look as it should.
    pub fn malformed(path: &Path, what: &str) -> Failure {
        Failure::Failed(format!("cannot make sense of {}: {what:?}", path.display()))
    }
}

/// A number as the kernel writes it.
pub(crate) fn number(text: &str, path: &Path) -> Result<f64, Failure> {
    text.parse().map_err(|_| Failure::malformed(path, text))
}

/// A whole file that holds one number; not kept open.
pub(crate) fn read_number(path: &Path) -> io::Result<f64> {
    std::fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_from_its_start_each_time_and_may_grow_or_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        let mut source = Source::records(path.clone());
        let mut scratch = Scratch::default();
        assert_eq!(source.read(&mut scratch).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(source.read(&mut scratch).unwrap(), "one\n");
        let long = "two ".repeat(20_000);
        std::fs::write(&path, &long).unwrap();
        assert_eq!(source.read(&mut scratch).unwrap(), long);
        std::fs::write(&path, b"a\xffb").unwrap();
        assert_eq!(source.read(&mut scratch).unwrap(), "a\u{fffd}b");
        assert_eq!(Source::single(path).read(&mut scratch).unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn where_few_files_may_be_open_all_are_read_and_few_stay_open() {
        static NARROW: Room = Room { kept: AtomicUsize::new(0), most: OnceLock::new() };
        NARROW.most.set(2).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let source = |number: usize| {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, path.display().to_string()).unwrap();
            Source { room: &NARROW, ..Source::single(path) }
        };
        let mut sources: Vec<Source> = (0..5).map(source).collect();
        let mut scratch = Scratch::default();
        for _ in 0..3 {
            for source in &mut sources {
                let path = source.path.display().to_string();
                assert_eq!(source.read(&mut scratch).unwrap(), path);
            }
            assert_eq!(sources.iter().filter(|source| source.file.is_some()).count(), 2);
        }
        // One that cannot be read, here a directory, has its place too.
        sources[0].close();
        let mut folder = Source { room: &NARROW, ..Source::single(dir.path().to_owned()) };
        assert!(folder.read(&mut scratch).is_err() && folder.file.is_some());
        drop(folder);
        // What one gives back the next one takes.
        sources.remove(0);
        sources[0].close();
        assert_eq!(NARROW.kept.load(Ordering::Relaxed), 0);
        sources.iter_mut().for_each(|source| drop(source.read(&mut scratch)));
        assert_eq!(sources.iter().map(|source| source.file.is_some()).collect::<Vec<_>>(), [true, true, false, false]);
    }
}
