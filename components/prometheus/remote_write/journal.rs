//! What was taken and is nowhere else yet: files to which each batch is appended before it counts as taken.
//!
//! A sample waits in memory for its request to fill (`batch_send_deadline`), and the request waits there for its endpoint,
//! until the queue writes it down. All that time its bytes stand here too, so `kill -9` costs nothing: after the next start
//! the requests are put together again from their parts. The files are for the kernel alone, which has them as soon as a
//! write returns: nothing waits for the disk. What is acknowledged is forgotten at once, and in quiet times that empties the
//! file before the kernel has brought any of it to the disk.
//!
//! ```text
//! file:  magic 8 │ round u32 │ entry … │ 0 u32
//! entry: length of what follows the CRC, u32 │ CRC-32 of that, begun with the round, u32 │ kind u8 │ draft u64 │ a part, or nothing
//! ```
//!
//! Under load a file is not given back and made anew, but written from its start in another round: most of what a write costs
//! the kernel is room for it. What is left of earlier rounds behind the end has another CRC, and is not read.
//!
//! A draft is a request that is being filled, and keeps its number until it is settled.

mod entry;
mod found;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::fs;
use futures_util::FutureExt;
use sdk_signals::{Delivery, Outcome};
use tokio::time::Instant;

pub(crate) use entry::PartOf;
pub(crate) use found::Found;

/// A file is followed by the next one when it has grown to this, or is this old: what is settled can be given back.
const FILE_BYTES: u64 = 4 << 20;
const FILE_AGE: Duration = Duration::from_secs(10);
/// A file that is smaller when nothing in it is needed any more is emptied: a collector with little to do keeps none.
const SMALL_BYTES: u64 = 256 << 10;
/// A file that waits to be used again.
const SPARE: &str = "spare";
/// Room for entries that is kept from one batch to the next.
const KEPT_BYTES: usize = 1 << 20;

/// The journal of one endpoint.
pub(crate) struct Journal {
    state: Mutex<State>,
}

struct State {
    /// In logs.
    name: String,
    folder: PathBuf,
    /// Files that are not written to any more, oldest first.
    files: VecDeque<(u64, PathBuf)>,
    current: Option<Current>,
    next_file: u64,
    next_round: u32,
    /// There is a file to be used again.
    has_spare: bool,
    next_draft: u64,
    /// Drafts that are not settled, with the first file that holds a part of each.
    live: HashMap<u64, u64>,
    /// Drafts that were given to the queue, in order: it may write them down, or drop them.
    queued: VecDeque<(u64, Delivery)>,
    /// Drafts of an earlier run, and whether their request has been met in the queue.
    found: HashMap<u64, bool>,
    /// Entries that go with the next write.
    buffer: Vec<u8>,
    /// One of them says that a draft is done.
    holds_done: bool,
    /// The disk does not take what we write, which was told.
    failing: bool,
}

struct Current {
    id: u64,
    path: PathBuf,
    file: File,
    /// Up to where it was written in this round.
    bytes: u64,
    round: u32,
    begun: Instant,
}

/// Parts that are gathered for one write. Dropped before [`Writing::finish`], they go with the next one.
pub(crate) struct Writing<'a>(MutexGuard<'a, State>);

// === impl Journal ===

