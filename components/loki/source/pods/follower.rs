//! One container: its log is followed through the API, its lines are handed on, its place is reported once delivered.
//!
//! The API knows the log of a container's present instance and of the one before it. So whenever the container was
//! restarted, the instance before is read to its end first, then the present one. A log that ends tells nothing by itself
//! (the connection may have been cut on its way, politely): the pod does.

use std::sync::Arc;
use std::time::Duration;

use base_stdx::timestamp::parse_rfc3339;
use base_sys::clock;
use bytes::Bytes;
use sdk_component::Stop;
use sdk_kubernetes::objects::Pod;
use sdk_kubernetes::{ApiError, Cluster, LogRequest};
use sdk_labels::Labels;
use sdk_net::Streaming;
use sdk_signals::{FanOut, LogBatch, LogEntry, LogGroup};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::lines::{Splitter, lines, split_time};
use super::target::Container;
use crate::source::place::{Place, Skip};
use sdk_signals::window::{Progress, Window};

/// Batches on their way, per container. What is in them is bounded by whoever has taken them.
const IN_FLIGHT: usize = 4096;

/// Lines come in small pieces: so long we wait for more, and so much makes a batch.
const LINGER: Duration = Duration::from_millis(5);
const BATCH_BYTES: usize = 64 << 10;

/// How often the log of the instance before is asked for when it cannot be had.
const PREVIOUS_ATTEMPTS: u32 = 3;

/// An API server or a kubelet that fails is asked again after at most this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Kubelets before this version stop to follow a log that is rotated (kubernetes/kubernetes#115702).
const FOLLOWS_ROTATION: (u32, u32) = (1, 29);

/// How patient a follower is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a container that does not run is looked at, at first and later on.
    pub look: (Duration, Duration),
    /// A silent log is opened again after this: its connection may be dead.
    pub silence: Duration,
    /// So long after its end a container's log is read once more: what it said last may come late.
    pub settle: Duration,
    /// How long an unwanted container's log is read on for its last words.
    pub last_words: Duration,
    /// How long a stop waits for deliveries.
    pub last_deliveries: Duration,
}

/// What is wanted of a follower now.
#[derive(Clone)]
pub struct Wish {
    /// The label sets of each line, mostly one.
    pub labels: Vec<Labels>,
    pub forward_to: FanOut<LogBatch>,
    /// Which instance discovery knows of.
    pub instance: String,
    /// The container is not wanted any more: so long its last words are waited for.
    pub leave_at: Option<Instant>,
}

/// What a follower has to tell.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Delivered up to here.
    pub place: Option<Place>,
    /// The time of the last line, or of the last error; nanoseconds since 1970.
    pub updated: i64,
    pub last_error: String,
}

pub struct Follower {
    pub container: Container,
    pub cluster: Cluster,
    pub wish: watch::Receiver<Wish>,
    pub start: Option<Place>,
    /// Without a place begin at the end of the log.
    pub from_end: bool,
    pub report: watch::Sender<Report>,
    pub patience: Patience,
    /// Not all followers ask for their pods at once.
    pub gate: Arc<Semaphore>,
    /// Whether kubelets follow rotated logs; asked once for all.
    pub follows_rotation: Arc<OnceCell<bool>>,
}

/// How the container is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The pod is gone, or another one has its name.
    Gone,
    /// It was never started.
    NotYet,
    /// We may not look at pods.
    Unknown,
    Running {
        restarts: i64,
    },
    Ended {
        restarts: i64,
        for_good: bool,
        finished: Option<i64>,
    },
}

/// What ended the reading of a log.
#[derive(Debug, PartialEq)]
enum Ended {
    /// The log has an end.
    Log,
    /// Nothing came for long, or what was read got lost on its way: open it again.
    Again,
    /// We were told to stop, or to leave.
    Told,
}

/// Where the following of a container has come to.
struct Progression {
    delivered: Option<Place>,
    /// The instance whose log was read last.
    followed: Option<i64>,
    /// The instance that was read to its end after it had ended.
    finished: Option<i64>,
    /// When it was first seen to have ended.
    seen_ended: Option<(i64, Instant)>,
    previous_attempts: u32,
    look: Duration,
    complained: bool,
    /// A line without a time that was told already.
    told: Bytes,
}

