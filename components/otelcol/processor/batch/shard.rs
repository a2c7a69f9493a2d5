//! One batch in the making: of one signal, and one combination of metadata values.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task;
use bytes::Bytes;
use sdk_otel::output::Outputs;
use sdk_protocols_otlp::split::split;
use sdk_signals::{Origin, OtlpBatch, OtlpSignal, Refused, Settle};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Settings;
use super::counters::{Counters, Trigger};

/// When the next component refuses without saying for how long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Shard {
    signal: OtlpSignal,
    settings: Arc<Settings>,
    origin: Option<Arc<Origin>>,
    outputs: Outputs,
    counters: Arc<Counters>,
    tasks: task::Scope,
    inbox: Arc<Inbox>,
    blocked: Blocked,
    /// Items of the batch that is being handed on.
    in_hand: usize,
}

/// The way into a shard. When the last is dropped the shard sends what it holds, and ends.
#[derive(Clone)]
pub(super) struct ShardHandle(Arc<Door>);

struct Door {
    inbox: Arc<Inbox>,
    blocked: Blocked,
    settings: Arc<Settings>,
}

/// The batch in the making. Requests are put into it where they arrive; the shard's task is woken for the first, to set
/// its clock, and when there is a batch, but not for those in between.
#[derive(Default)]
struct Inbox {
    held: Mutex<Held>,
    /// For the shard.
    work: Notify,
    /// For those who wait until a full batch has been taken out.
    room: Notify,
}

#[derive(Default)]
struct Held {
    waiting: VecDeque<Arrival>,
    items: usize,
    /// When what waits is sent, however little it is.
    deadline: Option<Instant>,
    /// Nobody can send any more.
    closed: bool,
    /// Nobody takes any more.
    ended: bool,
}

/// Why nothing is taken at the moment, if it is not.
type Blocked = Arc<Mutex<Option<Refused>>>;

struct Arrival {
    payload: Vec<Bytes>,
    items: usize,
    settle: Settle,
}

// === impl ShardHandle ===

