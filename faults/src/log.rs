//! A log file with numbered lines, written and rotated as programs do.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::load::Load;

/// A log file that is written to.
pub struct Log {
    path: PathBuf,
    file: Mutex<File>,
    written: AtomicU64,
    rotations: AtomicU64,
    /// Lines that were written between a copy and the truncation behind it.
    gone: AtomicU64,
}

/// How a log file is given up for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Renamed; a new one gets the name.
    Rename,
    /// Renamed; a new one gets the name while the writer still writes to the old one for a moment.
    RenameLate,
    /// Deleted; a new one gets the name.
    Delete,
    /// Renamed and compressed; a new one gets the name.
    Gzip,
    /// Copied, and emptied.
    CopyTruncate,
    /// The same, while the writer goes on: what it writes between the two is in neither.
    CopyTruncateRace,
    /// The name is a link, which is moved to a new file.
    Link,
}

/// How long a careless program takes from the copy to the truncation.
const BETWEEN: Duration = Duration::from_millis(20);

// === impl Log ===

impl Log {
    /// An empty log file. For [`Rotation::Link`] its name is a link from the start.
    pub fn create(path: &Path, rotation: Option<Rotation>) -> io::Result<Arc<Log>> {
        let file = match rotation {
            Some(Rotation::Link) => linked(path, 0)?,
            _ => append_to(path)?,
        };
        Ok(Arc::new(Log {
            path: path.to_owned(),
            file: Mutex::new(file),
            written: AtomicU64::new(0),
            rotations: AtomicU64::new(0),
            gone: AtomicU64::new(0),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines there are: their numbers are all below.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines that no reader can have by a promise: [`Rotation::CopyTruncateRace`] took them.
    pub fn gone(&self) -> u64 {
        self.gone.load(Relaxed)
    }

    /// Writes so many more lines.
    pub fn write(&self, lines: u64) -> io::Result<()> {
        self.write_to(&mut self.lock(), lines)
    }

    /// Gives the file up for a new one, right behind the last line.
    pub fn rotate(&self, rotation: Rotation) -> io::Result<()> {
        let round = self.rotations.fetch_add(1, Relaxed) + 1;
        let old = self.path.with_extension(format!("log.{round}"));
        let mut file = self.lock();
        match rotation {
            Rotation::Rename | Rotation::RenameLate | Rotation::Gzip => {
                std::fs::rename(&self.path, &old)?;
                let new = append_to(&self.path)?;
                if rotation == Rotation::RenameLate {
                    self.write_to(&mut file, 20)?;
                }
                *file = new;
                if rotation == Rotation::Gzip {
                    compress(&old)?;
                }
            }
            Rotation::Delete => {
                std::fs::remove_file(&self.path)?;
                *file = append_to(&self.path)?;
            }
            Rotation::CopyTruncate => {
                std::fs::copy(&self.path, &old)?;
                file.set_len(0)?;
            }
            Rotation::CopyTruncateRace => {
                drop(file);
                std::fs::copy(&self.path, &old)?;
                std::thread::sleep(BETWEEN);
                let file = self.lock();
                let text = std::fs::read(&self.path)?;
                let behind = text.get(old.metadata()?.len() as usize..).unwrap_or_default();
                self.gone.fetch_add(behind.iter().filter(|byte| **byte == b'\n').count() as u64, Relaxed);
                file.set_len(0)?;
            }
            Rotation::Link => *file = linked(&self.path, round)?,
        }
        Ok(())
    }

    /// Writes so many lines a second, from a thread of its own.
    pub fn load(self: &Arc<Log>, rate: u64) -> Load {
        let log = self.clone();
        Load::start(rate, move |lines| log.write(lines).is_ok())
    }

    fn write_to(&self, file: &mut File, lines: u64) -> io::Result<()> {
        let first = self.written();
        let text: String = (first..first + lines).map(line).collect();
        file.write_all(text.as_bytes())?;
        self.written.store(first + lines, Relaxed);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that shows whether it is whole; their lengths differ.
pub fn line(number: u64) -> String {
    format!(
        "whole seq={number} {} again={number}\n",
        &"something happened, and again something".repeat(3)[..20 + (number * 7 % 90) as usize]
    )
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A new file, and the name is a link to it from now on, without a moment in between.
fn linked(path: &Path, round: u64) -> io::Result<File> {
    let target = path.with_extension(format!("{round}.log"));
    let file = append_to(&target)?;
    let link = path.with_extension("new-link");
    std::os::unix::fs::symlink(&target, &link)?;
    std::fs::rename(&link, path)?;
    Ok(file)
}

/// As logrotate does: by a program of its own, which removes the original at its end.
fn compress(path: &Path) -> io::Result<()> {
    let status = std::process::Command::new("gzip").arg("--fast").arg(path).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("gzip: {status}"))) }
}
