//! One container: its log is followed, its lines are handed on, its place is reported once delivered.

use std::time::Duration;

use base_metrics::Counter;
use base_stdx::timestamp::Seconds;
use bytes::Buf as _;
use sdk_component::Stop;
use sdk_docker::frames::{Line, Output, Splitter, parse_time, split_time};
use sdk_docker::{ContainerState, End, Engine, Logs};
use sdk_signals::{LogBatch, LogEntry, LogGroup};
use tokio::sync::watch;
use tokio::time::Instant;

use super::streams::Streams;
use crate::source::place::{Place, Skip};
use sdk_signals::window::{Progress, Window};

/// How often a container that does not print is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An engine that fails is asked again after this, twice as much each time, up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Batches on their way, per container. What is in them is bounded by whoever has taken them.
const IN_FLIGHT: usize = 4096;

/// So much of what comes in one turn makes a batch.
const BATCH_BYTES: usize = 64 << 10;

/// Drivers that keep no log which the engine could read.
const UNREADABLE: [&str; 7] = ["none", "syslog", "gelf", "fluentd", "awslogs", "splunk", "gcplogs"];

pub struct Follower {
    pub container: String,
    pub engine: Engine,
    pub streams: watch::Receiver<Streams>,
    pub start: Option<Place>,
    pub report: watch::Sender<Option<Place>>,
    pub entries: Counter,
    pub parsing_errors: Counter,
    pub last_deliveries: Duration,
}

/// What ended the reading of a log.
enum Ended {
    /// The log has an end: the container has stopped.
    Container,
    /// Something was lost on its way: read it again.
    Abandoned,
    /// We were told to stop.
    Told,
}

// === impl Follower ===

impl Follower {
    /// Until the container is gone or `stop`.
    pub async fn run(mut self, stop: Stop) {
        let container = &self.container[..self.container.len().min(12)].to_owned();
        let mut delivered = self.start;
        let mut finished_at = None;
        let mut back_off = BACK_OFF.0;
        let mut complained = false;
        while !stop.is_stopped() {
            let looked = tokio::select! {
                looked = self.engine.inspect(&self.container) => looked,
                () = stop.stopped() => return,
            };
            let pause = match looked {
                Ok(None) => return,
                Ok(Some(state)) if UNREADABLE.contains(&state.log_driver.as_str()) => {
                    tracing::error!(
                        container,
                        log_driver = state.log_driver,
                        "the engine keeps no log of this container that could be read; use the log driver json-file, local or journald"
                    );
                    return;
                }
                // A container that has stopped is read once more, to the end of its log.
                Ok(Some(state)) if !state.running && finished_at.as_ref() == Some(&state.finished_at) => LOOK_AGAIN,
                Ok(Some(state)) => {
                    let began = Instant::now();
                    match self.follow(&state, &mut delivered, &stop).await {
                        Ok(Ended::Told) => return,
                        Ok(Ended::Container) => {
                            (back_off, complained) = (BACK_OFF.0, false);
                            finished_at = (!state.running).then_some(state.finished_at);
                            // A container that restarts in a loop must not become a busy loop here.
                            LOOK_AGAIN.saturating_sub(began.elapsed()).max(Duration::from_millis(200))
                        }
                        Ok(Ended::Abandoned) => BACK_OFF.0,
                        Err(error) => self.complain(container, &error, &mut complained, &mut back_off),
                    }
                }
                Err(error) => self.complain(container, &error.to_string(), &mut complained, &mut back_off),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.stopped() => return,
            }
        }
    }

    /// Says it once, counts the waiting up.
    fn complain(&self, container: &str, error: &str, complained: &mut bool, back_off: &mut Duration) -> Duration {
        if !std::mem::replace(complained, true) {
            tracing::warn!(container, error, "cannot follow the log of a container; it is tried again");
        }
        let pause = *back_off;
        *back_off = (pause * 2).min(BACK_OFF.1);
        pause
    }

    /// Reads the log from where it was delivered to, until it ends.
    async fn follow(
        &mut self,
        state: &ContainerState,
        delivered: &mut Option<Place>,
        stop: &Stop,
    ) -> Result<Ended, String> {
        let since = since(*delivered);
        // What ends while the container runs is read again, whatever ended. The log of one that has stopped has one end.
        let end = if state.running { End::Unmarked } else { End::Marked };
        let opened = tokio::select! {
            opened = self.engine.logs(&self.container, &since, state.tty, end) => opened,
            () = stop.stopped() => return Ok(Ended::Told),
        };
        let mut logs = opened.map_err(|error| error.to_string())?;
        let mut window = Window::new(IN_FLIGHT);
        let ended = self.read(&mut logs, &mut window, delivered, stop).await;
        if !matches!(ended, Ok(Ended::Abandoned)) {
            self.drain(&mut window, delivered, stop).await;
        }
        ended
    }

