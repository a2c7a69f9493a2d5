//! The task that moves records between memory and disk. It alone holds the files; blocking calls run off the reactor.

use std::sync::Arc;
use std::time::Duration;

use base_sys::fs::Sync;
use base_sys::task::blocking;
use sdk_signals::Outcome;
use tokio::time::Instant;

use crate::config::Overflow;
use crate::disk::{Loaded, Position, Stop, Store};
use crate::queue::{Entry, Origin, Pending, Phase, Shared, State};
use crate::record::Record;

/// Records that wait to be written, in bytes; one is always allowed.
pub(crate) const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// How long a spilling queue gathers records for one write and sync. A durable queue does not wait: while one group is
/// being synced, the next gathers by itself.
const GATHER: Duration = Duration::from_millis(50);
/// A record that has waited this long in memory alone is written down: its endpoint is slow or down, and its source may
/// have no other copy.
const MAX_UNSAVED: Duration = Duration::from_secs(2);
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
    Write(Vec<Pending>),
    Read(u64),
    SaveCursor(Option<Position>, u64),
    /// What is in memory alone (or in the front file), and all that is older.
    WriteFront(Front),
    Wait(Option<Instant>),
    End,
}

/// What is to be in the front file: all that waits, in order, up to the newest record that is nowhere else on the disk. A
/// record of the segments that stands between others is among them, so that the order is kept after a restart.
struct Front {
    records: Vec<(Record, i64)>,
    /// Of `records`.
    numbers: Vec<u64>,
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
                Job::Write(pending) => self.write(pending).await,
                Job::Read(bytes) => self.read(bytes).await,
                Job::SaveCursor(position, front_acked) => self.save_cursor(position, front_acked).await,
                Job::WriteFront(front) => self.write_front(front).await,
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
        // Once it need not be spilled, it goes straight to the consumer: the endpoint has caught up. A durable queue does
        // this only while its disk fails.
        let retry_later = self.retry_at.is_some_and(|retry_at| now < retry_at) || self.store.is_none();
        let by_memory = !shared.config.durable || (state.disk_failed && retry_later);
        if by_memory && state.unread == 0 && move_to_ready(&mut state, memory_bytes) {
            shared.readable.notify_waiters();
            shared.writable.notify_waiters();
        }

