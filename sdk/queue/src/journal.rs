//! What was taken and is nowhere else yet: files to which each batch is appended before it counts as taken.
//!
//! An entry waits in memory for its request to fill, and the request waits there for its endpoint, until the queue writes it
//! down. Who can read it again need not care; of what a client was told is taken, this is the other copy. The files are for the
//! kernel alone, which has them as soon as a write returns: nothing waits for the disk, `kill -9` costs nothing, and a power
//! cut costs what is in memory. What is settled is noted, and in quiet times that empties the file before the kernel has
//! brought any of it to the disk.
//!
//! ```text
//! file:  magic 8 │ round u32 │ frame … │ 0 u32
//! frame: length of what follows the CRC, u32 │ CRC-32 of that, begun with the round, u32 │ kind u8 │ number u64, bytes; or numbers
//! ```
//!
//! Under load a file is not given back and made anew, but written from its start in another round: most of what a write costs
//! the kernel is room for it. What is left of earlier rounds behind the end has another CRC, and is not read.

mod found;
mod frame;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::fs;
use tokio::time::Instant;

pub use found::Found;

/// A file is followed by the next one when it has grown to this, or is this old: what is settled can be given back.
const FILE_BYTES: u64 = 4 << 20;
const FILE_AGE: Duration = Duration::from_secs(10);
/// A file that is smaller when nothing in it is needed any more is emptied: a collector with little to do keeps none.
const SMALL_BYTES: u64 = 256 << 10;
/// A file that waits to be used again.
const SPARE: &str = "spare";
/// Room for an entry that is kept from one to the next.
const KEPT_BYTES: usize = 1 << 20;
/// From here on it asks for what is in memory to be sent, as one old entry keeps all files behind it.
const CROWDED_BYTES: u64 = 64 << 20;
/// And here it takes nothing more.
const MOST_BYTES: u64 = 256 << 20;

/// What was taken and is nowhere else yet.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In logs.
    name: String,
    folder: PathBuf,
    /// Files that are not written to any more, oldest first.
    files: VecDeque<Older>,
    current: Option<Current>,
    next_file: u64,
    next_round: u32,
    /// There is a file to be used again.
    has_spare: bool,
    next_number: u64,
    /// Entries that are not settled, with the file of each.
    live: HashMap<u64, u64>,
    /// Frames of one write.
    buffer: Vec<u8>,
    /// The disk does not take what we write, which was told.
    failing: bool,
    crowded_bytes: u64,
    /// The file that was begun when it was said last that there are many.
    crowded_at: u64,
    most_bytes: u64,
}

#[derive(Debug)]
struct Older {
    id: u64,
    path: PathBuf,
    bytes: u64,
    live: usize,
}

#[derive(Debug)]
struct Current {
    id: u64,
    path: PathBuf,
    file: File,
    /// Up to where it was written in this round.
    bytes: u64,
    live: usize,
    round: u32,
    begun: Instant,
}

// === impl Journal ===