impl ShardHandle {
    /// The next component refuses; until it does not, so do we.
    pub(super) fn blocked(&self) -> Option<Refused> {
        self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was taken: not any more when the shard has ended.
    pub(super) async fn send(&self, batch: OtlpBatch, settle: Settle) -> bool {
        let Door { inbox, settings, .. } = &*self.0;
        let items = batch.items as usize;
        if items == 0 {
            settle.settle(sdk_signals::Outcome::Delivered);
            return true;
        }
        loop {
            let room = inbox.room.notified();
            tokio::pin!(room);
            {
                let mut held = inbox.held();
                if held.ended {
                    return false;
                }
                if !settings.is_batch(held.items) {
                    let first = held.items == 0;
                    if first && !settings.at_once() {
                        held.deadline = Some(Instant::now() + settings.timeout);
                    }
                    held.items += items;
                    held.waiting.push_back(Arrival { payload: batch.payload, items, settle });
                    if first || settings.is_batch(held.items) {
                        inbox.work.notify_one();
                    }
                    return true;
                }
                // Before the lock is released, so that no notification is missed.
                room.as_mut().enable();
            }
            room.await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.inbox.held().closed = true;
        self.inbox.work.notify_one();
    }
}

impl Inbox {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shard ===

impl Shard {
    pub(super) fn new(
        signal: OtlpSignal,
        settings: Arc<Settings>,
        origin: Option<Arc<Origin>>,
        outputs: Outputs,
        counters: Arc<Counters>,
        tasks: task::Scope,
    ) -> (Shard, ShardHandle) {
        let (inbox, blocked) = (Arc::<Inbox>::default(), Blocked::default());
        let door = Door { inbox: inbox.clone(), blocked: blocked.clone(), settings: settings.clone() };
        let shard = Shard { signal, settings, origin, outputs, counters, tasks, inbox, blocked, in_hand: 0 };
        (shard, ShardHandle(Arc::new(door)))
    }

    /// Ends when nobody can send any more, with nothing left.
    pub(super) async fn run(mut self) {
        let inbox = self.inbox.clone();
        loop {
            let (items, deadline, closed) = {
                let held = inbox.held();
                (held.items, held.deadline, held.closed)
            };
            if self.settings.is_batch(items) {
                self.send(Trigger::Size).await;
            } else if closed && items == 0 {
                return;
            } else if closed {
                self.send(Trigger::Timeout).await;
            } else {
                match deadline {
                    None => inbox.work.notified().await,
                    Some(deadline) => tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(deadline) => self.send(Trigger::Timeout).await,
                        () = inbox.work.notified() => {}
                    },
                }
            }
        }
    }

    /// Sends as much as one batch may hold.
    async fn send(&mut self, trigger: Trigger) {
        let (mut payload, mut items, mut settles) = (Vec::new(), 0, Vec::new());
        {
            let mut held = self.inbox.held();
            while let Some(arrival) = held.waiting.pop_front() {
                if items + arrival.items <= self.settings.max {
                    items += arrival.items;
                    payload.extend(arrival.payload);
                    settles.push(arrival.settle);
                    continue;
                }
                let room = self.settings.max - items;
                if room == 0 {
                    held.waiting.push_front(arrival);
                    break;
                }
                let whole = if arrival.payload.len() == 1 {
                    arrival.payload[0].clone()
                } else {
                    arrival.payload.concat().into()
                };
                let mut pieces = split(self.signal, &whole, room, self.settings.max).into_iter();
                if let Some(first) = pieces.next() {
                    items += first.items;
                    payload.extend(first.segments);
                    settles.push(arrival.settle.clone());
                }
                for piece in pieces.rev() {
                    let settle = arrival.settle.clone();
                    held.waiting.push_front(Arrival { payload: piece.segments, items: piece.items, settle });
                }
                // The clones answer for the pieces.
                arrival.settle.settle(sdk_signals::Outcome::Delivered);
                break;
            }
            held.items -= items;
            held.deadline = (held.items > 0).then(|| Instant::now() + self.settings.timeout);
        }
        self.inbox.room.notify_waiters();
        let bytes = payload.iter().map(Bytes::len).sum();
        self.counters.sends(trigger, items, bytes);
        let count = u32::try_from(items).unwrap_or(u32::MAX);
        let batch = OtlpBatch { signal: self.signal, payload, items: count, origin: self.origin.clone() };
        self.in_hand = items;
        self.hand_on(batch, Settle::all(settles)).await;
        self.in_hand = 0;
    }

    /// Offers a batch until it is taken, or refused for good.
    async fn hand_on(&mut self, batch: OtlpBatch, settle: Settle) {
        let items = batch.items as usize;
        let mut wait = FIRST_WAIT;
        loop {
            match self.outputs.consume(batch.clone()).await {
                Ok(delivery) => {
                    self.counters.went(self.signal, items);
                    self.unblock();
                    self.tasks.spawn("batch delivery", settle.follow(delivery));
                    return;
                }
                Err(refused) if refused.retryable => {
                    let pause = refused.retry_after.unwrap_or(wait).min(LONGEST_WAIT);
                    self.block(refused);
                    wait = (wait * 2).min(LONGEST_WAIT);
                    tokio::time::sleep(pause).await;
                }
                Err(refused) => {
                    tracing::error!(
                        reason = refused.reason,
                        items,
                        "the next component refuses for good; dropping the batch"
                    );
                    self.counters.dropped(self.signal, items);
                    self.unblock();
                    settle.settle(sdk_signals::Outcome::Dropped);
                    return;
                }
            }
        }
    }

    fn block(&self, refused: Refused) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if blocked.is_none() {
            tracing::warn!(
                reason = refused.reason,
                "the next component refuses; holding the batch and refusing new data"
            );
        }
        *blocked = Some(refused);
    }

    fn unblock(&self) {
        let was = self.blocked.lock().unwrap_or_else(PoisonError::into_inner).take();
        if was.is_some() {
            tracing::info!("the next component takes data again");
        }
    }
}

/// Cut off at the end of the grace period: what is lost is counted.
impl Drop for Shard {
    fn drop(&mut self) {
        let left = {
            let mut held = self.inbox.held();
            held.ended = true;
            held.items
        };
        self.inbox.room.notify_waiters();
        let items = left + self.in_hand;
        if items > 0 {
            tracing::error!(items, "stopped before the next component took the batch; dropping it");
            self.counters.dropped(self.signal, items);
        }
    }
}
