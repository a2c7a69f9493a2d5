//! The task that moves records between memory and disk. It alone holds the files; blocking calls run off the reactor.

use std::sync::Arc;
use std::time::Duration;

use base_sys::fs::Sync;
use base_sys::task::blocking;
use sdk_signals::Outcome;
use tokio::time::Instant;

use crate::config::{Overflow, Written};
use crate::disk::{Appended, Loaded, Position, Stop, Store};
use crate::queue::{Entry, Origin, Pending, Phase, Shared, State};
use crate::record::Record;

/// Records that wait to be written, in bytes; one is always allowed.
pub(crate) const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// How long a spilling queue gathers records for one write and sync. With [`Written::First`] it does not wait: while one
/// group is being synced, the next gathers by itself.
const GATHER: Duration = Duration::from_millis(50);
/// Enough for a write of its own.
const GATHERED_BYTES: usize = 1 << 20;
/// A failed disk is tried again this often.
const RETRY: Duration = Duration::from_secs(1);
/// The cursor is brought to the disk this often; between, the kernel has it, so only a power cut can repeat records.
const CURSOR_SYNC: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    store: Option<Store>,
    gathering_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// The segments are full and nothing may be dropped: wait for acknowledgements.
    full: bool,
    cursor_synced_at: Instant,
    /// The last failure was logged; say no more until it is over.
    told: bool,
}

enum Job {
    Write(Writing),
    Read(u64),
    SaveCursor(Option<Position>, u64),
    Wait(Option<Instant>),
    End,
}

/// All that is in memory alone, in order: first what can be sent already (and is, meanwhile), then the tail.
struct Writing {
    records: Vec<(Record, i64)>,
    /// Of the first ones of `records`, which stay where they are.
    numbers: Vec<u64>,
    /// The others.
    pending: Vec<Pending>,
}

/// What the front file must hold at a stop: all that waits, in order, up to the newest record that is nowhere else on the
/// disk. A record of the segments that stands between others is among them, so that the order is kept after a restart.
struct Front {
    records: Vec<(Record, i64)>,
    /// The first number behind all that.
    end: u64,
    /// How much of the segments is in it, or was acknowledged.
    up_to: Option<Position>,
}

// === impl Driver ===

impl Driver {
    pub fn new(shared: Arc<Shared>, store: Option<Store>) -> Self {
        Driver {
            shared,
            store,
            gathering_since: None,
            retry_at: None,
            full: false,
            cursor_synced_at: Instant::now(),
            told: false,
        }
    }

    pub async fn run(mut self) {
        loop {
            match self.next_job() {
                Job::Write(writing) => self.write(writing).await,
                Job::Read(bytes) => self.read(bytes).await,
                Job::SaveCursor(position, front_acked) => self.save_cursor(position, front_acked).await,
                Job::Wait(until) => {
                    let work = self.shared.work.notified();
                    match until {
                        Some(until) => drop(tokio::time::timeout_at(until, work).await),
                        None => work.await,
                    }
                }
                Job::End => return self.end().await,
            }
        }
    }

    fn next_job(&mut self) -> Job {
        let now = Instant::now();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let memory_bytes = shared.config.memory_bytes;
        if state.can_take_up()
            && let Some(came) = state.came.take()
        {
            self.store = Some(state.take_up(came));
            tracing::info!(queue = shared.config.name, "the queue has its disk now, which could not be used before");
            shared.readable.notify_waiters();
            shared.writable.notify_waiters();
        }
        if state.closing {
            return Job::End;
        }
        if state.cursor_dirty && self.store.is_some() {
            state.cursor_dirty = false;
            self.full = false;
            return Job::SaveCursor(state.position, state.front_acked);
        }
        if state.unread > 0 && state.ready_bytes <= memory_bytes / 2 {
            return Job::Read((memory_bytes - state.ready_bytes).max(1) as u64);
        }
        // Once it need not be spilled, it goes straight to the consumer: the endpoint has caught up. One that has to be written
        // first does this only while the disk fails.
        let retry_later = self.retry_at.is_some_and(|retry_at| now < retry_at) || self.store.is_none();
        let by_memory = shared.config.written != Written::First || (state.disk_failed && retry_later);
        if by_memory && state.unread == 0 && move_to_ready(&mut state, memory_bytes) {
            shared.readable.notify_waiters();
            shared.writable.notify_waiters();
        }
        if self.store.is_none() {
            return Job::Wait(None);
        }
        let Some(due) = self.due(&mut state, now) else { return Job::Wait(None) };
        let due = self.retry_at.map_or(due, |retry_at| due.max(retry_at));
        if now < due {
            return Job::Wait(Some(due));
        }
        if self.full && state.overflow(&shared.config) != Overflow::DropOldest {
            return Job::Wait(None);
        }
        self.gathering_since = None;
        Job::Write(Writing::take(&mut state))
    }