        let max_unsaved = max_unsaved(&state);
        let unsaved_until = state.unsaved_since.filter(|_| self.store.is_some()).map(|since| since + max_unsaved);
        if unsaved_until.is_some_and(|until| now >= until) && !retry_later {
            if let Some(job) = write_front(&mut state, now) {
                return job;
            }
            return Job::Wait(Some(state.unsaved_since.map_or(now, |since| since + max_unsaved)));
        }
        if state.tail.is_empty() || self.store.is_none() {
            self.gathering_since = None;
            let retry_at = self.retry_at.filter(|_| retry_later);
            return Job::Wait(unsaved_until.map(|until| retry_at.map_or(until, |retry_at| until.max(retry_at))));
        }
        if let Some(retry_at) = self.retry_at
            && now < retry_at
        {
            return Job::Wait(Some(retry_at));
        }
        if self.full && state.overflow(&shared.config) != Overflow::DropOldest {
            return Job::Wait(None);
        }
        if !shared.config.durable && state.tail_bytes < GATHERED_BYTES {
            let since = *self.gathering_since.get_or_insert(now);
            if now < since + GATHER {
                return Job::Wait(Some(since + GATHER));
            }
        }
        // What is on the disk is older than what is not: so a crash that takes the memory leaves no gap before it.
        let in_memory_alone = |entry: &Entry| entry.phase != Phase::Done && entry.origin == Origin::Memory;
        if !retry_later
            && state.ready.iter().any(in_memory_alone)
            && let Some(front) = front(&state)
        {
            state.unsaved_since = None;
            return Job::WriteFront(front);
        }
        self.gathering_since = None;
        let pending: Vec<_> = state.tail.drain(..).collect();
        state.writing = pending.len() as u64;
        state.writing_bytes = std::mem::take(&mut state.tail_bytes);
        Job::Write(pending)
    }

    async fn write(&mut self, mut pending: Vec<Pending>) {
        let drop_oldest = self.shared.lock().overflow(&self.shared.config) == Overflow::DropOldest;
        let records: Vec<_> = pending.iter().map(|pending| (pending.record.clone(), pending.taken_at_ms)).collect();
        // A durable queue keeps in memory what it wrote, as long as it fits and nothing older is still to be read.
        let keep = {
            let state = self.shared.lock();
            let room = self.shared.config.memory_bytes.saturating_sub(state.ready_bytes);
            if state.unread == 0 { how_many_fit(&records, room) } else { 0 }
        };
        let Some((ends, stopped_by)) = self
            .with_store(move |store| {
                let appended = store.append(&records, drop_oldest);
                let kept = keep.min(appended.ends.len());
                if kept > 0 {
                    let kept_records: Vec<_> = records[..kept].iter().map(|(record, _)| record.clone()).collect();
                    store.mark_read(&kept_records, appended.ends[kept - 1]);
                }
                (appended.ends, appended.stopped_by)
            })
            .await
        else {
            return self.go_on_without_disk(pending);
        };

        let failed = matches!(stopped_by, Some(Stop::Failed(_)));
        self.full = matches!(stopped_by, Some(Stop::Full));
        self.tell(match &stopped_by {
            Some(Stop::Failed(error)) => Some(error),
            _ => None,
        });

        let rest = pending.split_off(ends.len());
        let mut settles = Vec::with_capacity(pending.len());
        let mut committed = Vec::new();
        {
            let mut state = self.shared.lock();
            (state.writing, state.writing_bytes) = (0, 0);
            state.disk_failed = failed;
            for (index, (written, end)) in pending.into_iter().zip(ends).enumerate() {
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

    /// Writes down what has waited for long; its sources need not keep it any longer.
    async fn write_front(&mut self, front: Front) {
        let Front { records, numbers, end, up_to } = front;
        let written = self.with_store(move |store| store.write_front(&records, up_to)).await;
        let Some(written) = written else { return self.go_on_without_disk(Vec::new()) };
        self.tell(written.as_ref().err());
        let mut settles = Vec::new();
        {
            let mut state = self.shared.lock();
            state.disk_failed = written.is_err();
            if written.is_ok() {
                // Those that were acknowledged meanwhile stand at the start of the new file.
                let first = state.first;
                state.front_acked = numbers.iter().filter(|&&number| number < first).count() as u64;
                let mut written = numbers.iter().peekable();
                for number in first..end {
                    while written.next_if(|&&other| other < number).is_some() {}
                    let is_written = written.next_if_eq(&&number).is_some();
                    let Some(entry) = state.entry(number) else { break };
                    // Those that were done before are not in the new file: the cursor must not count them there.
                    entry.origin = if is_written { Origin::Front } else { Origin::Memory };
                    if is_written {
                        settles.extend(entry.settle.take());
                    }
                }
                state.position = state.position.max(up_to);
                state.cursor_dirty |= state.front_acked > 0;
            } else {
                state.unsaved_since.get_or_insert(Instant::now());
            }
        }
        for settle in settles {
            settle.settle(Outcome::Delivered);
        }
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
        let tail: Vec<_> = {
            let mut state = self.shared.lock();
            state.writing = state.tail.len() as u64;
            state.writing_bytes = std::mem::take(&mut state.tail_bytes);
            state.tail.drain(..).collect()
        };
        if !tail.is_empty() {
            self.write(tail).await;
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

fn max_unsaved(state: &State) -> Duration {
    if state.hurried { GATHER } else { MAX_UNSAVED }
}

/// The front file, when something has waited for long in memory alone.
fn write_front(state: &mut State, now: Instant) -> Option<Job> {
    state.unsaved_since = None;
    let unsaved = state.ready.iter().filter(|entry| entry.phase != Phase::Done && entry.origin == Origin::Memory);
    let oldest = unsaved.map(|entry| entry.since).min()?;
    if now < oldest + max_unsaved(state) {
        state.unsaved_since = Some(oldest);
        return None;
    }
    front(state).map(Job::WriteFront)
}

/// What the front file must hold, if there is anything that is nowhere else.
fn front(state: &State) -> Option<Front> {
    let only_here = |entry: &Entry| entry.phase != Phase::Done && !matches!(entry.origin, Origin::Disk(_));
    let count = state.ready.iter().rposition(only_here)? + 1;
    let mut front = Front { records: Vec::new(), numbers: Vec::new(), end: state.first + count as u64, up_to: None };
    for (entry, number) in state.ready.iter().take(count).zip(state.first..) {
        if let Origin::Disk(position) = entry.origin {
            front.up_to = front.up_to.max(Some(position));
        }
        if entry.phase != Phase::Done {
            front.records.push((entry.record.clone(), entry.taken_at_ms));
            front.numbers.push(number);
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
