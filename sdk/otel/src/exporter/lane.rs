//! The way of one signal: its queue, and the requests under way from it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task;
use sdk_component::Context;
use sdk_protocols_otlp::split::split;
use sdk_queue::{Config, Disk, Lease, OpenError, Overflow, Queue, Record, Written};
use sdk_signals::{Origin, OtlpBatch, OtlpSignal, Settle};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{SendError, Shared, Stage, record};
use crate::queue::Sizer;
use crate::storage::StorageHandler;

/// Requests held in memory; what waits beyond it goes to the disk, up to `queue_size`.
const MEMORY_BYTES: usize = 64 << 20;
/// What may lie on the disk.
const DISK_BYTES: u64 = 2 << 30;

pub(crate) struct Lane {
    shared: Arc<Shared>,
    signal: OtlpSignal,
    storage: Option<StorageHandler>,
    queue: Queue,
    /// Of a lane whose senders wait for the answer, those who wait.
    waiting: Option<Waiting>,
    /// Requests.
    under_way: AtomicUsize,
    /// While draining, the remote end did not answer well: what is left goes to the disk.
    given_up: AtomicBool,
    /// Something ended, or the settings are others: there may be room.
    changed: Notify,
    tasks: task::Scope,
}

/// Where the queue of a signal lies, as the settings are now.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    storage: Option<StorageHandler>,
}

/// What became of a request: see [`Shared::send`].
pub(crate) type Answer = Result<(), Option<SendError>>;

/// Those who wait for the answer to what they pushed, by number.
#[derive(Default)]
struct Waiting {
    next: AtomicU64,
    senders: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

/// Where the queues of a component's parts lie, each in a directory of its own.
#[must_use]
pub fn parts_directory(context: &Context, storage: Option<&StorageHandler>) -> PathBuf {
    match storage {
        Some(storage) => storage.place(context.id(), "backends"),
        None => context.data_path().join("backends"),
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn of(shared: &Shared, signal: OtlpSignal) -> Place {
        let storage = shared.settings().queue.storage.clone();
        let directory = match (&storage, &shared.part) {
            (_, Some(part)) => parts_directory(&shared.context, storage.as_ref()).join(part).join(signal.name()),
            (Some(storage), None) => storage.place(shared.context.id(), signal.name()),
            (None, None) => shared.context.data_path().join(signal.name()),
        };
        Place { directory, storage }
    }
}

// === impl Lane ===

impl Lane {
    /// Opens it where the settings want it. A queue that need not survive a crash does without a disk if it must; one whose
    /// senders wait for the answer has none: they have the data as long as they wait, and an answer from the disk is none.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        signal: OtlpSignal,
        senders_wait: bool,
    ) -> Result<Arc<Lane>, OpenError> {
        let Place { directory, storage } = Place::of(&shared, signal);
        let config = Config {
            name: format!("{} {}", shared.context.id(), signal.name()),
            memory_bytes: MEMORY_BYTES,
            disk: (!senders_wait).then(|| Disk::new(directory, DISK_BYTES)),
            written: if storage.is_some() { Written::First } else { Written::default() },
            overflow: Overflow::Wait,
        };
        let queue = match storage {
            Some(_) => Queue::open(config).await?,
            None => Queue::open_anyhow(config).await,
        };
        let lane = Arc::new(Lane {
            shared,
            signal,
            storage,
            queue,
            waiting: senders_wait.then(Waiting::default),
            under_way: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            changed: Notify::new(),
            tasks: task::Scope::new(),
        });
        let span = lane.shared.context.span().clone();
        lane.tasks.spawn("exporter", lane.clone().dispatch().instrument(span));
        Ok(lane)
    }

    /// Whether it is that of a signal, and of a storage, and whether its senders wait for the answer.
    pub(crate) fn is(&self, signal: OtlpSignal, storage: &Option<StorageHandler>, senders_wait: bool) -> bool {
        self.signal == signal && self.storage == *storage && self.waiting.is_some() == senders_wait
    }

    pub(crate) fn has_signal(&self, signal: OtlpSignal) -> bool {
        self.signal == signal
    }

    /// Whether what it cannot send at the end is written down.
    pub(crate) fn has_a_disk(&self) -> bool {
        self.waiting.is_none()
    }

    /// Starts requests, never more than `num_consumers` at a time.
    async fn dispatch(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let consumers = usize::try_from(self.shared.settings().queue.num_consumers).unwrap_or(1).max(1);
            if self.under_way.load(Ordering::Acquire) >= consumers {
                changed.await;
                continue;
            }
            let Some(first) = self.queue.next().await else { return };
            let leases = self.with_more(first).await;
            self.under_way.fetch_add(1, Ordering::AcqRel);
            let lane = self.clone();
            let span = self.shared.context.span().clone();
            self.tasks.spawn("export", async move { lane.export(leases).await }.instrument(span));
        }
    }