/// How the gaps between lines are, to know a silence.
struct Rhythm {
    last: Instant,
    gaps: u32,
    average: Duration,
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Patience {
            look: (Duration::from_millis(250), Duration::from_secs(5)),
            silence: Duration::from_secs(600),
            settle: Duration::from_secs(10),
            last_words: Duration::from_secs(10),
            last_deliveries: Duration::from_secs(5),
        }
    }
}

// === impl Follower ===

impl Follower {
    /// Until the container has ended for good, is not wanted any more, or `stop`.
    pub async fn run(self, stop: Stop) {
        let mut so_far = Progression {
            delivered: self.start,
            followed: None,
            finished: None,
            seen_ended: None,
            previous_attempts: 0,
            look: self.patience.look.0,
            complained: false,
            told: Bytes::new(),
        };
        if self.from_end && so_far.delivered.is_none() {
            so_far.delivered = Some(Place::at(clock::now_ns()));
        }
        loop {
            let wait = match self.step(&mut so_far, &stop).await {
                Ok(None) => return,
                Ok(Some(wait)) => wait,
                Err(error) => {
                    if !std::mem::replace(&mut so_far.complained, true) {
                        tracing::warn!(target = %self.container, error, "cannot follow the log of a container; it is tried again");
                    }
                    self.report.send_modify(|report| {
                        report.last_error = error;
                        report.updated = clock::now_ns();
                    });
                    so_far.longer(LONGEST_WAIT)
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.stopped() => return,
                () = self.news(&mut so_far) => {}
                () = left(self.wish.clone()) => return,
            }
        }
    }

    /// Looks at the container and reads what there is to read. Gives back how long to wait before the next step; nothing
    /// when there will be nothing more.
    async fn step(&self, so_far: &mut Progression, stop: &Stop) -> Result<Option<Duration>, String> {
        let most = self.patience.look.1;
        let Some(looked) = self.unless_told(stop, self.look()).await else { return Ok(None) };
        let phase = looked.map_err(|error| error.to_string())?;
        let restarts = match phase {
            Phase::Gone => return Ok(None),
            Phase::NotYet => return Ok(Some(so_far.longer(most))),
            Phase::Unknown => None,
            Phase::Running { restarts } | Phase::Ended { restarts, .. } => Some(restarts),
        };
        if let Some(restarts) = restarts
            && so_far.is_behind(restarts)
            && so_far.previous_attempts < PREVIOUS_ATTEMPTS
            && !(self.from_end && self.start.is_none() && so_far.followed.is_none())
        {
            so_far.previous_attempts += 1;
            if self.read_previous(so_far, stop).await? == Ended::Told {
                return Ok(None);
            }
            so_far.previous_attempts = 0;
            so_far.followed = Some(restarts);
            so_far.finished = None;
        }
        if let Phase::Ended { restarts, for_good, finished } = phase {
            let seen = match so_far.seen_ended {
                Some((of, seen)) if of == restarts => seen,
                _ => so_far.seen_ended.insert((restarts, Instant::now())).1,
            };
            let old = finished.is_some_and(|at| clock::now_ns() - at > 6 * self.patience.settle.as_nanos() as i64);
            if so_far.finished == Some(restarts) {
                let settled = seen + self.patience.settle;
                return match (for_good, Instant::now() < settled) {
                    (true, true) => {
                        so_far.finished = None;
                        Ok(Some(settled - Instant::now()))
                    }
                    (true, false) => Ok(None),
                    (false, _) => Ok(Some(so_far.longer(most))),
                };
            }
            // The second reading after the end, or one long after it, is the last.
            if self.follow(so_far, false, true, stop).await? == Ended::Told {
                return Ok(None);
            }
            so_far.followed = Some(restarts);
            so_far.finished = Some(restarts);
            so_far.complained = false;
            return match for_good && (old || seen.elapsed() >= self.patience.settle) {
                true => Ok(None),
                false => Ok(Some(Duration::ZERO)),
            };
        }
        let ended = self.follow(so_far, true, false, stop).await?;
        so_far.followed = restarts;
        so_far.complained = false;
        match ended {
            Ended::Told => Ok(None),
            Ended::Again => Ok(Some(self.patience.look.0)),
            // Asked at once, the pod would mostly say that it still runs.
            Ended::Log => Ok(Some(so_far.longer(most))),
        }
    }

    async fn look(&self) -> Result<Phase, ApiError> {
        let _turn = self.gate.acquire().await;
        match self.cluster.get::<Pod>(&self.container.namespace, &self.container.pod).await {
            Ok(pod) => Ok(self.phase(&pod)),
            Err(error) if error.code() == Some(404) => Ok(Phase::Gone),
            Err(error) if error.code() == Some(403) => {
                tracing::debug!(target = %self.container, %error, "we may not look at pods; the log alone has to tell");
                Ok(Phase::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    fn phase(&self, pod: &Pod) -> Phase {
        if pod.metadata.uid != self.container.uid {
            return Phase::Gone;
        }
        let Some((kind, status)) = pod.container_status(&self.container.name) else { return Phase::NotYet };
        let restarts = status.restart_count;
        if status.state.running.is_some() {
            return Phase::Running { restarts };
        }
        // While a container waits to be started again, its log is that of the instance which has ended.
        let ended = status.state.terminated.as_ref();
        let Some(last) = ended.or(status.last_state.terminated.as_ref()) else { return Phase::NotYet };
        Phase::Ended {
            restarts,
            for_good: pod.has_ended_for_good(kind, status),
            finished: last.finished_at.as_ref().and_then(|time| parse_rfc3339(time.as_bytes())),
        }
    }

    /// What the instance before has said since we last heard of it.
    async fn read_previous(&self, so_far: &mut Progression, stop: &Stop) -> Result<Ended, String> {
        let request = LogRequest { previous: true, ..self.request(so_far.delivered, false) };
        let Some(opened) = self.unless_told(stop, self.cluster.log(request)).await else { return Ok(Ended::Told) };
        match opened {
            Ok(streaming) => self.read(streaming, so_far, true, stop).await,
            // It is there no more.
            Err(error) if matches!(error.code(), Some(400 | 404)) => {
                tracing::debug!(target = %self.container, %error, "there is no log of the instance before");
                Ok(Ended::Log)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn follow(&self, so_far: &mut Progression, follow: bool, whole: bool, stop: &Stop) -> Result<Ended, String> {
        let request = self.request(so_far.delivered, follow);
        // Nothing comes, not even the head of an answer, while the container says nothing.
        let opened = timeout(self.patience.silence, self.cluster.log(request));
        let Some(opened) = self.unless_told(stop, opened).await else { return Ok(Ended::Told) };
        match opened {
            Ok(Ok(streaming)) => self.read(streaming, so_far, whole, stop).await,
            Err(_) => Ok(Ended::Again),
            Ok(Err(error)) if error.is_timeout() => Ok(Ended::Again),
            // It was not started yet, or is just being removed: the pod will tell.
            Ok(Err(error)) if matches!(error.code(), Some(400 | 404)) => {
                tracing::debug!(target = %self.container, %error, "no log yet");
                Ok(Ended::Log)
            }
            Ok(Err(error)) => Err(error.to_string()),
        }
    }

    fn request(&self, from: Option<Place>, follow: bool) -> LogRequest<'_> {
        LogRequest {
            namespace: &self.container.namespace,
            pod: &self.container.pod,
            container: &self.container.name,
            since: from.map(|place| place.nanos()).filter(|nanos| *nanos > 0),
            follow,
            previous: false,
        }
    }

    /// Reads a log to its end. `whole`: a line without a line feed at its end is whole.
    async fn read(
        &self,
        mut log: Streaming,
        so_far: &mut Progression,
        whole: bool,
        stop: &Stop,
    ) -> Result<Ended, String> {
        let mut window = Window::new(IN_FLIGHT);
        let ended = self.hand_on(&mut log, &mut window, so_far, whole, stop).await;
        drop(log);
        if !matches!(ended, Ok(Ended::Again)) {
            self.drain(&mut window, so_far, stop).await;
        }
        ended
    }

    async fn hand_on(
        &self,
        log: &mut Streaming,
        window: &mut Window<Option<Place>>,
        so_far: &mut Progression,
        whole: bool,
        stop: &Stop,
    ) -> Result<Ended, String> {
        let (mut splitter, mut skip) = (Splitter::default(), Skip::to(so_far.delivered));
        let mut read_to = so_far.delivered;
        let mut too_long = 0;
        let follows_rotation = self.follows_rotation().await;
        let mut rhythm = Rhythm { last: Instant::now(), gaps: 0, average: Duration::ZERO };
        loop {
            let silent_at = rhythm.last + rhythm.silence(self.patience.silence, follows_rotation);
            let chunk = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Ended::Told),
                progress = window.progress() => match progress {
                    Progress::Delivered(place) => {
                        self.delivered(so_far, place);
                        continue;
                    }
                    Progress::Abandoned => return Ok(Ended::Again),
                },
                chunk = log.chunk(), if !window.is_full() => chunk.map_err(|error| error.to_string())?,
                () = sleep_until(silent_at), if !window.is_full() => return Ok(Ended::Again),
                () = left(self.wish.clone()) => return Ok(Ended::Told),
            };
            let mut ended = chunk.is_none();
            if let Some(chunk) = chunk {
                rhythm.beat();
                splitter.push(&chunk);
                ended = gather(log, chunk.len(), &mut splitter).await?;
            }
            let mut text = splitter.take();
            if ended && text.is_empty() && whole {
                text = splitter.rest();
            }
            if splitter.too_long > too_long {
                too_long = splitter.too_long;
                tracing::error!(target = %self.container, "a line of more than 16 MiB was skipped");
            }
            let batch = self.batch(&text, &mut skip, &mut read_to, so_far);
            if !batch.is_empty() {
                so_far.look = self.patience.look.0;
                let forward_to = self.wish.borrow().forward_to.clone();
                let taken = tokio::select! {
                    taken = forward_to.consume(batch) => taken,
                    // Not taken, so not delivered: it is read again after the next start.
                    () = stop.stopped() => return Ok(Ended::Told),
                    () = left(self.wish.clone()) => return Ok(Ended::Told),
                };
                match taken {
                    Ok(delivery) => window.push(read_to, delivery),
                    Err(refused) => {
                        tracing::debug!(target = %self.container, %refused, "entries were refused; they are read again");
                        return Ok(Ended::Again);
                    }
                }
            }
            if ended && (splitter.is_empty() || !whole) {
                return Ok(Ended::Log);
            }
        }
    }

    /// What the lines are as entries, once for each label set, and where they end.
    fn batch(&self, text: &Bytes, skip: &mut Skip, read_to: &mut Option<Place>, so_far: &mut Progression) -> LogBatch {
        let mut entries = Vec::new();
        for line in lines(text) {
            match split_time(&line) {
                Some((nanos, _)) if skip.is_done(nanos) => {}
                Some((nanos, text)) => {
                    *read_to = Some(Place::after(*read_to, nanos));
                    entries.push(LogEntry::new(nanos, text));
                }
                // The kubelet says at each attempt why it has no log; once is enough.
                None if line == so_far.told => {}
                None => {
                    entries.push(LogEntry::new(clock::now_ns(), line.clone()));
                    so_far.told = line;
                }
            }
        }
        let mut batch = LogBatch { rereadable: true, ..LogBatch::default() };
        let Some(last) = entries.last() else { return batch };
        self.report.send_modify(|report| {
            report.updated = last.timestamp;
            report.last_error.clear();
        });
        let wish = self.wish.borrow();
        let (first, others) = wish.labels.split_first().expect("a container is wanted with at least one label set");
        for labels in others {
            batch.groups.push(LogGroup { labels: labels.clone(), entries: entries.clone() });
        }
        batch.groups.push(LogGroup { labels: first.clone(), entries });
        batch
    }

    fn delivered(&self, so_far: &mut Progression, place: Option<Place>) {
        let Some(place) = place else { return };
        so_far.delivered = Some(place);
        self.report.send_modify(|report| report.place = Some(place));
    }

    /// Waits for what is on its way; not for long when told to stop or to leave.
    async fn drain(&self, window: &mut Window<Option<Place>>, so_far: &mut Progression, stop: &Stop) {
        let limit = self.patience.last_deliveries.min(stop.grace());
        let told = async {
            tokio::select! {
                () = stop.stopped() => {}
                () = left(self.wish.clone()) => {}
            }
            sleep(limit).await;
        };
        tokio::pin!(told);
        while !window.is_empty() {
            tokio::select! {
                progress = window.progress() => match progress {
                    Progress::Delivered(place) => self.delivered(so_far, place),
                    Progress::Abandoned => return,
                },
                () = &mut told => return,
            }
        }
    }

    async fn follows_rotation(&self) -> bool {
        let asked = self
            .follows_rotation
            .get_or_try_init(|| async { self.cluster.version().await.map(|version| version >= FOLLOWS_ROTATION) });
        // A server that does not say is taken for a new one, until it does.
        asked.await.copied().unwrap_or(true)
    }

    /// Discovery tells of another instance: time to look.
    async fn news(&self, so_far: &mut Progression) {
        let mut wish = self.wish.clone();
        let known = wish.borrow_and_update().instance.clone();
        if wish.wait_for(|wish| wish.instance != known).await.is_err() {
            std::future::pending::<()>().await;
        }
        so_far.look = self.patience.look.0;
    }

    /// The work, unless we are told to stop or to leave before it is done.
    async fn unless_told<T>(&self, stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = stop.stopped() => None,
            () = left(self.wish.clone()) => None,
        }
    }
}

/// Resolves when the container is not wanted any more and the time for its last words is over.
async fn left(mut wish: watch::Receiver<Wish>) {
    loop {
        let leave_at = wish.borrow_and_update().leave_at;
        let changed = match leave_at {
            Some(time) => match timeout_at(time, wish.changed()).await {
                Ok(changed) => changed,
                Err(_) => return,
            },
            None => wish.changed().await,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Takes what else is there already, up to a batch; whether the log has ended.
async fn gather(log: &mut Streaming, mut bytes: usize, splitter: &mut Splitter) -> Result<bool, String> {
    let deadline = Instant::now() + LINGER;
    while bytes < BATCH_BYTES {
        let Ok(chunk) = timeout_at(deadline, log.chunk()).await else { return Ok(false) };
        // What is there already goes first; the next call meets the error again.
        let Ok(chunk) = chunk else { return Ok(false) };
        let Some(chunk) = chunk else { return Ok(true) };
        bytes += chunk.len();
        splitter.push(&chunk);
    }
    Ok(false)
}

// === impl Progression ===

impl Progression {
    /// The container was restarted since we last read of it, and the end of the instance before may be missing.
    fn is_behind(&self, restarts: i64) -> bool {
        restarts > 0 && self.followed != Some(restarts) && self.finished != Some(restarts - 1)
    }

    /// The wait until the next look, each time longer.
    fn longer(&mut self, most: Duration) -> Duration {
        let wait = self.look.min(most);
        self.look = wait * 2;
        wait
    }
}

// === impl Rhythm ===

impl Rhythm {
    /// Something has come.
    fn beat(&mut self) {
        let gap = self.last.elapsed();
        self.last = Instant::now();
        self.gaps = (self.gaps + 1).min(10_000);
        // The average of the first ones, then of about the last ten thousand.
        self.average = (self.average * (self.gaps - 1) + gap) / self.gaps;
    }

    /// How long nothing may come before the log is opened again.
    fn silence(&self, most: Duration, follows_rotation: bool) -> Duration {
        if follows_rotation || self.gaps < 100 {
            return most;
        }
        (self.average * 3).max(Duration::from_secs(6)).min(most)
    }
}
