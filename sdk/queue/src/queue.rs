//! The queue itself: who may push, who may take, and what is where.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::clock;
use base_sys::seldom::Seldom;
use base_sys::task::{Scope, Task};
use sdk_signals::{Outcome, Settle};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::config::{Config, Disk, Overflow, Written};
use crate::counters::Counters;
use crate::disk::{Position, Store};
use crate::driver::{Driver, WRITE_BUFFER_BYTES};
use crate::record::Record;

/// A queue of records towards one endpoint. Clones are the same queue.
///
/// Dropping the last clone without [`Queue::close`] forgets what is only in memory, as a crash would; its settle handles
/// are dropped unsettled.
#[derive(Debug)]
pub struct Queue {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    driver: Mutex<Option<Task<()>>>,
    scope: Scope,
}

/// A record on its way to the endpoint. Dropped without [`Lease::ack`] or [`Lease::refuse`], it is the next to be leased
/// again.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    number: u64,
    record: Record,
    taken_at_ms: i64,
}

/// What became of a record that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the queue.
    Queued,
    /// The queue is full, and its policy is [`Overflow::DropNewest`]. Counted and settled.
    Dropped,
}

/// The queue was closed; this record was not taken.
pub struct Closed(pub Record, pub Settle);

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the queue directory {dir}: {error}")]
pub struct OpenError {
    /// The directory.
    pub dir: PathBuf,
    /// What the operating system said.
    pub error: io::Error,
}

/// What a closed queue left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Records on the disk, to be sent after the next start.
    pub saved: u64,
    /// Records that are gone with the memory; their settle handles were dropped unsettled.
    pub lost: u64,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records in memory and on the disk.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The part of `bytes` that is in memory.
    pub memory_bytes: u64,
    /// The age of the record that is next, in milliseconds; 0 when empty. On the disk the age is known once read.
    pub oldest_age_ms: u64,
    /// The disk cannot be written to: what comes is kept in memory only.
    pub disk_failed: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    /// The disk that it could not have when it was opened.
    without: Option<Without>,
    pub counters: Arc<Counters>,
    state: Mutex<State>,
    /// The driver has something to do.
    pub work: Notify,
    /// Somebody may find a record to lease.
    pub readable: Notify,
    /// Somebody may find room to push.
    pub writable: Notify,
}

/// A directory that cannot be used: so there is room for little.
#[derive(Debug)]
struct Without {
    dir: PathBuf,
    told: Seldom,
}

/// A directory that could not be used is tried again this often.
const REOPEN: Duration = Duration::from_secs(5);

/// What made room, or found none.
#[derive(Default)]
struct Dropped {
    settles: Vec<Settle>,
    items: u64,
}

/// Everything that changes. Locked for moments; never across an await or a call of the disk.
#[derive(Debug)]
pub(crate) struct State {
    pub ready: VecDeque<Entry>,
    /// The number of `ready[0]`.
    pub first: u64,
    /// Nothing before this number waits to be leased.
    pub next: u64,
    pub ready_bytes: usize,
    pub tail: VecDeque<Pending>,
    pub tail_bytes: usize,
    /// Taken from `tail` by the driver and not yet on the disk: newer than `unread`, older than `tail`.
    pub writing: u64,
    pub writing_bytes: usize,
    pub unread: u64,
    pub unread_bytes: u64,
    pub position: Option<Position>,
    pub front_acked: u64,
    pub cursor_dirty: bool,
    pub disk_failed: bool,
    /// When a record was acknowledged or refused last.
    pub progress_at: Instant,
    /// The endpoint takes nothing, and is not waited for ([`Overflow::WaitForTheLiving`]).
    pub given_up: bool,
    /// Since when records are in memory alone, or were until they were acknowledged.
    pub unsaved_since: Option<Instant>,
    /// It has files: a queue that was opened without a disk gets them later.
    pub has_disk: bool,
    /// They can be had since a moment ago, and the driver takes them up.
    pub came: Option<Came>,
    /// Nothing shall be in memory alone any more ([`Queue::save_at_once`]).
    pub hurried: bool,
    /// No more leases ([`Queue::finish_leases`]).
    pub held: bool,
    pub closing: bool,
}

