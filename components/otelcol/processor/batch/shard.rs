//! One batch in the making: of one signal, and one combination of metadata values.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task;
use bytes::Bytes;
use sdk_otel::output::Outputs;
use sdk_protocols_otlp::split::split;
use sdk_signals::{Origin, OtlpBatch, OtlpSignal, Refused, Settle};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Settings;
use super::counters::{Counters, Trigger};

/// Requests that were taken and not looked at yet. The batch itself is the buffer.
const INBOX: usize = 2;
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
    inbox: mpsc::Receiver<(OtlpBatch, Settle)>,
    blocked: Blocked,
    waiting: VecDeque<Arrival>,
    items: usize,
    /// Items of the batch that is being handed on.
    in_hand: usize,
    /// When what waits is sent, however little it is.
    deadline: Option<Instant>,
}

/// The way into a shard.
#[derive(Clone)]
pub(super) struct ShardHandle {
    inbox: mpsc::Sender<(OtlpBatch, Settle)>,
    blocked: Blocked,
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
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was taken: not any more when the shard has ended.
    pub(super) async fn send(&self, batch: OtlpBatch, settle: Settle) -> bool {
        self.inbox.send((batch, settle)).await.is_ok()
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
        let (sender, inbox) = mpsc::channel(INBOX);
        let blocked = Blocked::default();
        let handle = ShardHandle { inbox: sender, blocked: blocked.clone() };
        let (waiting, items, in_hand, deadline) = (VecDeque::new(), 0, 0, None);
        let shard = Shard {
            signal,
            settings,
            origin,
            outputs,
            counters,
            tasks,
            inbox,
            blocked,
            waiting,
            items,
            in_hand,
            deadline,
        };
        (shard, handle)
    }

    /// Ends when nobody can send any more, with nothing left.
    pub(super) async fn run(mut self) {
        loop {
            let arrival = match self.deadline {
                None => self.inbox.recv().await,
                Some(deadline) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(deadline) => {
                        self.send(Trigger::Timeout).await;
                        continue;
                    }
                    arrival = self.inbox.recv() => arrival,
                },
            };
            let Some((batch, settle)) = arrival else { break };
            self.add(batch, settle);
            while self.items > 0 && (self.settings.at_once() || self.items >= self.settings.size) {
                self.send(Trigger::Size).await;
            }
        }
        while self.items > 0 {
            self.send(Trigger::Timeout).await;
        }
    }

    fn add(&mut self, batch: OtlpBatch, settle: Settle) {
        let items = batch.items as usize;
        if items == 0 {
            settle.settle(sdk_signals::Outcome::Delivered);
            return;
        }
        if self.deadline.is_none() && !self.settings.at_once() {
            self.deadline = Some(Instant::now() + self.settings.timeout);
        }
        self.items += items;
        self.waiting.push_back(Arrival { payload: batch.payload, items, settle });
    }

    /// Sends as much as one batch may hold.
    async fn send(&mut self, trigger: Trigger) {
        let (mut payload, mut items, mut settles) = (Vec::new(), 0, Vec::new());
        while let Some(arrival) = self.waiting.pop_front() {
            if items + arrival.items <= self.settings.max {
                items += arrival.items;
                payload.extend(arrival.payload);
                settles.push(arrival.settle);
                continue;
            }
            let room = self.settings.max - items;
            if room == 0 {
                self.waiting.push_front(arrival);
                break;
            }
            let whole =
                if arrival.payload.len() == 1 { arrival.payload[0].clone() } else { arrival.payload.concat().into() };
            let mut pieces = split(self.signal, &whole, room, self.settings.max).into_iter();
            if let Some(first) = pieces.next() {
                items += first.items;
                payload.extend(first.segments);
                settles.push(arrival.settle.clone());
            }
            for piece in pieces.rev() {
                let settle = arrival.settle.clone();
                self.waiting.push_front(Arrival { payload: piece.segments, items: piece.items, settle });
            }
            // The clones answer for the pieces.
            arrival.settle.settle(sdk_signals::Outcome::Delivered);
            break;
        }
        self.items -= items;
        self.deadline = (self.items > 0).then(|| Instant::now() + self.settings.timeout);
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
        let items = self.items + self.in_hand;
        if items > 0 {
            tracing::error!(items, "stopped before the next component took the batch; dropping it");
            self.counters.dropped(self.signal, items);
        }
    }
}
