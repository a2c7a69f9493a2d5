//! What an earlier run has left.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

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

// === impl Found ===

impl Found {
    /// Looks through the files; with the entries that are not done, and the file of each. Nothing here fails the start.
    pub(super) fn look(name: &str, files: &[(u64, PathBuf)]) -> (Found, HashMap<u64, u64>) {
        let (mut done, mut live, mut damaged_bytes) = (HashSet::new(), HashMap::new(), 0);
        for (id, path) in files {
            match read(path) {
                Ok(bytes) => frames(
                    &bytes,
                    |bytes| damaged_bytes += bytes,
                    |frame| match frame {
                        Frame::Entry(number, _) => drop(live.insert(number, *id)),
                        Frame::Done(numbers) => done.extend(numbers),
                    },
                ),
                Err(error) => {
                    tracing::error!(journal = name, path = %path.display(), %error, "cannot read what was taken before the end");
                }
            }
        }
        if damaged_bytes > 0 {
            tracing::warn!(journal = name, damaged_bytes, "some of what was taken before the end cannot be read");
        }
        live.retain(|number, _| !done.contains(number));
        let files = files.iter().filter(|(id, _)| live.values().any(|file| file == id));
        let files = files.map(|(_, path)| path.clone()).collect();
        (Found { name: name.to_owned(), files, done }, live)
    }

    /// Number and bytes of each entry of the next file that holds any. Blocking.
    pub fn next_file(&mut self) -> Option<Vec<(u64, Bytes)>> {
        loop {
            let path = self.files.pop_front()?;
            let bytes = match read(&path) {
                Ok(bytes) => Bytes::from(bytes),
                Err(error) => {
                    tracing::error!(journal = self.name, path = %path.display(), %error, "cannot read what was taken before the end");
                    continue;
                }
            };
            let mut entries = Vec::new();
            let each = |frame: Frame<'_>| match frame {
                Frame::Entry(number, entry) if !self.done.contains(&number) => {
                    entries.push((number, bytes.slice_ref(entry)));
                }
                _ => {}
            };
            // What is damaged was told when the files were looked through.
            frames(&bytes, |_| {}, each);
            if !entries.is_empty() {
                return Some(entries);
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read_bounded(path, MOST_FILE_BYTES)
}
