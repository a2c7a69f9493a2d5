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
//! An entry has a number, and one frame or more: it may grow until it is settled. What is in a frame is its writer's.
//!
//! Under load a file is not given back and made anew, but written from its start in another round: most of what a write costs
//! the kernel is room for it. What is left of earlier rounds behind the end has another CRC, and is not read.

mod found;
mod frame;
mod unwritten;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::fs;
use tokio::time::Instant;

pub use found::{Found, FoundFile};
use unwritten::Unwritten;

/// A file is followed by the next one when it has grown to this, or is this old: what is settled can be given back.
const FILE_BYTES: u64 = 4 << 20;
const FILE_AGE: Duration = Duration::from_secs(10);
/// A file that is smaller when nothing in it is needed any more is emptied: a collector with little to do keeps none.
const SMALL_BYTES: u64 = 256 << 10;
/// A file that waits to be used again.
const SPARE: &str = "spare";
/// Room for frames that is kept from one write to the next.
const KEPT_BYTES: usize = 1 << 20;
/// From here on it asks for what is in memory to be sent, as one old entry keeps all files behind it.
const CROWDED_BYTES: u64 = 64 << 20;
/// And here it takes nothing more.
const MOST_BYTES: u64 = 256 << 20;
/// How long after the disk has not taken something that is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// What the disk has not taken is written in pieces of about this size, so that little is put together in vain.
const PIECE_BYTES: usize = 256 << 10;

/// What was taken and is nowhere else yet.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
}

/// What is gathered for one write. Dropped before [`Writing::finish`], it goes with the next one.
#[derive(Debug)]
pub struct Writing<'a>(MutexGuard<'a, State>);

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
    /// Entries that are not settled, with the first file that holds some of each; and how many of them each file is the first of.
    live: HashMap<u64, u64>,
    live_in: BTreeMap<u64, usize>,
    /// Frames that go with the next write, and the entries that begin with one of them.
    buffer: Vec<u8>,
    begun: Vec<u64>,
    /// Entries that are settled while others are not, which is to be noted. What cannot be written stays here: these are in the
    /// files, and nothing comes to the files meanwhile.
    settled: Vec<u64>,
    /// The disk does not take what we write, which was told.
    failing: bool,
    /// What it has not taken, and when that is tried again.
    unwritten: Unwritten,
    retry_at: Instant,
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
}

#[derive(Debug)]
struct Current {
    id: u64,
    path: PathBuf,
    file: File,
    /// Up to where it was written in this round.
    bytes: u64,
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
        });
        let mut live_in = BTreeMap::new();
        for file in live.values() {
            *live_in.entry(*file).or_default() += 1;
        }
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
            live_in,
            buffer: Vec::new(),
            begun: Vec::new(),
            settled: Vec::new(),
            failing: false,
            unwritten: Unwritten::default(),
            retry_at: Instant::now(),
            crowded_bytes: CROWDED_BYTES,
            crowded_at: 0,
            most_bytes: MOST_BYTES,
        };
        state.reclaim();
        Ok((Journal { state: Mutex::new(state) }, found))
    }

    /// Begins to write.
    pub fn write(&self) -> Writing<'_> {
        Writing(self.lock())
    }

    /// Something in it has waited for long while much came: true once for each file that is begun.
    pub fn is_crowded(&self) -> bool {
        let mut state = self.lock();
        let is_new = state.crowded_at != state.next_file;
        state.crowded_at = state.next_file;
        is_new && state.bytes() > state.crowded_bytes
    }

    /// When to call [`Journal::try_again`], if the disk has not taken all.
    pub fn tries_again_at(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.unwritten.is_empty()).then_some(state.retry_at)
    }

    /// Writes what the disk has not taken, if it is time. Whatever is written does the same.
    pub fn try_again(&self) {
        self.lock().write();
    }

    /// Nothing is written any more. What is settled is given back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.retry_at = Instant::now();
        state.write();
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

// === impl Writing ===