/// Files that can be used, though they could not when the queue was opened, and the records of their front file.
#[derive(Debug)]
pub(crate) struct Came {
    pub store: Store,
    pub front: Vec<(Record, i64)>,
}

/// The disk of a queue that was opened without one, once it can be used. Nobody else can have it meanwhile.
#[derive(Debug)]
pub struct FoundDisk {
    shared: Arc<Shared>,
    came: Came,
}

/// A record that can be sent.
#[derive(Debug)]
pub(crate) struct Entry {
    pub record: Record,
    pub taken_at_ms: i64,
    /// In memory.
    pub since: Instant,
    /// Present until told; a record on the disk has told already.
    pub settle: Option<Settle>,
    pub origin: Origin,
    pub phase: Phase,
}

/// Where else a ready record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Memory,
    /// In a segment, ending here.
    Disk(Position),
    /// In the front file.
    Front,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Leased,
    Done,
}

/// A record that was pushed and waits for the driver.
#[derive(Debug)]
pub(crate) struct Pending {
    pub record: Record,
    pub taken_at_ms: i64,
    pub settle: Settle,
    /// Told when it is on the disk, where that is what the pusher waits for.
    pub committed: Option<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the queue is closed")
    }
}

// === impl Queue ===

impl Clone for Queue {
    fn clone(&self) -> Self {
        Queue { handle: self.handle.clone() }
    }
}

impl Queue {
    /// Opens a queue that need not survive a crash: in memory alone where its directory cannot be used, which is said, and until
    /// it can be.
    pub async fn open_anyhow(config: Config) -> Queue {
        match Queue::open(config.clone()).await {
            Ok(queue) => queue,
            Err(error) => {
                let queue = Queue::open_without_disk(config, &error).await;
                let shared = queue.handle.shared.clone();
                queue.handle.scope.spawn("queue disk", async move { find_disk(&shared).await.take_up() });
                queue
            }
        }
    }

    /// Opens a queue in memory alone, and says why. It stays there until somebody asks for [its disk](Queue::find_disk).
    pub async fn open_without_disk(config: Config, error: &OpenError) -> Queue {
        let queue = &config.name;
        tracing::error!(queue, %error, "sending without a disk: what cannot be sent before the end of the process is lost");
        let without = Without { dir: error.dir.clone(), told: Seldom::default() };
        // Without a disk there is nothing that can fail.
        Queue::start(config, Some(without)).await.expect("a queue in memory opens")
    }

    /// Waits until the directory of a queue that was opened without a disk can be used.
    pub async fn find_disk(&self) -> FoundDisk {
        find_disk(&self.handle.shared).await
    }

    /// How it is called in logs.
    pub fn name(&self) -> &str {
        &self.handle.shared.config.name
    }

    /// It was opened without the disk that it is to have.
    pub fn is_without_disk(&self) -> bool {
        self.handle.shared.without.is_some() && !self.handle.shared.lock().has_disk
    }

    /// Opens a queue, with what an earlier run left in its directory.
    pub async fn open(config: Config) -> Result<Queue, OpenError> {
        Queue::start(config, None).await
    }

    async fn start(config: Config, without: Option<Without>) -> Result<Queue, OpenError> {
        let counters = Arc::new(Counters::default());
        let mut state = State::new();
        let mut store = None;
        if let Some(disk) = config.disk.clone().filter(|_| without.is_none()) {
            store = Some(state.take_up(open_store(disk, counters.clone()).await?));
        }
        let shared = Arc::new(Shared {
            config,
            without,
            counters,
            state: Mutex::new(state),
            work: Notify::new(),
            readable: Notify::new(),
            writable: Notify::new(),
        });
        let scope = Scope::new();
        let driver = scope.spawn("queue", Driver::new(shared.clone(), store).run());
        Ok(Queue { handle: Arc::new(Handle { shared, driver: Mutex::new(Some(driver)), scope }) })
    }