impl Journal {
    /// Opens or creates it in a folder of its own, and reads what an earlier run has left. Blocking.
    pub(crate) fn open(folder: PathBuf, name: String) -> io::Result<(Journal, Vec<Found>)> {
        fs::create_dir_private(&folder)?;
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            files.extend(id_of(&path).map(|id| (id, path)));
        }
        files.sort_unstable();
        let next_file = files.last().map_or(0, |(id, _)| id + 1);
        let found = found::read(&name, &files);
        // It may hold what is long settled.
        remove(&folder.join(SPARE));
        let mut state = State {
            name,
            folder,
            files: files.into(),
            current: None,
            next_file,
            // Not one that a file has from an earlier run.
            next_round: RandomState::new().hash_one(next_file) as u32,
            has_spare: false,
            // Not one that a request in the queue has from an earlier run.
            next_draft: RandomState::new().hash_one(next_file) >> 32 << 32 | 1,
            live: found.iter().map(|found| (found.draft, found.first_file)).collect(),
            queued: VecDeque::new(),
            found: found.iter().map(|found| (found.draft, false)).collect(),
            buffer: Vec::new(),
            holds_done: false,
            failing: false,
        };
        state.reclaim();
        Ok((Journal { state: Mutex::new(state) }, found))
    }

    /// Begins to write parts.
    pub(crate) fn write(&self) -> Writing<'_> {
        let mut state = self.lock();
        state.forget_what_is_settled();
        Writing(state)
    }

    /// The draft's request is in the queue; it is settled when this is.
    pub(crate) fn queued(&self, draft: u64, delivery: Delivery) {
        self.lock().queued.push_back((draft, delivery));
    }

    /// The endpoint has taken or refused the draft's request.
    pub(crate) fn done(&self, draft: u64) {
        self.lock().forget(draft);
    }

    /// Whether this request was met in the queue before: the queue had written it down, and the kill came before that was
    /// noted here.
    pub(crate) fn is_repeat(&self, draft: u64) -> bool {
        self.lock().found.get_mut(&draft).is_some_and(|met| std::mem::replace(met, true))
    }

    /// The queue is closed: what it has, or nobody needs any more, is given back.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.write();
        for (draft, mut delivery) in std::mem::take(&mut state.queued) {
            if matches!((&mut delivery).now_or_never(), Some(Outcome::Delivered | Outcome::Dropped)) {
                state.live.remove(&draft);
            }
        }
        state.files_are_old();
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
    /// A number for a request that begins to fill.
    pub(crate) fn new_draft(&mut self) -> u64 {
        self.0.next_draft += 1;
        self.0.next_draft
    }

    /// One part more.
    pub(crate) fn part(&mut self, draft: u64, part: &PartOf<'_>) {
        let first_file = self.0.file_to_write();
        let round = self.0.round();
        entry::push_part(&mut self.0.buffer, round, draft, part);
        self.0.live.entry(draft).or_insert(first_file);
    }

    /// Writes them. A disk that does not take them is told once; the samples are in memory as before.
    pub(crate) fn finish(mut self) {
        self.0.write();
    }
}

// === impl State ===

impl State {
    /// The id of the file that the next write goes to.
    fn file_to_write(&mut self) -> u64 {
        let is_over = |file: &Current| file.bytes >= FILE_BYTES || (file.bytes > 0 && file.begun.elapsed() >= FILE_AGE);
        // What is in the buffer was promised to the file at hand.
        if self.buffer.is_empty() && self.current.as_ref().is_some_and(is_over) {
            self.files_are_old();
        }
        self.current.as_ref().map_or(self.next_file, |file| file.id)
    }

    /// That of the next entry.
    fn round(&self) -> u32 {
        self.current.as_ref().map_or(self.next_round, |file| file.round)
    }

    fn files_are_old(&mut self) {
        if let Some(file) = self.current.take() {
            self.files.push_back((file.id, file.path));
        }
    }

    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let written = self.try_write();
        self.holds_done = false;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        match written {
            Ok(()) if self.failing => {
                tracing::info!(endpoint = self.name, "what is taken can be written down again");
                self.failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let endpoint = &self.name;
                    tracing::error!(endpoint, %error, "cannot write down what is taken; until this works again, a kill loses what is in memory");
                }
            }
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        let is_first = self.current.as_ref().is_none_or(|file| file.bytes == 0);
        if is_first {
            let round = self.round();
            self.buffer.splice(..0, entry::head(round));
        }
        let length = self.buffer.len() as u64;
        self.buffer.extend_from_slice(&entry::END);
        let Some(file) = &mut self.current else {
            self.current = Some(self.first_write()?);
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
        // Half an entry must not stand before the next one.
        if file.file.set_len(file.bytes).is_err() {
            self.files_are_old();
        }
        written
    }

    /// A file with what is in the buffer.
    fn first_write(&mut self) -> io::Result<Current> {
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
        let bytes = (self.buffer.len() - entry::END.len()) as u64;
        Ok(Current { id: self.next_file, path, file, bytes, round: self.next_round, begun: Instant::now() })
    }