impl Writing<'_> {
    /// A number for an entry that begins.
    pub fn new_entry(&mut self) -> u64 {
        self.0.next_number += 1;
        self.0.next_number
    }

    /// An entry, or one part more of it, as `put` appends it.
    pub fn part(&mut self, entry: u64, put: impl FnOnce(&mut Vec<u8>)) {
        self.0.gather(entry, put);
    }

    /// It is settled: somebody else has it, or it was dropped and counted. True when others wait to be noted already, so that it
    /// is time to [`finish`](Writing::finish): a kill until then lets all of them come again.
    pub fn done(&mut self, entry: u64) -> bool {
        let state = &mut *self.0;
        let others_wait = !state.settled.is_empty();
        state.unwritten.forget(entry);
        if !state.forget(entry) {
            return false;
        }
        // Emptying the files says the same of all; as long as others live, this one has to be named.
        if !state.live.is_empty() {
            state.settled.push(entry);
        }
        state.reclaim();
        others_wait
    }

    /// Writes it. What the disk does not take, which is told once, is written when it does, if it is not settled by then; what is
    /// settled is noted later. False when more waits for that than may: what was to be written is in memory as before.
    pub fn finish(mut self) -> bool {
        self.0.write()
    }
}

// === impl State ===

impl State {
    /// In all files.
    fn bytes(&self) -> u64 {
        let older: u64 = self.files.iter().map(|file| file.bytes).sum();
        older + self.current.as_ref().map_or(0, |file| file.bytes)
    }

    /// The id of the file that the next write goes to.
    fn file_to_write(&mut self) -> u64 {
        let is_over = |file: &Current| file.bytes >= FILE_BYTES || (file.bytes > 0 && file.begun.elapsed() >= FILE_AGE);
        // What is in the buffer was promised to the file at hand.
        if self.buffer.is_empty() && self.current.as_ref().is_some_and(is_over) {
            self.file_is_old();
            self.reclaim();
        }
        self.current.as_ref().map_or(self.next_file, |file| file.id)
    }

    /// That of the next frame.
    fn round(&self) -> u32 {
        self.current.as_ref().map_or(self.next_round, |file| file.round)
    }

    fn file_is_old(&mut self) {
        if let Some(Current { id, path, bytes, .. }) = self.current.take() {
            self.files.push_back(Older { id, path, bytes });
        }
    }

    fn gather(&mut self, entry: u64, put: impl FnOnce(&mut Vec<u8>)) {
        let file = self.file_to_write();
        let round = self.round();
        frame::push_entry(&mut self.buffer, round, entry, put);
        if let Entry::Vacant(new) = self.live.entry(entry) {
            new.insert(file);
            *self.live_in.entry(file).or_default() += 1;
            self.begun.push(entry);
        }
    }

    /// Writes what was gathered, or keeps it until the disk takes it; false if it cannot be kept.
    fn write(&mut self) -> bool {
        if self.unwritten.is_empty() {
            let gathered = self.buffer.len() as u64;
            if gathered == 0 && self.settled.is_empty() {
                return true;
            }
            let has_room = gathered == 0 || self.bytes() + gathered <= self.most_bytes;
            if !has_room {
                self.leave_out_what_was_gathered();
            }
            let mut written = self.write_gathered();
            let is_kept = written.is_ok() || self.keep_what_was_gathered();
            if !has_room {
                written = written.and(Err(no_room()));
            }
            if gathered > 0 || written.is_err() {
                self.tell(written);
            }
            return has_room && is_kept;
        }
        // Behind what has waited for longer.
        let is_kept = self.keep_what_was_gathered();
        if Instant::now() >= self.retry_at {
            let written = self.write_unwritten();
            self.tell(written);
        }
        is_kept
    }