    /// When something is to be written down.
    fn due(&mut self, state: &mut State, now: Instant) -> Option<Instant> {
        let config = &self.shared.config;
        let patience = match config.written {
            _ if state.hurried => GATHER,
            Written::Within(patience) => patience,
            // It waits in memory for as long as the disk fails.
            Written::First => RETRY,
        };
        if state.unsaved_since.is_some_and(|since| now >= since + patience) {
            // Most of the time all that waited was acknowledged.
            state.unsaved_since = state.oldest_unsaved();
        }
        let unsaved = state.unsaved_since.map(|since| since + patience);
        if state.tail.is_empty() {
            self.gathering_since = None;
            return unsaved;
        }
        let tail = match config.written {
            Written::Within(_) if state.tail_bytes < GATHERED_BYTES => {
                *self.gathering_since.get_or_insert(now) + GATHER
            }
            _ => now,
        };
        Some(unsaved.map_or(tail, |unsaved| unsaved.min(tail)))
    }

    async fn write(&mut self, writing: Writing) {
        let Writing { records, numbers, mut pending } = writing;
        let drop_oldest = self.shared.lock().overflow(&self.shared.config) == Overflow::DropOldest;
        // What is written stays in memory, as long as it fits and nothing older is still to be read.
        let keep = {
            let state = self.shared.lock();
            let room = self.shared.config.memory_bytes.saturating_sub(state.ready_bytes);
            let of_tail = if state.unread == 0 { how_many_fit(&records[numbers.len()..], room) } else { 0 };
            numbers.len() + of_tail
        };
        let Some(Appended { ends, stopped_by }) =
            self.with_store(move |store| store.append(&records, keep, drop_oldest)).await
        else {
            return self.go_on_without_disk(pending);
        };

        let failed = matches!(stopped_by, Some(Stop::Failed(_)));
        self.full = matches!(stopped_by, Some(Stop::Full));
        self.tell(match &stopped_by {
            Some(Stop::Failed(error)) => Some(error),
            _ => None,
        });

        let rest = pending.split_off(ends.len().saturating_sub(numbers.len()));
        let mut settles = Vec::with_capacity(ends.len());
        let mut committed = Vec::new();
        {
            let mut state = self.shared.lock();
            (state.writing, state.writing_bytes) = (0, 0);
            state.disk_failed = failed;
            let mut ends = ends.into_iter();
            for (&number, end) in numbers.iter().zip(&mut ends) {
                match state.entry(number) {
                    Some(entry) => {
                        entry.origin = Origin::Disk(end);
                        settles.extend(entry.settle.take());
                    }
                    // Acknowledged meanwhile, like all that is older.
                    None => {
                        state.position = state.position.max(Some(end));
                        state.cursor_dirty = true;
                    }
                }
            }
            for (index, (written, end)) in (numbers.len()..).zip(pending.into_iter().zip(ends)) {
                if index < keep {
                    state.make_ready(written.record, written.taken_at_ms, None, Origin::Disk(end));
                }
                settles.push(written.settle);
                committed.extend(written.committed);
            }
            for mut unwritten in rest.into_iter().rev() {
                if failed {
                    // Kept in memory only: the pusher need not wait for a broken disk, the settle handle does.
                    committed.extend(unwritten.committed.take());
                }
                state.tail_bytes += unwritten.record.size();
                state.tail.push_front(unwritten);
            }
            state.unsaved_since = state.oldest_unsaved();
            self.mirror_unread(&mut state);
        }
        for committed in committed {
            let _ = committed.send(());
        }
        for settle in settles {
            settle.settle(Outcome::Delivered);
        }
        self.shared.readable.notify_waiters();
        self.shared.writable.notify_waiters();
    }

