//! Small files done right: replaced whole or not at all, and read no further than a named bound.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(unix)]
use tokio::time::Instant;

pub use crate::read::{read_at, read_at_once};

/// Whether a replaced file must survive a power cut, or only the death of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The data and its directory entry are on the disk when the call returns.
    Disk,
    /// The kernel has it: `kill -9` loses nothing, a power cut may bring the previous version back.
    Kernel,
}

/// Replaces the file at `path` by `contents`: a reader, and a start after a crash, sees either the old file or the new.
///
/// The temporary file is `<path>.tmp`; one writer per path is assumed. Mode 0600 on Unix, as state may hold what logs held.
pub fn write_atomic(path: &Path, contents: &[u8], sync: Sync) -> io::Result<()> {
    let temporary = temporary_path(path);
    let mut file = create_private(&temporary)?;
    let written = file.write_all(contents).and_then(|()| if sync == Sync::Disk { file.sync_all() } else { Ok(()) });
    drop(file);
    let replaced = written.and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = replaced {
        // Best effort: the error that matters is the first one, and the next write truncates what is left.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    if sync == Sync::Disk { sync_dir(path.parent().unwrap_or(Path::new("."))) } else { Ok(()) }
}

/// What the kernel and the disk take whole or not at all.
pub const PAGE: usize = 4096;

/// Writes `contents` over those of a file, for the kernel alone. A start after a crash, also one of the machine, sees the old
/// ones or the new: of a page that stays as long as it was, nothing else can be seen. False, and nothing has happened, if
/// they are longer than a [`PAGE`] or not as long as the old ones, or if the file has another name besides.
///
/// [`write_atomic`] costs ten times as much: a file is made for it, and another one removed.
#[cfg(unix)]
pub fn write_over(path: &Path, contents: &[u8]) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    if contents.len() > PAGE {
        return Ok(false);
    }
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != contents.len() as u64 || metadata.nlink() != 1 {
        return Ok(false);
    }
    file.write_all(contents).map(|()| true)
}

/// Never on this system, of which it is not known what it takes whole.
#[cfg(not(unix))]
pub fn write_over(_path: &Path, _contents: &[u8]) -> io::Result<bool> {
    Ok(false)
}

/// Makes the entries of a directory (created, renamed, removed files) survive a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Creates or truncates a file that only its owner may read.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes all of it at this place of a file, wherever the file stands.
pub fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(not(unix))]
    {
        let mut file = file;
        io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
        io::Write::write_all(&mut file, bytes)
    }
}

/// Creates a directory and its parents, for the owner (and, as Alloy does, the group) only.
pub fn create_dir_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(path)
}

/// Reads a whole file of at most `limit` bytes; a longer one is an error that says so, and so is a pipe to which nobody
/// writes.
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    // One byte more than allowed tells "just fits" from "too long", also for /proc files whose size reads as 0.
    open(path, PIPE_PATIENCE)?.take(limit as u64 + 1).read_to_end(&mut contents)?;
    if contents.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is longer than the limit of {limit} bytes")));
    }
    Ok(contents)
}

/// As [`read_bounded`], for text.
pub fn read_text_bounded(path: &Path, limit: usize) -> io::Result<String> {
    String::from_utf8(read_bounded(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not valid UTF-8"))
}

#[cfg(not(unix))]
fn open(path: &Path, _: Duration) -> io::Result<impl Read> {
    File::open(path)
}

/// To open a pipe must not take until somebody opens its other end.
#[cfg(unix)]
fn open(path: &Path, patience: Duration) -> io::Result<impl Read> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let is_pipe = file.metadata()?.file_type().is_fifo();
    Ok(Patient { file, is_pipe, patience, started: false })
}

/// How long a pipe may be silent.
const PIPE_PATIENCE: Duration = Duration::from_secs(5);

/// How often to look whether something has come.
#[cfg(unix)]
const PIPE_LOOK: Duration = Duration::from_millis(5);

/// A file or a pipe; of a pipe, the writer is waited for, but not for ever.
#[cfg(unix)]
struct Patient {
    file: File,
    is_pipe: bool,
    patience: Duration,
    /// Something has come: from now on, nothing more is the end.
    started: bool,
}

#[cfg(unix)]
impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            match self.file.read(buffer) {
                Ok(0) if self.is_pipe && !self.started => {}
                Err(error) if self.is_pipe && error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.started = true;
                    return read;
                }
            }
            if since.elapsed() > self.patience {
                let silence = format!("is a pipe, and nobody has written to it for {:?}", self.patience);
                return Err(io::Error::new(io::ErrorKind::TimedOut, silence));
            }
            std::thread::sleep(PIPE_LOOK);
        }
    }
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("positions.yml");
        for (sync, contents) in [(Sync::Disk, "one"), (Sync::Kernel, "two")] {
            write_atomic(&path, contents.as_bytes(), sync).unwrap();
            assert_eq!(read_text_bounded(&path, 16).unwrap(), contents);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("busy");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("child"), "x").unwrap();
        write_atomic(&path, b"new", Sync::Disk).unwrap_err();
        assert_eq!(std::fs::read(path.join("child")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let writing = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(writing, "a = 1\n".repeat(20_000)));
        assert_eq!(read_bounded(&path, 1 << 20).unwrap().len(), 120_000);
        writer.join().unwrap().unwrap();
        let silent = open(&path, Duration::from_millis(20)).unwrap().read(&mut [0]).unwrap_err();
        assert_eq!(silent.to_string(), "is a pipe, and nobody has written to it for 20ms");
    }

    #[test]
    fn reading_stops_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let error = read_bounded(&path, 4).unwrap_err();
        assert_eq!(error.to_string(), "is longer than the limit of 4 bytes");
    }
}