    /// Writes what the disk has not taken, piece by piece.
    fn write_unwritten(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            while self.buffer.len() < PIECE_BYTES
                && let Some((entry, part)) = self.unwritten.take()
            {
                self.gather(entry, |to| to.extend_from_slice(&part));
            }
            let has_room = self.bytes() + self.buffer.len() as u64 <= self.most_bytes;
            let written = if has_room { self.write_gathered() } else { Err(no_room()) };
            if written.is_err() {
                for (entry, part) in frame::entries(&self.buffer).into_iter().rev() {
                    self.unwritten.put_back(entry, part);
                }
                self.leave_out_what_was_gathered();
                return written;
            }
        }
        Ok(())
    }

    /// One write, with what is settled. When it fails, what was gathered is still there.
    fn write_gathered(&mut self) -> io::Result<()> {
        self.file_to_write();
        let gathered = self.buffer.len();
        if !self.settled.is_empty() {
            let round = self.round();
            frame::push_done(&mut self.buffer, round, &self.settled);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.try_write();
        match written {
            Ok(()) => {
                self.settled.clear();
                self.begun.clear();
                self.buffer.clear();
                self.buffer.shrink_to(KEPT_BYTES);
            }
            Err(_) => self.buffer.truncate(gathered),
        }
        written
    }

    /// Tells once when it fails or works again.
    fn tell(&mut self, written: io::Result<()>) {
        let journal = &self.name;
        match written {
            Ok(()) if std::mem::take(&mut self.failing) => {
                tracing::info!(journal, "what is taken can be written down again");
            }
            Ok(()) => {}
            Err(error) => {
                self.retry_at = Instant::now() + RETRY;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(journal, %error, "cannot write down what is taken; until this works again, a kill loses what is in memory");
                }
            }
        }
    }

    /// What was gathered, and is not settled, waits until the disk takes it. False when that is too much.
    fn keep_what_was_gathered(&mut self) -> bool {
        let mut is_kept = true;
        for (entry, part) in frame::entries(&self.buffer) {
            if self.live.contains_key(&entry) {
                is_kept &= self.unwritten.keep(entry, part);
            }
        }
        self.leave_out_what_was_gathered();
        is_kept
    }

    /// What begins with it is in no file, and what becomes of that need not be noted.
    fn leave_out_what_was_gathered(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        let begun = std::mem::take(&mut self.begun);
        if begun.is_empty() {
            return;
        }
        for entry in &begun {
            self.forget(*entry);
        }
        self.settled.retain(|entry| !begun.contains(entry));
        self.reclaim();
    }

    /// Writes the buffer, which is as before when that fails.
    fn try_write(&mut self) -> io::Result<()> {
        let is_first = self.current.as_ref().is_none_or(|file| file.bytes == 0);
        let head = if is_first { frame::head(self.round()) } else { Vec::new() };
        let head_bytes = head.len();
        self.buffer.splice(..0, head);
        let length = self.buffer.len() as u64;
        self.buffer.extend_from_slice(&frame::END);
        let written = self.write_buffer(is_first, length);
        if written.is_err() {
            self.buffer.truncate(length as usize);
            self.buffer.drain(..head_bytes);
        }
        written
    }

    fn write_buffer(&mut self, is_first: bool, length: u64) -> io::Result<()> {
        let Some(file) = &mut self.current else {
            self.current = Some(self.first_write(length)?);
            self.next_file += 1;
            self.next_round = self.next_round.wrapping_add(1);
            return Ok(());
        };
        if is_first {
            file.begun = Instant::now();
        }
        let written = fs::write_at(&file.file, &self.buffer, file.bytes);
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
        let written = fs::write_at(&file, &self.buffer, 0);
        let named = if *written_to == path { Ok(()) } else { std::fs::rename(&spare, &path) };
        if let Err(error) = written.and(named) {
            remove(written_to);
            return Err(error);
        }
        let (id, round) = (self.next_file, self.next_round);
        Ok(Current { id, path, file, bytes, round, begun: Instant::now() })
    }

    /// False when it was none of those that live.
    fn forget(&mut self, entry: u64) -> bool {
        let Some(file) = self.live.remove(&entry) else { return false };
        if let Some(live) = self.live_in.get_mut(&file) {
            *live -= 1;
            if *live == 0 {
                self.live_in.remove(&file);
            }
        }
        true
    }

    /// Gives back the files that hold nothing that lives, oldest first: a later one may say that what an older one holds is
    /// done.
    fn reclaim(&mut self) {
        let needed = self.live_in.first_key_value().map(|(file, _)| *file);
        while let Some(file) = self.files.pop_front_if(|file| needed.is_none_or(|needed| file.id < needed)) {
            let is_large = !self.has_spare && file.bytes > SMALL_BYTES;
            match is_large && std::fs::rename(&file.path, self.folder.join(SPARE)).is_ok() {
                true => self.has_spare = true,
                false => remove(&file.path),
            }
        }
        if needed.is_some() {
            return;
        }
        // These can only say of others that they are done.
        self.buffer.clear();
        self.begun.clear();
        self.settled.clear();
        if let Some(file) = &mut self.current
            && file.bytes > 0
        {
            file.round = self.next_round;
            self.next_round = self.next_round.wrapping_add(1);
            let emptied = match file.bytes {
                ..=SMALL_BYTES => file.file.set_len(0),
                _ => fs::write_at(&file.file, &[&frame::head(file.round)[..], &frame::END].concat(), 0),
            };
            match emptied {
                Ok(()) => file.bytes = 0,
                Err(_) => {
                    self.file_is_old();
                    self.reclaim();
                }
            }
        }
    }
}

fn no_room() -> io::Error {
    io::Error::other("as much as is allowed waits there already")
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
mod tests;