    /// Resolves when the record is taken (with [`Written::First`]: when it is on the disk), waiting for room if the overflow
    /// policy says so. Cancelled while it waits for room, nothing was taken; cancelled later, the record stays in the
    /// queue.
    pub async fn push(&self, record: Record, settle: Settle) -> Result<Taken, Closed> {
        self.push_from(&mut Some((record, settle))).await
    }

    /// As [`Queue::push`], for a record that must not go when the caller does: until it is taken it stays where it is.
    pub async fn push_from(&self, offered: &mut Option<(Record, Settle)>) -> Result<Taken, Closed> {
        let shared = &self.handle.shared;
        let start = Instant::now();
        loop {
            let room = shared.writable.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let Some((record, settle)) = offered.take() else { return Ok(Taken::Queued) };
            match shared.offer(record, settle) {
                Offer::Taken(taken) => return Ok(taken),
                Offer::Committing(committed) => {
                    // An error means that the driver ended with this record in its hands: the caller hears it from its
                    // settle handle, which is dropped unsettled.
                    let _ = committed.await;
                    return Ok(Taken::Queued);
                }
                Offer::Closed(record, settle) => return Err(Closed(record, settle)),
                Offer::NoRoom(record, settle) => {
                    *offered = Some((record, settle));
                    let Overflow::WaitForTheLiving(patience) = shared.config.overflow else {
                        room.await;
                        continue;
                    };
                    let until = start.max(shared.lock().progress_at) + patience;
                    if tokio::time::timeout_at(until, room).await.is_err() {
                        shared.give_up(patience);
                    }
                }
            }
        }
    }

    /// The next record in order, waiting for one; nothing when the queue is closed. May be called again before the last
    /// one is acknowledged: that many are in flight.
    pub async fn next(&self) -> Option<Lease> {
        let shared = &self.handle.shared;
        loop {
            let readable = shared.readable.notified();
            tokio::pin!(readable);
            readable.as_mut().enable();
            if shared.lock().closing {
                return None;
            }
            if let Some(lease) = self.try_next() {
                return Some(lease);
            }
            readable.await;
        }
    }

    /// The next record in order, if there is one in memory now.
    pub fn try_next(&self) -> Option<Lease> {
        let shared = &self.handle.shared;
        let mut state = shared.lock();
        // What an earlier run has left comes before what is in memory, so nothing more of that begins now.
        if state.closing || state.held || state.came.is_some() {
            return None;
        }
        let number = state.next_waiting()?;
        state.next = number + 1;
        let index = (number - state.first) as usize;
        let entry = &mut state.ready[index];
        entry.phase = Phase::Leased;
        let (record, taken_at_ms) = (entry.record.clone(), entry.taken_at_ms);
        Some(Lease { shared: shared.clone(), number, record, taken_at_ms })
    }

