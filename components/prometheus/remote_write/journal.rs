//! What was taken and is nowhere else yet: parts of requests, in a [journal](sdk_queue::Journal).
//!
//! A sample waits in memory for its request to fill (`batch_send_deadline`), and the request waits there for its endpoint,
//! until the queue writes it down. All that time its bytes stand here too, so `kill -9` costs nothing: after the next start
//! the requests are put together again from their parts.
//!
//! A draft is a request that is being filled, and keeps its number until it is settled.

mod found;
mod part;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt;
use sdk_queue::Writing;
use sdk_signals::{Delivery, Outcome};

pub(crate) use found::Found;
pub(crate) use part::PartOf;

/// The journal of one endpoint.
pub(crate) struct Journal {
    /// None without a disk, until there is one: nothing is kept then.
    files: OnceLock<sdk_queue::Journal>,
    state: Mutex<State>,
}

struct State {
    /// Drafts that were given to the queue, in order: it may write them down, or drop them.
    queued: VecDeque<(u64, Delivery)>,
    /// Drafts of an earlier run, and whether their request has been met in the queue.
    found: HashMap<u64, bool>,
}

// === impl Journal ===

impl Journal {
    /// Opens or creates it in a folder of its own, and reads what an earlier run has left. Blocking.
    pub(crate) fn open(folder: PathBuf, name: String) -> io::Result<(Journal, Vec<Found>)> {
        let journal = Journal::without_disk();
        let found = journal.find(folder, name)?;
        Ok((journal, found))
    }

    /// Where there is no disk, and the queue is in memory alone.
    pub(crate) fn without_disk() -> Journal {
        let state = State { queued: VecDeque::new(), found: HashMap::new() };
        Journal { files: OnceLock::new(), state: Mutex::new(state) }
    }

    /// As [`Journal::open`], for one that is without a disk as yet. What is taken from now on stands there. Blocking.
    pub(crate) fn find(&self, folder: PathBuf, name: String) -> io::Result<Vec<Found>> {
        let (files, found) = sdk_queue::Journal::open(folder, name)?;
        let (found, useless) = found::read(found);
        self.lock().found = found.iter().map(|found| (found.draft, false)).collect();
        self.files.set(files).map_err(|_| io::Error::other("it is open already"))?;
        useless.into_iter().for_each(|draft| self.done(draft));
        Ok(found)
    }

    /// Begins to write parts of drafts; none where there is no disk.
    pub(crate) fn write(&self) -> Option<Writing<'_>> {
        let mut writing = self.files.get()?.write();
        let queued = &mut self.lock().queued;
        while let Some((draft, delivery)) = queued.front_mut()
            && let Some(outcome) = delivery.now_or_never()
        {
            // If the kill comes before that is written: the queue has it, and it is met there.
            settle(&mut writing, *draft, outcome);
            queued.pop_front();
        }
        Some(writing)
    }

    /// The draft's request is in the queue; it is settled when this is.
    pub(crate) fn queued(&self, draft: u64, delivery: Delivery) {
        if self.files.get().is_some() {
            self.lock().queued.push_back((draft, delivery));
        }
    }

    /// The endpoint has taken or refused the draft's request. That is written with a part, which comes soon, or with the next
    /// draft that is done: a kill until then sends one request again.
    pub(crate) fn done(&self, draft: u64) {
        let Some(files) = self.files.get() else { return };
        let mut writing = files.write();
        if writing.done(draft) {
            writing.finish();
        }
    }

    /// Whether this request was met in the queue before: the queue had written it down, and the kill came before that was
    /// noted here.
    pub(crate) fn is_repeat(&self, draft: u64) -> bool {
        self.lock().found.get_mut(&draft).is_some_and(|met| std::mem::replace(met, true))
    }

    /// The queue is closed: what it has, or nobody needs any more, is given back.
    pub(crate) fn close(&self) {
        let Some(files) = self.files.get() else { return };
        let mut writing = files.write();
        for (draft, mut delivery) in std::mem::take(&mut self.lock().queued) {
            if let Some(outcome) = (&mut delivery).now_or_never() {
                settle(&mut writing, draft, outcome);
            }
        }
        drop(writing);
        files.close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was abandoned nobody has, but these files.
fn settle(writing: &mut Writing<'_>, draft: u64, outcome: Outcome) {
    if outcome != Outcome::Abandoned {
        writing.done(draft);
    }
}