    fn forget(&mut self, draft: u64) {
        if self.live.remove(&draft).is_none() {
            return;
        }
        if !self.live.is_empty() {
            // Emptying the files says the same of all drafts; as long as others live, this one has to be named. That may wait
            // for a part, which comes soon, or for the next draft: a kill until then sends one request again.
            self.file_to_write();
            let round = self.round();
            entry::push_done(&mut self.buffer, round, draft);
            if std::mem::replace(&mut self.holds_done, true) {
                self.write();
            }
        }
        self.reclaim();
    }

    fn forget_what_is_settled(&mut self) {
        while let Some((draft, delivery)) = self.queued.front_mut() {
            let draft = *draft;
            match self.live.contains_key(&draft).then(|| delivery.now_or_never()) {
                Some(None) => return,
                // Nobody has it, but these files.
                Some(Some(Outcome::Abandoned)) | None => drop(self.queued.pop_front()),
                Some(Some(Outcome::Delivered | Outcome::Dropped)) => {
                    self.queued.pop_front();
                    self.forget(draft);
                }
            }
        }
    }

    /// Gives back the files that hold nothing that lives, oldest first: a later one may say that what an older one holds is
    /// done.
    fn reclaim(&mut self) {
        let needed = self.live.values().min().copied();
        while let Some((id, path)) = self.files.front()
            && needed.is_none_or(|needed| *id < needed)
        {
            let is_large = !self.has_spare && std::fs::metadata(path).is_ok_and(|file| file.len() > SMALL_BYTES);
            match is_large && std::fs::rename(path, self.folder.join(SPARE)).is_ok() {
                true => self.has_spare = true,
                false => remove(path),
            }
            self.files.pop_front();
        }
        if needed.is_some() {
            return;
        }
        // It can only say of drafts that they are done.
        self.buffer.clear();
        self.holds_done = false;
        if let Some(file) = &mut self.current
            && file.bytes > 0
        {
            file.round = self.next_round;
            self.next_round = self.next_round.wrapping_add(1);
            let emptied = match file.bytes {
                ..=SMALL_BYTES => file.file.set_len(0),
                _ => write_at(&file.file, &[&entry::head(file.round)[..], &entry::END].concat(), 0),
            };
            match emptied {
                Ok(()) => file.bytes = 0,
                Err(_) => self.files_are_old(),
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
    use sdk_protocols_remote_write::{Part, Version};

    use super::*;

    /// The drafts that a start would find now.
    fn found(folder: &Path) -> Vec<u64> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((id_of(&path)?, path))).collect();
        files.sort_unstable();
        found::read("e", &files).iter().map(|found| found.draft).collect()
    }

    #[test]
    fn a_file_that_is_used_again_holds_what_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path().to_owned(), "e".to_owned()).unwrap();
        let mut writes = 0;
        let mut take = |bytes: usize| {
            writes += 1;
            // Fields of two bytes, as a request has them.
            let bytes = [0x0a, 2, writes, writes].repeat(bytes / 4);
            let mut writing = journal.write();
            let draft = writing.new_draft();
            let part = Part { bytes: &bytes, compressed_from: None };
            let counts = Default::default();
            writing
                .part(draft, &PartOf { index: 0, version: Version::V1, items: 1, counts, highest_timestamp: 0, part });
            writing.finish();
            draft
        };
        for round in 0..3 {
            // Written from its start again and again, with more and with less.
            for bytes in [300 << 10, 1000, 400 << 10, 70_000] {
                let draft = take(bytes);
                assert_eq!(found(folder.path()), [draft], "{round}");
                journal.done(draft);
                assert_eq!(found(folder.path()), [0u64; 0], "{round}");
            }
            // And one file after the other, while an old draft lives.
            let old = take(10);
            for _ in 0..12 {
                let draft = take(900 << 10);
                assert_eq!(found(folder.path()), [old, draft], "{round}");
                // This is written with the next one.
                journal.done(draft);
            }
            journal.done(old);
        }
        assert!(folder.path().join(SPARE).exists(), "nothing was used again");
        journal.close();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