    /// What passed through.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.handle.shared.counters
    }

    /// What is in it now.
    pub fn stats(&self) -> Stats {
        let state = self.handle.shared.lock();
        let memory_bytes = (state.ready_bytes + state.tail_bytes + state.writing_bytes) as u64;
        let waiting = state.ready.iter().filter(|entry| entry.phase != Phase::Done).count() as u64;
        let oldest = state.ready.front().map(|entry| entry.taken_at_ms);
        let oldest = oldest.or_else(|| state.tail.front().map(|pending| pending.taken_at_ms));
        Stats {
            records: waiting + state.unread + state.writing + state.tail.len() as u64,
            bytes: memory_bytes + state.unread_bytes,
            memory_bytes,
            oldest_age_ms: oldest.map_or(0, |at| clock::now_ms().saturating_sub(at).max(0) as u64),
            disk_failed: state.disk_failed,
        }
    }

    /// From now on, records are written down as soon as they come, as if they had waited long: whoever pushed them is about
    /// to stop, and waits until they are safe. They are still sent meanwhile.
    pub fn save_at_once(&self) {
        self.handle.shared.lock().hurried = true;
        self.handle.shared.work.notify_one();
    }

    /// Gives out nothing more, and waits until what is on its way has been answered: an endpoint that has taken a record, and
    /// has not said so when the queue is closed, would get it again.
    pub async fn finish_leases(&self) {
        let shared = &self.handle.shared;
        shared.lock().held = true;
        loop {
            let answered = shared.writable.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if shared.lock().ready.iter().all(|entry| entry.phase != Phase::Leased) {
                return;
            }
            answered.await;
        }
    }

    /// Takes nothing more, gives nothing more, and writes to the disk what is in memory, for at most `grace`. Leases that
    /// are still out count as not acknowledged, so end the senders first.
    pub async fn close(&self, grace: Duration) -> Left {
        let shared = &self.handle.shared;
        shared.lock().closing = true;
        shared.readable.notify_waiters();
        shared.writable.notify_waiters();
        shared.work.notify_one();
        let driver = self.handle.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver
            && tokio::time::timeout(grace, driver).await.is_err()
        {
            tracing::error!(queue = shared.config.name, "the queue could not be written to the disk in time");
        }
        self.handle.scope.close(Duration::ZERO).await;

        let (left, unsettled) = shared.lock().give_up();
        for (record, _) in &unsettled {
            shared.counters.lost_stopped.one(record);
        }
        left
    }
}

async fn open_store(disk: Disk, counters: Arc<Counters>) -> Result<Came, OpenError> {
    let dir = disk.dir.clone();
    let opened = base_sys::task::blocking("queue", move || Store::open(disk, counters)).await;
    let opened = opened.returned().unwrap_or_else(|| Err(io::Error::other("the runtime is shutting down")));
    opened.map(|(store, front)| Came { store, front }).map_err(|error| OpenError { dir, error })
}

async fn find_disk(shared: &Arc<Shared>) -> FoundDisk {
    let Some(disk) = shared.config.disk.as_ref().filter(|_| shared.without.is_some()) else {
        // It has its disk, or wants none.
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(REOPEN).await;
        if let Ok(came) = open_store(disk.clone(), shared.counters.clone()).await {
            return FoundDisk { shared: shared.clone(), came };
        }
    }
}

// === impl FoundDisk ===

impl FoundDisk {
    /// The queue uses it from now on: what waits in memory is written down, behind what an earlier run has left there.
    pub fn take_up(self) {
        self.shared.lock().came = Some(self.came);
        self.shared.work.notify_one();
    }
}

// === impl Lease ===

impl Lease {
    /// What to send.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// When it was taken from the upstream, in milliseconds since the Unix epoch.
    pub fn taken_at_ms(&self) -> i64 {
        self.taken_at_ms
    }

    /// The endpoint has it.
    pub fn ack(self) {
        self.shared.counters.acked.one(&self.record);
        self.shared.finish(self.number, Outcome::Delivered);
    }

    /// The endpoint will never take it. The caller counts it, with its reason.
    pub fn refuse(self) {
        self.shared.counters.refused.one(&self.record);
        self.shared.finish(self.number, Outcome::Dropped);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(self.number);
    }
}

// === impl Entry ===

impl Entry {
    /// A crash would take it away.
    pub fn is_in_memory_alone(&self) -> bool {
        self.phase != Phase::Done && self.origin == Origin::Memory
    }
}

// === impl Shared ===

