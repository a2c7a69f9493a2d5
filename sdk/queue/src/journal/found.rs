//! What an earlier run has left.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use base_sys::fs;
use bytes::Bytes;

use super::frame::{Frame, frames};

/// A file is not read beyond this: one entry, and what fits beside it.
const MOST_FILE_BYTES: usize = 256 << 20;

/// Entries that were not settled, in the order in which they were taken.
#[derive(Debug)]
pub struct Found {
    name: String,
    files: VecDeque<PathBuf>,
    done: HashSet<u64>,
}

/// What one file holds of them.
#[derive(Debug)]
pub struct FoundFile {
    /// When it was written to for the last time, in milliseconds since 1970.
    pub written_at_ms: i64,
    /// Number and bytes of each part of an entry.
    pub parts: Vec<(u64, Bytes)>,
}

// === impl Found ===

impl Found {
    /// Looks through the files; with the entries that are not done, and the first file of each. Nothing here fails the start.
    pub(super) fn look(name: &str, files: &[(u64, PathBuf)]) -> (Found, HashMap<u64, u64>) {
        let (mut done, mut parts, mut damaged_bytes) = (HashSet::new(), BTreeSet::new(), 0);
        for (id, path) in files {
            match fs::read_bounded(path, MOST_FILE_BYTES) {
                Ok(bytes) => frames(
                    &bytes,
                    |bytes| damaged_bytes += bytes,
                    |frame| match frame {
                        Frame::Entry(number, _) => drop(parts.insert((*id, number))),
                        Frame::Done(numbers) => done.extend(numbers),
                    },
                ),
                Err(error) => cannot_read(name, path, &error),
            }
        }
        if damaged_bytes > 0 {
            tracing::warn!(journal = name, damaged_bytes, "some of what was taken before the end cannot be read");
        }
        parts.retain(|(_, number)| !done.contains(number));
        let mut live = HashMap::new();
        for (id, number) in &parts {
            live.entry(*number).or_insert(*id);
        }
        let holding: HashSet<u64> = parts.iter().map(|(id, _)| *id).collect();
        let files = files.iter().filter(|(id, _)| holding.contains(id)).map(|(_, path)| path.clone()).collect();
        (Found { name: name.to_owned(), files, done }, live)
    }

    /// The next file that holds any. Blocking.
    pub fn next_file(&mut self) -> Option<FoundFile> {
        loop {
            let path = self.files.pop_front()?;
            let bytes = match fs::read_bounded(&path, MOST_FILE_BYTES) {
                Ok(bytes) => Bytes::from(bytes),
                Err(error) => {
                    cannot_read(&self.name, &path, &error);
                    continue;
                }
            };
            let mut parts = Vec::new();
            let each = |frame: Frame<'_>| match frame {
                Frame::Entry(number, part) if !self.done.contains(&number) => {
                    parts.push((number, bytes.slice_ref(part)));
                }
                _ => {}
            };
            // What is damaged was told when the files were looked through.
            frames(&bytes, |_| {}, each);
            if !parts.is_empty() {
                return Some(FoundFile { written_at_ms: written_at_ms(&path), parts });
            }
        }
    }
}

/// Of a file that cannot be asked it is not known that it is old.
fn written_at_ms(path: &Path) -> i64 {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(i64::MAX)
}

fn cannot_read(journal: &str, path: &Path, error: &io::Error) {
    tracing::error!(journal, path = %path.display(), %error, "cannot read what was taken before the end");
}
