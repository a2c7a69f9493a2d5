//! From `consume` to the remote end: a queue per signal, requests under way, retries, and counting what becomes of them.

mod counters;
mod lane;
mod record;
mod trouble;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sdk_component::{Context, Stop};
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_protocols_otlp::status::Code;
use sdk_queue::Body;
use sdk_signals::{BoxFuture, Consumer, Delivery, Origin, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tokio::sync::{Mutex, watch};
use tracing::Instrument as _;

use crate::queue::{SendingQueue, Sizer};
use crate::retry::{Backoff, RetryOnFailure};
use counters::Counters;
pub use lane::parts_directory;
use lane::{Answer, Lane, Place};
use trouble::{Failed, Then, Troubles};

/// Sends one request.
pub trait Transport: Send + Sync {
    /// `payload` is one encoded export request. `origin` is what [`Transport::remember`] wanted to keep.
    fn send<'a>(&'a self, signal: OtlpSignal, payload: Body, origin: Option<&'a Origin>) -> Sending<'a>;

    /// Where the requests of a signal go, without credentials; nothing where that is more than one place.
    fn endpoint(&self, signal: OtlpSignal) -> Option<&str> {
        let _ = signal;
        None
    }

    /// What is wanted of the request that brought the data; data of different origins is sent apart.
    fn remember(&self, origin: &Origin) -> Option<Origin> {
        let _ = origin;
        None
    }
}

/// A request under way.
pub type Sending<'a> = BoxFuture<'a, Result<Option<PartialSuccess>, SendError>>;

/// Why a request was not taken by the remote end.
#[derive(Clone, Debug)]
pub struct SendError {
    /// In words.
    pub message: String,
    /// Sending it again can help.
    pub retryable: bool,
    /// Not before this has passed.
    pub retry_after: Option<Duration>,
    /// What the remote end answered, if it did.
    pub code: Option<Code>,
}

/// How an exporter sends; replaced as a whole by an update.
pub struct Settings {
    /// The remote end.
    pub transport: Box<dyn Transport>,
    /// What waits in front of it.
    pub queue: SendingQueue,
    /// What happens to failures.
    pub retry: RetryOnFailure,
}

/// The common part of all exporters that send OTLP requests. Clones are the same exporter.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

pub(crate) struct Shared {
    context: Context,
    /// The directory of its queues among those of its component's parts, if it is one.
    part: Option<String>,
    counters: Counters,
    settings: RwLock<Arc<Settings>>,
    /// One for each signal and place where its queue lies: what an update gave up sends what it has.
    lanes: RwLock<Arc<[Arc<Lane>]>>,
    /// Held by who opens a lane.
    opening: Mutex<()>,
    stage: watch::Sender<Stage>,
    /// The storage of a queue could not be opened, and that was said.
    is_closed: AtomicBool,
    troubles: Troubles,
}

/// Where in its life an exporter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Built; batches wait.
    Built,
    /// Sends.
    Running,
    /// Sends what it has, each once.
    Draining,
    /// Takes nothing.
    Stopped,
}

/// How often it is tried to open what an earlier run left.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether that has been opened.
const LEFT_EVERY: Duration = Duration::from_millis(50);

/// The part of the grace period that is for sending; the rest is for writing down what is left.
const DRAIN_SHARE: f64 = 0.7;

// === impl SendError ===

impl SendError {
    /// It will never be taken.
    pub fn permanent(message: impl Into<String>) -> SendError {
        SendError { message: message.into(), retryable: false, retry_after: None, code: None }
    }

    /// It may be taken later.
    pub fn retryable(message: impl Into<String>) -> SendError {
        SendError { message: message.into(), retryable: true, retry_after: None, code: None }
    }
}

impl From<Refused> for SendError {
    fn from(Refused { reason, retryable, retry_after, code }: Refused) -> SendError {
        SendError { message: reason, retryable, retry_after, code: code.map(|code| Code::of(code.into())) }
    }
}

impl From<SendError> for Refused {
    fn from(SendError { message, retryable, retry_after, code }: SendError) -> Refused {
        Refused { reason: message, retryable, retry_after, code: code.map(|code| code as u8) }
    }
}

// === impl Exporter ===

impl Exporter {
    /// An exporter of a component; `kind` is the type in the label of its metrics (`otlp/<component id>`).
    #[must_use]
    pub fn new(context: &Context, kind: &str, settings: Settings) -> Exporter {
        let name = format!("{kind}/{}", context.id());
        let counters = Counters::new(context.metrics(), &name, &name);
        Exporter::with(context, None, counters, settings)
    }

    /// The queue in front of a component's parts: they count what they send of what it hands them.
    #[must_use]
    pub fn in_front(context: &Context, kind: &str, settings: Settings) -> Exporter {
        let name = format!("{kind}/{}", context.id());
        let counters = Counters::new(context.metrics(), &name, &name).in_front();
        Exporter::with(context, None, counters, settings)
    }