    /// Waits for more, if batches are wanted: until there is a full one, or the time is over.
    async fn with_more(&self, first: Lease) -> Vec<Lease> {
        let settings = self.shared.settings();
        let Some(batch) = &settings.queue.batch else { return vec![first] };
        let until = Instant::now() + batch.flush_timeout.to_std().unwrap_or_default();
        let mut stage = self.shared.stage.subscribe();
        let mut size = batch.size_of(first.record());
        let mut leases = vec![first];
        while !batch.is_full(size) {
            let next = tokio::select! {
                next = self.queue.next() => next,
                () = tokio::time::sleep_until(until) => break,
                _ = stage.wait_for(|stage| *stage >= Stage::Draining) => break,
            };
            let Some(next) = next else { break };
            size += batch.size_of(next.record());
            leases.push(next);
        }
        leases
    }

    /// Sends what was leased as one request, or as several where a batch must not be that large.
    async fn send(&self, leases: &[Lease]) -> Answer {
        let origin = leases.first().and_then(|lease| record::origin(&lease.record().meta));
        let origin = origin.as_ref();
        let items = leases.iter().map(|lease| u64::from(lease.record().items)).sum();
        let body = match leases {
            [lease] => lease.record().body.clone(),
            // Requests laid end to end are one request.
            _ => leases.iter().flat_map(|lease| lease.record().body.pieces()).cloned().collect::<Vec<_>>().into(),
        };
        let most = self.shared.settings().queue.batch.as_ref().and_then(|batch| batch.cut(items, body.len() as u64));
        let Some(most) = most else { return self.shared.send(self.signal, items, body, origin).await };
        let mut failed = Ok(());
        for piece in split(self.signal, &body.joined(), most, most) {
            match self.shared.send(self.signal, piece.items as u64, piece.segments.into(), origin).await {
                Err(None) => return Err(None),
                Err(error) => failed = Err(error),
                Ok(()) => {}
            }
        }
        failed
    }