enum Offer {
    Taken(Taken),
    Committing(oneshot::Receiver<()>),
    NoRoom(Record, Settle),
    Closed(Record, Settle),
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, record: Record, settle: Settle) -> Offer {
        let mut dropped = Dropped::default();
        let offer = self.offer_or_drop(record, settle, &mut dropped);
        for settle in dropped.settles {
            settle.settle(Outcome::Dropped);
        }
        if dropped.items > 0 {
            self.tell_dropped(dropped.items);
        }
        offer
    }

    /// Says that so many more are dropped as there is no disk, and those of which nothing was said yet, once a minute. How many it
    /// was said of.
    fn tell_dropped(&self, items: u64) -> Option<u64> {
        let Without { dir, told } = self.without.as_ref().filter(|_| !self.lock().has_disk)?;
        let items = told.more(items)?;
        let (queue, directory, room) = (&self.config.name, dir.display(), self.config.memory_bytes);
        let cure = "make the directory writable, which is noticed within seconds, or start with another --storage.path";
        tracing::error!(queue, items, %directory, room, cure, "the queue is full, as it has memory alone: items are dropped");
        Some(items)
    }

    fn offer_or_drop(&self, record: Record, settle: Settle, dropped: &mut Dropped) -> Offer {
        let mut state = self.lock();
        if state.closing {
            return Offer::Closed(record, settle);
        }
        let taken_at_ms = clock::now_ms();
        let on_disk = state.has_disk;
        let first = self.config.written == Written::First && on_disk;
        loop {
            if !first && state.is_all_ready() && state.has_ready_room(record.size(), self.config.memory_bytes) {
                self.counters.pushed.one(&record);
                let first_unsaved = state.unsaved_since.is_none();
                state.make_ready(record, taken_at_ms, Some(settle), Origin::Memory);
                self.readable.notify_waiters();
                if on_disk && first_unsaved {
                    self.work.notify_one(); // its time in memory alone is limited
                }
                return Offer::Taken(Taken::Queued);
            }
            if on_disk && state.has_tail_room(record.size()) {
                self.counters.pushed.one(&record);
                let (sender, receiver) = oneshot::channel();
                let committed = first.then_some(sender);
                state.tail_bytes += record.size();
                state.tail.push_back(Pending { record, taken_at_ms, settle, committed });
                self.work.notify_one();
                return if first { Offer::Committing(receiver) } else { Offer::Taken(Taken::Queued) };
            }
            match state.overflow(&self.config) {
                Overflow::Wait | Overflow::WaitForTheLiving(_) => return Offer::NoRoom(record, settle),
                Overflow::DropNewest if on_disk && !state.is_stuck(&self.config) => {
                    return Offer::NoRoom(record, settle);
                }
                Overflow::DropNewest => {
                    self.counters.pushed.one(&record);
                    self.counters.lost_overflow.one(&record);
                    dropped.items += u64::from(record.items);
                    dropped.settles.push(settle);
                    return Offer::Taken(Taken::Dropped);
                }
                // With a working disk it is the driver that makes room, by dropping the oldest segment.
                Overflow::DropOldest if on_disk && !state.disk_failed => return Offer::NoRoom(record, settle),
                Overflow::DropOldest => match state.drop_oldest() {
                    Some((old, old_settle)) => {
                        self.counters.lost_overflow.one(&old);
                        dropped.items += u64::from(old.items);
                        dropped.settles.extend(old_settle);
                    }
                    None => return Offer::NoRoom(record, settle),
                },
            }
        }
    }

    fn finish(&self, number: u64, outcome: Outcome) {
        let mut state = self.lock();
        let Some(entry) = state.entry(number) else { return };
        entry.phase = Phase::Done;
        let settle = entry.settle.take();
        state.pop_done();
        state.progress_at = Instant::now();
        let came_back = std::mem::take(&mut state.given_up);
        let more_on_disk = state.unread > 0 || !state.tail.is_empty() || state.cursor_dirty || state.came.is_some();
        drop(state);
        if came_back {
            tracing::info!(queue = self.config.name, "the endpoint takes data again");
        }
        self.writable.notify_waiters();
        if more_on_disk {
            self.work.notify_one();
        }
        if let Some(settle) = settle {
            settle.settle(outcome);
        }
    }

    /// From now on the oldest records make room, until the endpoint takes one.
    fn give_up(&self, patience: Duration) {
        let mut state = self.lock();
        if state.progress_at.elapsed() < patience || std::mem::replace(&mut state.given_up, true) {
            return;
        }
        drop(state);
        let queue = &self.config.name;
        tracing::error!(queue, "the queue is full and its endpoint takes nothing; the oldest entries are dropped");
        // The driver may wait for acknowledgements.
        self.work.notify_one();
    }

    fn release(&self, number: u64) {
        let mut state = self.lock();
        let Some(entry) = state.entry(number) else { return };
        if entry.phase == Phase::Leased {
            entry.phase = Phase::Waiting;
            state.next = state.next.min(number);
            let disk_came = state.came.is_some();
            drop(state);
            self.readable.notify_waiters();
            if disk_came {
                self.work.notify_one();
            }
        }
    }
}