    /// One of several exporters of a component. Its queue lies in `directory` of [`parts_directory`], and has its own
    /// metrics; what is sent is counted with that of the others.
    #[must_use]
    pub fn part(context: &Context, kind: &str, part: &str, directory: String, settings: Settings) -> Exporter {
        let name = format!("{kind}/{}", context.id());
        let counters = Counters::new(context.metrics(), &name, &format!("{name}/{part}"));
        Exporter::with(context, Some(directory), counters, settings)
    }

    fn with(context: &Context, part: Option<String>, counters: Counters, settings: Settings) -> Exporter {
        Exporter(Arc::new(Shared {
            context: context.clone(),
            part,
            counters,
            settings: RwLock::new(Arc::new(settings)),
            lanes: RwLock::new(Arc::new([])),
            opening: Mutex::default(),
            stage: watch::Sender::new(Stage::Built),
            is_closed: AtomicBool::new(false),
            troubles: Troubles::default(),
        }))
    }

    /// What the component exports as `input`.
    #[must_use]
    pub fn input(&self) -> OtelConsumer {
        OtelConsumer(Receiver::new(self.0.context.id(), Arc::new(self.clone())))
    }

    /// From now on with these settings; what waits stays, and so does what is under way.
    pub fn replace(&self, settings: Settings) {
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        for lane in &*self.0.lanes() {
            lane.settings_changed();
        }
    }

    /// Sends what an earlier run left, without waiting for new data. A storage may be somebody else's for a while yet.
    async fn take_over(&self) {
        loop {
            let left = OtlpSignal::ALL.into_iter().filter(|signal| Place::of(&self.0, *signal).directory.is_dir());
            for signal in left {
                // Why not has been said.
                let _ = self.0.lane(signal, false).await;
            }
            tokio::time::sleep(TAKE_OVER_EVERY).await;
        }
    }

    /// Resolves when all that was taken, now or by an earlier run, was sent or given up.
    pub async fn emptied(&self) {
        loop {
            let lanes = self.0.lanes();
            for lane in &*lanes {
                lane.drained().await;
            }
            let left = OtlpSignal::ALL.iter().filter(|signal| Place::of(&self.0, **signal).directory.is_dir()).count();
            if left <= lanes.iter().filter(|lane| lane.has_a_disk()).count() {
                return;
            }
            // `run` opens what an earlier one left, as soon as it can.
            tokio::time::sleep(LEFT_EVERY).await;
        }
    }

    /// Works until stopped, then sends what waits and writes down the rest.
    pub async fn run(&self, stop: Stop) {
        let shared = &self.0;
        shared.stage.send_replace(Stage::Running);
        tokio::select! {
            () = stop.stopped() => {}
            () = self.take_over() => {}
        }
        shared.stage.send_replace(Stage::Draining);
        let lanes = shared.lanes();
        for lane in &*lanes {
            lane.settings_changed();
        }
        let drain = stop.grace().mul_f64(DRAIN_SHARE);
        let drained = async {
            for lane in &*lanes {
                lane.drained().await;
            }
        };
        let in_time = tokio::time::timeout(drain, drained).await.is_ok();
        shared.stage.send_replace(Stage::Stopped);
        let rest = if in_time { stop.grace() } else { stop.grace() - drain };
        for lane in &*lanes {
            lane.close(rest).await;
        }
    }
}

// === impl Shared ===