    /// The files are gone with a panic (which was reported): what is on the disk is sent after the next start.
    fn go_on_without_disk(&self, pending: Vec<Pending>) {
        let mut state = self.shared.lock();
        (state.writing, state.writing_bytes, state.unread, state.unread_bytes) = (0, 0, 0, 0);
        state.disk_failed = true;
        for mut unwritten in pending.into_iter().rev() {
            if let Some(committed) = unwritten.committed.take() {
                let _ = committed.send(());
            }
            state.tail_bytes += unwritten.record.size();
            state.tail.push_front(unwritten);
        }
    }

    async fn read(&mut self, bytes: u64) {
        let Some(loaded) = self.with_store(move |store| store.read(bytes)).await else {
            return self.go_on_without_disk(Vec::new());
        };
        let mut state = self.shared.lock();
        for Loaded { record, taken_at_ms, end } in loaded {
            state.make_ready(record, taken_at_ms, None, Origin::Disk(end));
        }
        self.mirror_unread(&mut state);
        let from_disk = |state: &State| state.ready.iter().any(|entry| matches!(entry.origin, Origin::Disk(_)));
        if !from_disk(&state)
            && let Some(store) = &self.store
        {
            // All of it was damaged: nobody will acknowledge it, so it is passed here.
            state.position = state.position.max(Some(store.read_to()));
            state.cursor_dirty = true;
        }
        drop(state);
        self.shared.readable.notify_waiters();
    }

    /// Tells once that the disk fails, and once that it works again.
    fn tell(&mut self, failure: Option<&std::io::Error>) {
        let queue = &self.shared.config.name;
        match failure {
            Some(error) => {
                self.retry_at = Some(Instant::now() + RETRY);
                if !std::mem::replace(&mut self.told, true) {
                    tracing::error!(queue, %error, "cannot write the queue to the disk; keeping what comes in memory until it works again");
                }
            }
            None => {
                self.retry_at = None;
                if std::mem::replace(&mut self.told, false) {
                    tracing::info!(queue, "the queue can be written to the disk again");
                }
            }
        }
    }

    async fn save_cursor(&mut self, position: Option<Position>, front_acked: u64) {
        let now = Instant::now();
        let sync = if now >= self.cursor_synced_at + CURSOR_SYNC { Sync::Disk } else { Sync::Kernel };
        if sync == Sync::Disk {
            self.cursor_synced_at = now;
        }
        let saved = self.with_store(move |store| store.acknowledge(position, front_acked, sync)).await;
        if let Some(Err(error)) = saved {
            // Nothing is lost by it: after a crash, more is repeated. The next acknowledgement tries again.
            self.shared.counters.disk_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tracing::debug!(queue = self.shared.config.name, %error, "cannot save the queue's cursor");
        }
        self.shared.writable.notify_waiters();
    }