    async fn read(
        &mut self,
        logs: &mut Logs,
        window: &mut Window<Place>,
        delivered: &mut Option<Place>,
        stop: &Stop,
    ) -> Result<Ended, String> {
        let mut splitter = Splitter::new(logs.tty);
        let mut lines = Vec::new();
        let mut skip = Skip::to(*delivered);
        let mut read_to = *delivered;
        let mut too_long = 0;
        let mut seconds = Seconds::default();
        loop {
            let read = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Ended::Told),
                progress = window.progress() => match progress {
                    Progress::Delivered(place) => {
                        self.delivered(delivered, place);
                        continue;
                    }
                    Progress::Abandoned => return Ok(Ended::Abandoned),
                },
                read = logs.read(splitter.buffer()), if !window.is_full() => read.map_err(|error| error.to_string())?,
            };
            if read == 0 {
                return Ok(Ended::Container);
            }
            let gathered = logs.gather(splitter.buffer(), BATCH_BYTES.saturating_sub(read)).await;
            let ended = gathered.map_err(|error| error.to_string())?;
            splitter.split(&mut lines).map_err(|error| error.to_string())?;
            if splitter.too_long() > too_long {
                self.parsing_errors.add(splitter.too_long() - too_long);
                too_long = splitter.too_long();
                tracing::error!(container = self.container, "a line of more than 1 MiB was skipped");
            }
            let batch = self.batch(&mut lines, &mut skip, &mut read_to, &mut seconds);
            let (false, Some(place)) = (batch.is_empty(), read_to) else {
                if ended {
                    return Ok(Ended::Container);
                }
                continue;
            };
            let count = batch.len() as u64;
            let forward_to = self.streams.borrow().forward_to().clone();
            let taken = tokio::select! {
                taken = forward_to.consume(batch) => taken,
                // Not taken, so not delivered: it is read again after the next start.
                () = stop.stopped() => return Ok(Ended::Told),
            };
            match taken {
                Ok(delivery) => {
                    self.entries.add(count);
                    window.push(place, delivery);
                }
                Err(refused) => {
                    tracing::debug!(container = self.container, %refused, "entries were refused; they are read again");
                    return Ok(Ended::Abandoned);
                }
            }
            if ended {
                return Ok(Ended::Container);
            }
        }
    }

    /// What the lines are as entries, and where they end.
    fn batch(
        &self,
        lines: &mut Vec<Line>,
        skip: &mut Skip,
        read_to: &mut Option<Place>,
        seconds: &mut Seconds,
    ) -> LogBatch {
        let streams = self.streams.borrow();
        let mut batch = LogBatch { rereadable: true, ..LogBatch::default() };
        let mut last = None;
        let most = lines.len();
        for mut line in lines.drain(..) {
            let Some((time, text)) = split_time(&line.bytes) else {
                self.parsing_errors.inc();
                continue;
            };
            let Some(nanos) = seconds.read(time, parse_time) else {
                self.parsing_errors.inc();
                continue;
            };
            if skip.is_done(nanos) {
                continue;
            }
            *read_to = Some(Place::after(*read_to, nanos));
            if text.is_empty() {
                continue;
            }
            let Some(labels) = streams.labels(line.output) else { continue };
            let start = line.bytes.len() - text.len();
            line.bytes.advance(start);
            let entry = LogEntry::new(nanos, line.bytes);
            // A run of lines of one output is one group; the order between the outputs is kept.
            match batch.groups.last_mut().filter(|_| last == Some(line.output)) {
                Some(group) => group.entries.push(entry),
                None => {
                    // Most batches are of one output.
                    let mut entries = Vec::with_capacity(if batch.groups.is_empty() { most } else { 1 });
                    entries.push(entry);
                    batch.groups.push(LogGroup { labels: labels.clone(), entries });
                }
            }
            last = Some::<Output>(line.output);
        }
        batch
    }

    fn delivered(&self, delivered: &mut Option<Place>, place: Place) {
        *delivered = Some(place);
        self.report.send_replace(Some(place));
    }

    /// Waits for what is on its way; not for long when told to stop.
    async fn drain(&self, window: &mut Window<Place>, delivered: &mut Option<Place>, stop: &Stop) {
        let limit = self.last_deliveries.min(stop.grace());
        let told = async {
            stop.stopped().await;
            tokio::time::sleep(limit).await;
        };
        tokio::pin!(told);
        while !window.is_empty() {
            tokio::select! {
                progress = window.progress() => match progress {
                    Progress::Delivered(place) => self.delivered(delivered, place),
                    Progress::Abandoned => return,
                },
                () = &mut told => return,
            }
        }
    }
}

/// A place as the engine's `since` takes it, which includes the lines of that time.
fn since(place: Option<Place>) -> String {
    match place {
        None => "0".to_owned(),
        Some(place) => format!("{}.{:09}", place.seconds(), place.nanos().rem_euclid(1_000_000_000)),
    }
}