// === impl State ===

/// Records and their settle handles, on the way out of the lock.
type Unsettled = Vec<(Record, Option<Settle>)>;

impl State {
    fn new() -> Self {
        State {
            ready: VecDeque::new(),
            first: 0,
            next: 0,
            ready_bytes: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            writing: 0,
            writing_bytes: 0,
            unread: 0,
            unread_bytes: 0,
            position: None,
            front_acked: 0,
            cursor_dirty: false,
            disk_failed: false,
            progress_at: Instant::now(),
            given_up: false,
            unsaved_since: None,
            has_disk: false,
            came: None,
            hurried: false,
            held: false,
            closing: false,
        }
    }

    /// Begins with what an earlier run left in these files. Whatever is in memory comes behind that.
    pub fn take_up(&mut self, Came { store, front }: Came) -> Store {
        let is_empty = front.is_empty() && store.unread().records == 0;
        if !is_empty {
            self.move_to_tail();
        }
        (self.unread, self.unread_bytes) = (store.unread().records, store.unread().bytes);
        self.front_acked = store.front_acked();
        for (record, taken_at_ms) in front {
            self.make_ready(record, taken_at_ms, None, Origin::Front);
        }
        self.has_disk = true;
        store
    }

    /// Files that came can be taken up: nothing is on its way that would be overtaken by what they hold.
    pub fn can_take_up(&self) -> bool {
        let Some(came) = &self.came else { return false };
        let is_empty = came.front.is_empty() && came.store.unread().records == 0;
        is_empty || self.closing || self.ready.iter().all(|entry| entry.phase != Phase::Leased)
    }

    /// What could be sent waits behind what will be read. Leases that are still out find nothing.
    fn move_to_tail(&mut self) {
        self.first += self.ready.len() as u64;
        self.next = self.first;
        let waiting = self.ready.drain(..).rev().filter(|entry| entry.phase != Phase::Done);
        for Entry { record, taken_at_ms, settle, .. } in waiting {
            // In memory alone, so nobody was told of it.
            let Some(settle) = settle else { continue };
            self.tail_bytes += record.size();
            self.tail.push_front(Pending { record, taken_at_ms, settle, committed: None });
        }
        self.ready_bytes = 0;
    }

    /// What happens now when there is no room.
    pub fn overflow(&self, config: &Config) -> Overflow {
        match config.overflow {
            Overflow::WaitForTheLiving(_) if self.given_up => Overflow::DropOldest,
            overflow => overflow,
        }
    }

    pub fn make_ready(&mut self, record: Record, taken_at_ms: i64, settle: Option<Settle>, origin: Origin) {
        self.ready_bytes += record.size();
        if origin == Origin::Memory && self.unsaved_since.is_none() {
            self.unsaved_since = Some(Instant::now());
        }
        self.ready.push_back(Entry {
            record,
            taken_at_ms,
            since: Instant::now(),
            settle,
            origin,
            phase: Phase::Waiting,
        });
    }

    /// Nothing is behind `ready`: what comes now may join it without overtaking.
    pub fn is_all_ready(&self) -> bool {
        self.unread == 0 && self.writing == 0 && self.tail.is_empty()
    }

    pub fn has_ready_room(&self, size: usize, memory_bytes: usize) -> bool {
        self.ready.is_empty() || self.ready_bytes + size <= memory_bytes
    }