    async fn export(&self, leases: Vec<Lease>) {
        // Also when the task is cut off.
        struct Ended<'a>(&'a Lane);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.under_way.fetch_sub(1, Ordering::AcqRel);
                self.0.changed.notify_waiters();
            }
        }
        let _ended = Ended(self);
        let mut rest = leases;
        while let Some(first) = rest.first() {
            // What different origins sent is not merged.
            let of_first = record::waits(&first.record().meta).0;
            let same = rest.iter().take_while(|lease| record::waits(&lease.record().meta).0 == of_first).count();
            let later = rest.split_off(same);
            let leases = std::mem::replace(&mut rest, later);
            let answer = self.send(&leases).await;
            if let Some(waiting) = &self.waiting {
                leases.iter().for_each(|lease| waiting.tell(&lease.record().meta, &answer));
            }
            match answer {
                Ok(()) => leases.into_iter().for_each(Lease::ack),
                Err(Some(_)) => leases.into_iter().for_each(Lease::refuse),
                // Stopping: it stays in the queue, and is held back so that draining does not spin on it.
                Err(None) => {
                    self.given_up.store(true, Ordering::Release);
                    self.changed.notify_waiters();
                    let mut stage = self.shared.stage.subscribe();
                    let _ = stage.wait_for(|stage| *stage == Stage::Stopped).await;
                    break;
                }
            }
        }
        self.show();
    }

    /// Whether there is room for `size` more, waiting for it if the settings say so.
    pub(crate) async fn wait_for_room(&self, size: u64) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let settings = self.shared.settings();
            let capacity = u64::try_from(settings.queue.queue_size).unwrap_or(0);
            if self.used(settings.queue.sizer) + size <= capacity {
                return true;
            }
            if !settings.queue.block_on_overflow || self.shared.stage() >= Stage::Draining {
                return false;
            }
            changed.await;
        }
    }

    pub(crate) fn used(&self, sizer: Sizer) -> u64 {
        match sizer {
            Sizer::Requests => self.queue.stats().records,
            Sizer::Bytes => self.queue.stats().bytes,
            Sizer::Items => {
                use std::sync::atomic::Ordering::Relaxed;
                let counters = self.queue.counters();
                let come = counters.pushed.items.load(Relaxed) + counters.recovered.items.load(Relaxed);
                let gone = [
                    &counters.acked,
                    &counters.refused,
                    &counters.lost_overflow,
                    &counters.lost_corrupt,
                    &counters.lost_stopped,
                ];
                come.saturating_sub(gone.iter().map(|tally| tally.items.load(Relaxed)).sum())
            }
        }
    }

    /// Whether the queue took it: it does not any more when it is closed.
    pub(crate) async fn push(&self, batch: OtlpBatch, origin: Option<&Origin>, settle: Settle) -> bool {
        let items = batch.items;
        let record = Record { meta: record::meta(self.signal, origin), body: batch.payload.into(), items };
        self.push_record(record, settle).await
    }

    /// What became of it, once that is known; `Err(None)` when the exporter stops before.
    pub(crate) async fn answer_to(&self, batch: OtlpBatch, origin: Option<&Origin>) -> Answer {
        let Some(waiting) = &self.waiting else { return Err(None) };
        let (number, answer) = waiting.wait();
        let items = batch.items;
        let meta = record::waiting(&record::meta(self.signal, origin), number);
        let record = Record { meta, body: batch.payload.into(), items };
        if !self.push_record(record, Settle::nobody()).await {
            waiting.forget(number);
        }
        answer.await.unwrap_or(Err(None))
    }

    async fn push_record(&self, record: Record, settle: Settle) -> bool {
        let taken = self.queue.push(record, settle).await.is_ok();
        self.show();
        taken
    }

    fn show(&self) {
        let queue = &self.shared.settings().queue;
        let capacity = u64::try_from(queue.queue_size).unwrap_or(0);
        self.shared.counters.queue(self.signal, self.used(queue.sizer), capacity);
    }

    pub(crate) fn settings_changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until everything was sent, or the remote end turned out to be away.
    pub(crate) async fn drained(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.queue.stats().records == 0 || self.given_up.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) async fn close(&self, grace: Duration) {
        // Requests under way end first: what they hold counts as not sent, and is written down with the rest.
        self.tasks.close(Duration::from_millis(100).min(grace / 2)).await;
        let left = self.queue.close(grace / 2).await;
        if left.saved > 0 {
            tracing::info!(requests = left.saved, "not sent before the end; will be sent after the next start");
        }
        if let Some(waiting) = &self.waiting {
            waiting.forget_all();
        } else if left.lost > 0 {
            tracing::error!(requests = left.lost, "not sent before the end, and could not be written down: lost");
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// A number, and where the answer to it will come; without one when nobody will give it.
    fn wait(&self) -> (u64, oneshot::Receiver<Answer>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.senders().insert(number, sender);
        (number, answer)
    }

    /// Tells whoever waits for the record with this meta.
    fn tell(&self, meta: &[u8], answer: &Answer) {
        let sender = record::waits(meta).1.and_then(|number| self.senders().remove(&number));
        if let Some(sender) = sender {
            // Who has gone away meanwhile does not want to know.
            let _ = sender.send(answer.clone());
        }
    }

    fn forget(&self, number: u64) {
        self.senders().remove(&number);
    }

    fn forget_all(&self) {
        self.senders().clear();
    }

    fn senders(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