impl Journal {
    /// Opens or creates it in a folder of its own, with what an earlier run has left there. Blocking.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: PathBuf, name: String) -> io::Result<(Journal, Found)> {
        fs::create_dir_private(&folder)?;
        let mut paths: Vec<(u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            paths.extend(id_of(&path).map(|id| (id, path)));
        }
        paths.sort_unstable();
        let next_file = paths.last().map_or(0, |(id, _)| id + 1);
        let (found, live) = Found::look(&name, &paths);
        // It may hold what is long settled.
        remove(&folder.join(SPARE));
        let files = paths.into_iter().map(|(id, path)| Older {
            id,
            bytes: std::fs::metadata(&path).map_or(0, |file| file.len()),
            path,
            live: live.values().filter(|file| **file == id).count(),
        });
        let chance = RandomState::new().hash_one(next_file);
        let mut state = State {
            name,
            folder,
            files: files.collect(),
            current: None,
            next_file,
            // Not one that a file has from an earlier run.
            next_round: chance as u32,
            has_spare: false,
            // Not one that an entry has from an earlier run.
            next_number: chance >> 32 << 32 | 1,
            live,
            buffer: Vec::new(),
            failing: false,
            crowded_bytes: CROWDED_BYTES,
            crowded_at: 0,
            most_bytes: MOST_BYTES,
        };
        state.reclaim();
        Ok((Journal { state: Mutex::new(state) }, found))
    }

    /// One entry more, as `put` appends it: its number, to be told when it is [done](Journal::done). None when it cannot be
    /// written down, which is said once: it is in memory as before.
    pub fn write(&self, put: impl FnOnce(&mut Vec<u8>)) -> Option<u64> {
        let mut state = self.lock();
        state.turn_to_the_next_file();
        state.next_number += 1;
        let number = state.next_number;
        let round = state.round();
        frame::push_entry(&mut state.buffer, round, number, put);
        let most = state.most_bytes;
        let written = state.write(most);
        if written && let Some(file) = &mut state.current {
            file.live += 1;
            let id = file.id;
            state.live.insert(number, id);
        }
        written.then_some(number)
    }

    /// These are settled: somebody else has them, or they were dropped and counted.
    pub fn done(&self, numbers: &[u64]) {
        let mut state = self.lock();
        let before = state.live.len();
        numbers.iter().for_each(|number| state.forget(*number));
        if state.live.len() == before {
            return;
        }
        if !state.live.is_empty() {
            // Emptying the files says the same of all; as long as others live, these have to be named. When that fails, a crash
            // sends them again.
            state.turn_to_the_next_file();
            let round = state.round();
            frame::push_done(&mut state.buffer, round, numbers);
            state.write(u64::MAX);
        }
        state.reclaim();
    }

    /// Something in it has waited for long while much came: true once for each file that is begun.
    pub fn is_crowded(&self) -> bool {
        let mut state = self.lock();
        let is_new = state.crowded_at != state.next_file;
        state.crowded_at = state.next_file;
        is_new && state.bytes() > state.crowded_bytes
    }

    /// Nothing is written any more. What is settled is given back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.file_is_old();
        state.reclaim();
        if std::mem::take(&mut state.has_spare) {
            remove(&state.folder.join(SPARE));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// In all files.
    fn bytes(&self) -> u64 {
        let older: u64 = self.files.iter().map(|file| file.bytes).sum();
        older + self.current.as_ref().map_or(0, |file| file.bytes)
    }

    fn turn_to_the_next_file(&mut self) {
        let is_over = |file: &Current| file.bytes >= FILE_BYTES || (file.bytes > 0 && file.begun.elapsed() >= FILE_AGE);
        if self.current.as_ref().is_some_and(is_over) {
            self.file_is_old();
            self.reclaim();
        }
    }

    /// That of the next frame.
    fn round(&self) -> u32 {
        self.current.as_ref().map_or(self.next_round, |file| file.round)
    }

    fn file_is_old(&mut self) {
        if let Some(Current { id, path, bytes, live, .. }) = self.current.take() {
            self.files.push_back(Older { id, path, bytes, live });
        }
    }

    /// Writes what is in the buffer if there are at most so many bytes then. Tells once when that fails or works again.
    fn write(&mut self, most: u64) -> bool {
        let written = match self.bytes() + self.buffer.len() as u64 <= most {
            true => self.try_write(),
            false => Err(io::Error::other("as much as is allowed waits there already")),
        };
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        match &written {
            Ok(()) if std::mem::take(&mut self.failing) => {
                tracing::info!(journal = self.name, "what is taken can be written down again");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let journal = &self.name;
                    tracing::error!(journal, %error, "cannot write down what is taken; until this works again, a kill loses what is in memory");
                }
            }
        }
        written.is_ok()
    }

    fn try_write(&mut self) -> io::Result<()> {
        let is_first = self.current.as_ref().is_none_or(|file| file.bytes == 0);
        if is_first {
            let round = self.round();
            self.buffer.splice(..0, frame::head(round));
        }
        let length = self.buffer.len() as u64;
        self.buffer.extend_from_slice(&frame::END);
        let Some(file) = &mut self.current else {
            self.current = Some(self.first_write(length)?);
            self.next_file += 1;
            self.next_round = self.next_round.wrapping_add(1);
            return Ok(());
        };
        if is_first {
            file.begun = Instant::now();
        }
        let written = write_at(&file.file, &self.buffer, file.bytes);
        if written.is_ok() {
            file.bytes += length;
            return Ok(());
        }
        // Half a frame must not stand before the next one.
        if file.file.set_len(file.bytes).is_err() {
            self.file_is_old();
        }
        written
    }

    /// A file with what is in the buffer.
    fn first_write(&mut self, bytes: u64) -> io::Result<Current> {
        let path = self.folder.join(file_name(self.next_file));
        let spare = self.folder.join(SPARE);
        let reused = std::mem::take(&mut self.has_spare).then(|| File::options().write(true).open(&spare));
        let (file, written_to) = match reused {
            // It gets its name when nothing of what was in it counts any more.
            Some(Ok(file)) => (file, &spare),
            _ => (fs::create_private(&path)?, &path),
        };
        let written = write_at(&file, &self.buffer, 0);
        let named = if *written_to == path { Ok(()) } else { std::fs::rename(&spare, &path) };
        if let Err(error) = written.and(named) {
            remove(written_to);
            return Err(error);
        }
        let (id, round) = (self.next_file, self.next_round);
        Ok(Current { id, path, file, bytes, live: 0, round, begun: Instant::now() })
    }

    fn forget(&mut self, number: u64) {
        let Some(id) = self.live.remove(&number) else { return };
        match &mut self.current {
            Some(file) if file.id == id => file.live -= 1,
            _ => self.files.iter_mut().filter(|file| file.id == id).for_each(|file| file.live -= 1),
        }
    }

    /// Gives back the files that hold nothing that lives, oldest first: a later one may say that what an older one holds is
    /// done.
    fn reclaim(&mut self) {
        while let Some(file) = self.files.pop_front_if(|file| file.live == 0) {
            let is_large = !self.has_spare && file.bytes > SMALL_BYTES;
            match is_large && std::fs::rename(&file.path, self.folder.join(SPARE)).is_ok() {
                true => self.has_spare = true,
                false => remove(&file.path),
            }
        }
        if !self.live.is_empty() {
            return;
        }
        // It can only say of others that they are done.
        if let Some(file) = &mut self.current
            && file.bytes > 0
        {
            file.round = self.next_round;
            self.next_round = self.next_round.wrapping_add(1);
            let emptied = match file.bytes {
                ..=SMALL_BYTES => file.file.set_len(0),
                _ => write_at(&file.file, &[&frame::head(file.round)[..], &frame::END].concat(), 0),
            };
            match emptied {
                Ok(()) => file.bytes = 0,
                Err(_) => self.file_is_old(),
            }
        }
    }
}

fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.seek(io::SeekFrom::Start(at))?;
    file.write_all(bytes)
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove what was sent");
    }
}

fn file_name(id: u64) -> String {
    format!("{id:020}.taken")
}

fn id_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".taken")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries that a start would find now.
    fn found(folder: &Path) -> Vec<Vec<u8>> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((id_of(&path)?, path))).collect();
        files.sort_unstable();
        let (mut found, _) = Found::look("j", &files);
        let entries = std::iter::from_fn(|| found.next_file()).flatten();
        entries.map(|(_, bytes)| bytes.to_vec()).collect()
    }

    fn open(folder: &Path) -> (Journal, Found) {
        Journal::open(folder.to_owned(), "j".to_owned()).unwrap()
    }

    #[test]
    fn what_is_not_done_is_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, mut nothing) = open(folder.path());
        assert!(nothing.next_file().is_none());
        let numbers: Vec<u64> =
            (0..6u8).map(|byte| journal.write(|to| to.extend([byte; 3])).expect("it is written")).collect();
        journal.done(&[numbers[1], numbers[4]]);
        assert_eq!(found(folder.path()), [0, 2, 3, 5].map(|byte| vec![byte; 3]));
        // As a kill leaves it; what comes then is behind what was there.
        let (journal, mut left) = open(folder.path());
        journal.write(|to| to.push(6)).expect("it is written");
        let left: Vec<_> = left.next_file().expect("there is a file");
        assert_eq!(found(folder.path()).len(), 5);
        journal.done(&left.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        assert_eq!(found(folder.path()), [vec![6]]);
    }

    #[test]
    fn a_file_that_is_used_again_holds_what_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = open(folder.path());
        let mut writes = 0;
        let mut take = |bytes: usize| {
            writes += 1;
            let entry = vec![writes; bytes];
            (journal.write(|to| to.extend_from_slice(&entry)).expect("it is written"), entry)
        };
        for round in 0..3 {
            // Written from its start again and again, with more and with less.
            for bytes in [300 << 10, 1000, 400 << 10, 70_000] {
                let (number, entry) = take(bytes);
                assert_eq!(found(folder.path()), [entry], "{round}");
                journal.done(&[number]);
                assert!(found(folder.path()).is_empty(), "{round}");
            }
            // And one file after the other, while an old entry lives.
            let (old, first) = take(10);
            for _ in 0..12 {
                let (number, entry) = take(900 << 10);
                assert_eq!(found(folder.path()), [first.clone(), entry], "{round}");
                journal.done(&[number]);
            }
            journal.done(&[old]);
        }
        assert!(folder.path().join(SPARE).exists(), "nothing was used again");
        journal.close();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_old_entry_does_not_make_it_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = open(folder.path());
        (journal.lock().crowded_bytes, journal.lock().most_bytes) = (4 << 20, 16 << 20);
        let old = journal.write(|to| to.push(1)).expect("it is written");
        let large = vec![0; 1 << 20];
        let take = || journal.write(|to| to.extend_from_slice(&large));
        let mut taken: Vec<u64> = (0..3).filter_map(|_| take()).collect();
        assert!(!journal.is_crowded());
        taken.extend((0..30).filter_map(|_| take()));
        assert!(journal.is_crowded() && !journal.is_crowded());
        assert_eq!(taken.len(), 15, "MiB, of 16 with all that is around them");
        journal.done(&taken);
        journal.done(&[old]);
        assert!(journal.write(|to| to.push(2)).is_some());
        assert_eq!(found(folder.path()), [vec![2]]);
    }
}