    fn has_tail_room(&self, size: usize) -> bool {
        let held = self.tail_bytes + self.writing_bytes;
        held == 0 || held + size <= WRITE_BUFFER_BYTES
    }

    /// The driver cannot make room by itself: only acknowledgements, or the disk coming back, can.
    fn is_stuck(&self, config: &Config) -> bool {
        self.disk_failed
            || config.disk.as_ref().is_none_or(|disk| self.unread_bytes + self.tail_bytes as u64 >= disk.max_bytes / 2)
    }

    fn next_waiting(&self) -> Option<u64> {
        let from = self.next.max(self.first);
        let index = (from - self.first) as usize;
        let offset = self.ready.range(index.min(self.ready.len())..).position(|entry| entry.phase == Phase::Waiting)?;
        Some(from + offset as u64)
    }

    pub fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.first)?;
        self.ready.get_mut(usize::try_from(index).ok()?)
    }

    /// Removes the finished records at the front; the cursor follows them.
    fn pop_done(&mut self) {
        while self.ready.front().is_some_and(|entry| entry.phase == Phase::Done) {
            let Some(entry) = self.ready.pop_front() else { return };
            self.first += 1;
            self.ready_bytes -= entry.record.size();
            match entry.origin {
                Origin::Memory => {}
                Origin::Disk(position) => {
                    self.position = self.position.max(Some(position));
                    self.cursor_dirty = true;
                }
                Origin::Front => {
                    self.front_acked += 1;
                    self.cursor_dirty = true;
                }
            }
        }
    }

    /// Since when something is in memory alone.
    pub fn oldest_unsaved(&self) -> Option<Instant> {
        self.ready.iter().filter(|entry| entry.is_in_memory_alone()).map(|entry| entry.since).min()
    }

    /// Takes out the oldest record that is not on its way to the endpoint.
    fn drop_oldest(&mut self) -> Option<(Record, Option<Settle>)> {
        let number = self.next_waiting_anywhere()?;
        let entry = self.entry(number)?;
        entry.phase = Phase::Done;
        let dropped = (entry.record.clone(), entry.settle.take());
        // Its memory is given back now, also when an older one is still in flight.
        let index = (number - self.first) as usize;
        let size = self.ready[index].record.size();
        self.ready[index].record = Record { meta: Default::default(), body: Default::default(), items: 0 };
        self.ready_bytes -= size;
        self.pop_done();
        Some(dropped)
    }

    fn next_waiting_anywhere(&self) -> Option<u64> {
        let index = self.ready.iter().position(|entry| entry.phase == Phase::Waiting)?;
        Some(self.first + index as u64)
    }

    /// Empties what is in memory at the end; what is not on the disk is lost to this queue.
    fn give_up(&mut self) -> (Left, Unsettled) {
        let mut left = Left { saved: self.unread, lost: 0 };
        let mut lost = Vec::new();
        self.first += self.ready.len() as u64; // leases that are still out find nothing
        for entry in self.ready.drain(..) {
            match (entry.phase, entry.origin) {
                (Phase::Done, _) => {}
                (_, Origin::Disk(_) | Origin::Front) => left.saved += 1,
                (_, Origin::Memory) => lost.push((entry.record, entry.settle)),
            }
        }
        for pending in self.tail.drain(..) {
            lost.push((pending.record, Some(pending.settle)));
        }
        (self.ready_bytes, self.tail_bytes) = (0, 0);
        left.lost = lost.len() as u64 + self.writing;
        (left, lost)
    }
}

/// Says that so many more are dropped: of how many it was said.
#[cfg(test)]
pub(crate) fn tell_dropped(queue: &Queue, items: u64) -> Option<u64> {
    queue.handle.shared.tell_dropped(items)
}

/// Records that wait for the driver, and those in its hands.
#[cfg(test)]
pub(crate) fn tests_view(queue: &Queue) -> (u64, u64) {
    let state = queue.handle.shared.lock();
    (state.tail.len() as u64, state.writing)
}
