//! One file: opened, written whole message by whole message, and rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base_sys::clock;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::arguments::{Arguments, Rotation};

/// `max_megabytes` when it is 0.
const DEFAULT_MEGABYTES: u64 = 100;
/// The time in the name of an old file.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// An open file.
pub(super) struct Output {
    path: PathBuf,
    file: File,
    /// Bytes that are whole messages.
    length: u64,
    rotation: Option<Rotation>,
}

// === impl Output ===

impl Output {
    /// Opens a file; what is in it is kept if this run or the arguments say so.
    pub(super) fn open(path: PathBuf, keep: bool, arguments: &Arguments) -> Result<Output, String> {
        let keep = keep || arguments.append || arguments.rotation.is_some();
        let open = || -> io::Result<(File, u64)> {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent)?;
            }
            let mut how = OpenOptions::new();
            // What is appended stands at the end, also after somebody else has emptied the file.
            let how = if keep { how.append(true) } else { how.write(true).truncate(true) };
            let mut file = how.create(true).open(&path)?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        Ok(Output { path, file, length, rotation: arguments.rotation.clone() })
    }

    pub(super) fn is(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Writes a message; after an error nothing of it is there.
    pub(super) fn write(&mut self, message: &[u8]) -> Result<(), String> {
        let limit = self.rotation.as_ref().map(limit);
        if limit.is_some_and(|limit| self.length > 0 && self.length + message.len() as u64 > limit) {
            self.rotate().map_err(|error| format!("cannot rotate {}: {error}", self.path.display()))?;
        }
        if let Err(error) = self.file.write_all(message) {
            // What is half there would spoil what comes behind it.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
            return Err(format!("cannot write {}: {error}", self.path.display()));
        }
        self.length += message.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let Some(rotation) = &self.rotation else { return Ok(()) };
        let mut now = Timestamp::from_nanosecond(i128::from(clock::now_ns())).unwrap_or_default();
        let mut backup = backup_name(&self.path, now, rotation.localtime);
        // Two within a millisecond.
        while backup.exists() {
            now += Duration::from_millis(1);
            backup = backup_name(&self.path, now, rotation.localtime);
        }
        fs::rename(&self.path, backup)?;
        self.file = OpenOptions::new().create(true).write(true).truncate(true).open(&self.path)?;
        self.length = 0;
        if let Err(error) = forget(&self.path, rotation, now) {
            tracing::warn!(path = %self.path.display(), %error, "cannot delete old files");
        }
        Ok(())
    }
}

fn limit(rotation: &Rotation) -> u64 {
    let megabytes = u64::try_from(rotation.max_megabytes).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_MEGABYTES);
    megabytes << 20
}

/// `name-time-size.ext`.
fn backup_name(path: &Path, at: Timestamp, local: bool) -> PathBuf {
    let zone = if local { TimeZone::system() } else { TimeZone::UTC };
    let time = at.to_zoned(zone).strftime(TIME).to_string();
    let (prefix, extension) = parts(path);
    path.with_file_name(format!("{prefix}-{time}-size{extension}"))
}

/// The name of a file and its extension with the dot.
fn parts(path: &Path) -> (String, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.rfind('.') {
        Some(dot) => (name[..dot].to_owned(), name[dot..].to_owned()),
        None => (name, String::new()),
    }
}

/// Deletes old files that are too many or too old.
fn forget(path: &Path, rotation: &Rotation, now: Timestamp) -> io::Result<()> {
    let (prefix, extension) = parts(path);
    let zone = || if rotation.localtime { TimeZone::system() } else { TimeZone::UTC };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut backups = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name
            .strip_prefix(&format!("{prefix}-"))
            .and_then(|rest| rest.strip_suffix(&format!("-size{extension}")))
            .and_then(|time| jiff::civil::DateTime::strptime(TIME, time).ok())
            .and_then(|time| time.to_zoned(zone()).ok());
        if let Some(time) = time {
            backups.push((time.timestamp(), entry.path()));
        }
    }
    backups.sort();
    backups.reverse();
    let most = usize::try_from(rotation.max_backups).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
    let oldest = u64::try_from(rotation.max_days).ok().filter(|days| *days > 0);
    let oldest = oldest.and_then(|days| now.checked_sub(Duration::from_secs(days.saturating_mul(86_400))).ok());
    for (place, (time, backup)) in backups.into_iter().enumerate() {
        if place >= most || oldest.is_some_and(|oldest| time < oldest) {
            fs::remove_file(backup)?;
        }
    }
    Ok(())
}