impl Shared {
    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    fn lanes(&self) -> Arc<[Arc<Lane>]> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lane of a signal, opened if need be.
    async fn lane(self: &Arc<Self>, signal: OtlpSignal, senders_wait: bool) -> Result<Arc<Lane>, Refused> {
        let settings = self.settings();
        let find = || self.lanes().iter().find(|lane| lane.is(signal, &settings.queue.storage, senders_wait)).cloned();
        if let Some(lane) = find() {
            return Ok(lane);
        }
        let _opening = self.opening.lock().await;
        if let Some(lane) = find() {
            return Ok(lane);
        }
        let lane = Lane::open(self.clone(), signal, senders_wait).await.map_err(|error| {
            if !self.is_closed.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "cannot open the storage of the sending queue; what arrives waits at its source");
            }
            self.context.unhealthy(format!("cannot open the storage of the sending queue: {error}"));
            Refused::retryable("the storage of the sending queue cannot be opened")
        })?;
        if self.is_closed.swap(false, Ordering::Relaxed) {
            tracing::info!("the storage of the sending queue is open");
            self.context.healthy("the storage of the sending queue is open");
        }
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        *lanes = lanes.iter().chain([&lane]).cloned().collect();
        Ok(lane)
    }

    async fn take(self: &Arc<Self>, batch: OtlpBatch) -> Result<Delivery, Refused> {
        // Batches that come before `run` wait: a queue must not be opened by something that may yet be dropped.
        let mut stage = self.stage.subscribe();
        let current = stage.wait_for(|stage| *stage > Stage::Built).await.map_or(Stage::Stopped, |stage| *stage);
        if current == Stage::Stopped {
            return Err(Refused::stopped(self.context.id()));
        }
        if batch.items == 0 {
            return Ok(Delivery::delivered());
        }
        let settings = self.settings();
        let origin = batch.origin.as_deref().and_then(|origin| settings.transport.remember(origin));
        if !settings.queue.enabled {
            let items = u64::from(batch.items);
            // What is said of it is said in our name, and not in that of who has handed it over.
            let sending = self.send(batch.signal, items, batch.payload.into(), origin.as_ref());
            return self.told(sending.instrument(self.context.span().clone()).await);
        }
        let (signal, items) = (batch.signal, u64::from(batch.items));
        let senders_wait = settings.queue.wait_for_result;
        let lane = self.lane(signal, senders_wait).await?;
        let size = match settings.queue.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => batch.byte_len() as u64,
        };
        if !lane.wait_for_room(size).await {
            self.counters.enqueue_failed(signal, items);
            return Err(Refused::retryable("sending queue is full"));
        }
        if senders_wait {
            return self.told(lane.answer_to(batch, origin.as_ref()).await);
        }
        let (delivery, settle) = Delivery::pending();
        match lane.push(batch, origin.as_ref(), settle).await {
            true => Ok(delivery),
            false => Err(Refused::stopped(self.context.id())),
        }
    }

    /// What the sender hears who has waited for the answer.
    fn told(&self, answer: Answer) -> Result<Delivery, Refused> {
        match answer {
            Ok(()) => Ok(Delivery::delivered()),
            Err(None) => Err(Refused::stopped(self.context.id())),
            Err(Some(error)) => Err(error.into()),
        }
    }

    /// Sends a request until it is taken or given up; both are counted here. `Err(None)`: nothing was decided, as the
    /// exporter is stopping.
    pub(crate) async fn send(&self, signal: OtlpSignal, items: u64, payload: Body, origin: Option<&Origin>) -> Answer {
        let first = self.settings();
        if first.queue.enabled {
            self.counters.left_queue(items, payload.len());
        }
        let mut backoff = Backoff::new(&first.retry);
        loop {
            let settings = self.settings();
            let error = match settings.transport.send(signal, payload.clone(), origin).await {
                Ok(partial) => {
                    self.taken(&settings, signal, items, partial);
                    return Ok(());
                }
                Err(error) => error,
            };
            let is_ours = settings.queue.enabled && !settings.queue.wait_for_result;
            if error.retryable && self.stage() >= Stage::Draining {
                let then = if is_ours { Then::Kept } else { Then::Refused };
                self.failed(&settings, signal, items, &error, then);
                return Err(None);
            }
            let delay = if error.retryable { backoff.next(error.retry_after) } else { None };
            let then = match delay {
                Some(_) => Then::Again,
                None if is_ours => Then::Dropped,
                None => Then::Refused,
            };
            self.failed(&settings, signal, items, &error, then);
            let Some(delay) = delay else {
                self.counters.send_failed(signal, items);
                return Err(Some(error));
            };
            tracing::debug!(error = error.message, delay = delay.as_secs_f64(), "export failed, will be tried again");
            let mut stage = self.stage.subscribe();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = stage.wait_for(|stage| *stage >= Stage::Draining) => {}
            }
        }
    }

    fn taken(&self, settings: &Settings, signal: OtlpSignal, items: u64, partial: Option<PartialSuccess>) {
        if self.troubles.taken(signal, settings.transport.endpoint(signal), || self.waiting(signal)) {
            self.context.healthy("exports succeed");
        }
        let rejected = partial.as_ref().map_or(0, |partial| partial.rejected.min(items));
        if let Some(partial) = partial {
            // Must not be sent again (OTLP specification, "Partial Success").
            tracing::warn!(rejected, message = partial.message, "partial success");
        }
        self.counters.sent(signal, items - rejected);
        if rejected > 0 {
            self.counters.send_failed(signal, rejected);
        }
    }

    fn failed(&self, settings: &Settings, signal: OtlpSignal, items: u64, error: &SendError, then: Then) {
        let endpoint = settings.transport.endpoint(signal);
        self.troubles.failed(&Failed { signal, endpoint, items, error, then }, || self.waiting(signal));
        let to = endpoint.map(|endpoint| format!(" to {endpoint}")).unwrap_or_default();
        self.context.unhealthy(format!("exporting{to} failed: {}", error.message));
    }

    /// Items in the queues of a signal, those under way with them; nothing if it has none.
    fn waiting(&self, signal: OtlpSignal) -> Option<u64> {
        let lanes = self.lanes();
        let items = lanes.iter().filter(|lane| lane.has_signal(signal)).map(|lane| lane.used(Sizer::Items));
        items.reduce(|sum, items| sum + items)
    }
}

impl Consumer<OtlpBatch> for Exporter {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(self.0.take(batch))
    }
}