    /// Writes down all that is only in memory: the older part before the segments, the newer part behind them.
    async fn end(mut self) {
        if self.store.is_none() {
            return; // a queue without a disk has nothing to write to
        }
        let (front, position, front_acked) = {
            let state = self.shared.lock();
            (front(&state), state.position, state.front_acked)
        };
        let (end, first) = (front.as_ref().map_or(0, |front| front.end), self.shared.lock().first);
        let written = self
            .with_store(move |store| {
                store.acknowledge(position, front_acked, Sync::Kernel)?;
                match front {
                    None => store.remove_front(),
                    Some(front) => store.write_front(&front.records, front.up_to)?,
                }
                store.sync()
            })
            .await;
        match written {
            Some(Ok(())) => {
                let mut settles = Vec::new();
                let mut state = self.shared.lock();
                for (entry, _) in state.ready.iter_mut().zip(first..end) {
                    if entry.phase != Phase::Done {
                        entry.origin = Origin::Front;
                        settles.extend(entry.settle.take());
                    }
                }
                drop(state);
                for settle in settles {
                    settle.settle(Outcome::Delivered);
                }
            }
            Some(Err(error)) => {
                tracing::error!(queue = self.shared.config.name, %error, "cannot write the queue to the disk at the stop");
            }
            None => return,
        }
        let writing = Writing::take(&mut self.shared.lock());
        if !writing.records.is_empty() {
            self.write(writing).await;
        }
    }

    fn mirror_unread(&self, state: &mut State) {
        let unread = self.store.as_ref().map(Store::unread).unwrap_or_default();
        (state.unread, state.unread_bytes) = (unread.records, unread.bytes);
    }

    /// Runs a blocking call on the files. After a panic in one the queue goes on in memory.
    async fn with_store<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Option<T> {
        let mut store = self.store.take()?;
        let done = blocking("queue", move || {
            let result = call(&mut store);
            (store, result)
        });
        let (store, result) = done.await.returned()?;
        self.store = Some(store);
        Some(result)
    }
}

// === impl Writing ===

impl Writing {
    /// What is behind `ready` is the driver's now.
    fn take(state: &mut State) -> Writing {
        let mut writing = Writing { records: Vec::new(), numbers: Vec::new(), pending: state.tail.drain(..).collect() };
        for (entry, number) in state.ready.iter().zip(state.first..).filter(|(entry, _)| entry.is_in_memory_alone()) {
            writing.records.push((entry.record.clone(), entry.taken_at_ms));
            writing.numbers.push(number);
        }
        // Nothing joins `ready` while something is to be read, so what is in memory alone is newer than all on the disk.
        debug_assert!(writing.numbers.is_empty() || state.unread == 0);
        writing.records.extend(writing.pending.iter().map(|pending| (pending.record.clone(), pending.taken_at_ms)));
        state.writing = writing.pending.len() as u64;
        state.writing_bytes = std::mem::take(&mut state.tail_bytes);
        writing
    }
}

/// What the front file must hold, if there is anything that is nowhere else.
fn front(state: &State) -> Option<Front> {
    let only_here = |entry: &Entry| entry.phase != Phase::Done && !matches!(entry.origin, Origin::Disk(_));
    let count = state.ready.iter().rposition(only_here)? + 1;
    let mut front = Front { records: Vec::new(), end: state.first + count as u64, up_to: None };
    for entry in state.ready.iter().take(count) {
        if let Origin::Disk(position) = entry.origin {
            front.up_to = front.up_to.max(Some(position));
        }
        if entry.phase != Phase::Done {
            front.records.push((entry.record.clone(), entry.taken_at_ms));
        }
    }
    Some(front)
}

/// Moves from the tail what there is room for; true when something moved.
fn move_to_ready(state: &mut State, memory_bytes: usize) -> bool {
    let mut moved = false;
    while let Some(first) = state.tail.front()
        && state.has_ready_room(first.record.size(), memory_bytes)
        && let Some(pending) = state.tail.pop_front()
    {
        state.tail_bytes -= pending.record.size();
        state.make_ready(pending.record, pending.taken_at_ms, Some(pending.settle), Origin::Memory);
        if let Some(committed) = pending.committed {
            let _ = committed.send(());
        }
        moved = true;
    }
    moved
}

fn how_many_fit(records: &[(Record, i64)], mut room: usize) -> usize {
    for (index, (record, _)) in records.iter().enumerate() {
        match room.checked_sub(record.size()) {
            Some(less) => room = less,
            None => return index,
        }
    }
    records.len()
}
