//! Hands records on as they are read, and moves positions as they are delivered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Counter, CounterVec, Gauge};
use base_sys::fs::Sync;
use sdk_component::{Context, Stop, Stopped};
use sdk_otel::output::Outputs;
use sdk_signals::window::{Progress, Window};
use sdk_signals::{Delivery, OtlpBatch, OtlpSignal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::{Files, Mark, Setup, Step};

/// What the component shows of its work.
pub(super) struct Shared {
    files: Mutex<Vec<(String, u64)>>,
    accepted: Counter,
    refused: Counter,
    dropped: CounterVec,
    open_files: Gauge,
    held: Gauge,
}

/// The work of the component.
pub(super) struct Feed {
    outputs: Outputs,
    setup: watch::Receiver<Arc<Setup>>,
    shared: Arc<Shared>,
    /// Away while a step is done.
    files: Option<Files>,
    window: Window<Vec<Mark>>,
    /// Places that operators hold records of, or of what came before.
    held: VecDeque<Mark>,
    /// Positions have moved since they were saved last.
    moved: bool,
    save_at: Instant,
}

/// Requests on their way at the same time.
const MAX_REQUESTS: usize = 128;

/// Positions are saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The component was asked to stop, or the process is ending.
struct Ended;

// === impl Shared ===

impl Shared {
    pub(super) fn new(context: &Context) -> Shared {
        let metrics = context.metrics();
        let receiver = format!("file_log/{}", context.local_id());
        let counter = |what: &str, help: &str| {
            let name = format!("otelcol_receiver_{what}_log_records_total");
            metrics.counter_vec(&name, help, &["receiver", "transport"]).with(&[&receiver, ""])
        };
        counter("failed", "Number of items that failed to be processed by the receiver due to internal errors.");
        Shared {
            files: Mutex::default(),
            accepted: counter("accepted", "Number of items successfully pushed into the pipeline."),
            refused: counter("refused", "Number of items that could not be pushed into the pipeline."),
            dropped: metrics.counter_vec(
                "otelcol_receiver_filelog_dropped_log_records_total",
                "Records that operators dropped: filtered, without a route, or failed with on_error = \"drop\".",
                &["reason"],
            ),
            open_files: metrics.gauge("otelcol_fileconsumer_open_files", "Number of open files"),
            held: metrics
                .gauge("otelcol_receiver_filelog_held_readings", "Pieces of files of which an operator holds records."),
        }
    }

    /// The files that are read, and how far they have come.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, files: Vec<(String, u64)>) {
        self.open_files.set(files.len() as f64);
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }
}

// === impl Feed ===

impl Feed {
    pub(super) async fn open(
        context: &Context,
        outputs: Outputs,
        mut setup: watch::Receiver<Arc<Setup>>,
        shared: Arc<Shared>,
    ) -> Result<Feed, Stopped> {
        let first = setup.borrow_and_update().clone();
        let opened = base_sys::task::blocking(context.local_id(), move || Files::open(first)).await;
        let files = opened.returned().ok_or_else(|| Stopped("the process is shutting down".to_owned()))?;
        Ok(Feed {
            outputs,
            setup,
            shared,
            files: Some(files),
            window: Window::new(MAX_REQUESTS),
            held: VecDeque::new(),
            moved: true,
            save_at: Instant::now() + SAVE_EVERY,
        })
    }

    /// Until it is asked to stop.
    pub(super) async fn run(mut self, stop: &Stop) {
        let _: Result<(), Ended> = self.read(stop).await;
        // With positions, what operators hold is read again after the next start, and whole.
        if self.files.as_ref().is_some_and(|files| !files.keep_positions())
            && let Ok(step) = self.work(Files::finish).await
            && let Some((request, count)) = step.request
        {
            self.last(request, count).await;
        }
        let drained = async {
            while !self.window.is_empty() {
                match self.window.progress().await {
                    Progress::Delivered(marks) => self.delivered(&marks),
                    Progress::Abandoned => return,
                }
            }
        };
        let _ = tokio::time::timeout(stop.grace().mul_f64(0.9), drained).await;
        let _ = self.save(Sync::Disk).await;
    }

    async fn read(&mut self, stop: &Stop) -> Result<(), Ended> {
        loop {
            if self.setup.has_changed().unwrap_or(false) {
                let setup = self.setup.borrow_and_update().clone();
                let step = self.work(move |files| files.adopt(setup)).await?;
                self.moved = true;
                self.take(step, stop).await?;
            }
            let step = self.work(Files::step).await?;
            let done = step.done;
            self.take(step, stop).await?;
            if Instant::now() >= self.save_at {
                self.save(Sync::Kernel).await?;
            }
            if done {
                self.show();
                self.pause(stop).await?;
            } else if stop.is_stopped() {
                return Err(Ended);
            }
        }
    }

    /// Waits for the next round.
    async fn pause(&mut self, stop: &Stop) -> Result<(), Ended> {
        let interval = self.setup.borrow().poll_interval;
        let next = Instant::now() + interval;
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => return Err(Ended),
                progress = self.window.progress() => drop(self.progress(progress)),
                () = tokio::time::sleep_until(next) => return Ok(()),
            }
        }
    }

    /// Does work on the files off the reactor.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let mut files = self.files.take().ok_or(Ended)?;
        let done = base_sys::task::blocking("otelcol.receiver.filelog", move || {
            let result = work(&mut files);
            (files, result)
        });
        let (files, result) = done.await.returned().ok_or(Ended)?;
        self.files = Some(files);
        Ok(result)
    }

    /// Hands on what a step came to.
    async fn take(&mut self, step: Step, stop: &Stop) -> Result<(), Ended> {
        let counts =
            [("filtered", step.counts.filtered), ("unrouted", step.counts.unrouted), ("failed", step.counts.failed)];
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .for_each(|(reason, count)| self.shared.dropped.with(&[reason]).add(count));
        self.held.extend(step.mark);
        let oldest = step.oldest.unwrap_or(u64::MAX);
        let free = self.held.iter().take_while(|mark| mark.reading < oldest).count();
        let marks: Vec<Mark> = self.held.drain(..free).collect();
        self.shared.held.set(self.held.len() as f64);
        while self.window.is_full() {
            tokio::select! {
                biased;
                () = stop.stopped() => return Err(Ended),
                progress = self.window.progress() => {
                    if self.progress(progress) == Read::Again {
                        return Ok(());
                    }
                }
            }
        }
        let delivery = match step.request {
            Some((request, count)) => match self.hand_on(request, count, stop).await? {
                Some(delivery) => delivery,
                None => return Ok(()),
            },
            None if marks.is_empty() => return Ok(()),
            None => Delivery::delivered(),
        };
        self.window.push(marks, delivery);
        Ok(())
    }

    /// Hands a request on until it is taken; nothing is left of it when everything has to be read again meanwhile.
    async fn hand_on(&mut self, request: Vec<u8>, count: u32, stop: &Stop) -> Result<Option<Delivery>, Ended> {
        let request = bytes::Bytes::from(request);
        let (mut pause, longest) = self.setup.borrow().pauses;
        let mut told = false;
        loop {
            if !self.outputs.take(OtlpSignal::Logs) {
                return Ok(Some(Delivery::dropped()));
            }
            let batch = batch(request.clone(), count);
            let taken = tokio::select! {
                biased;
                taken = self.outputs.consume(batch) => taken,
                () = stop.stopped() => return Err(Ended),
            };
            match taken {
                Ok(delivery) => {
                    self.shared.accepted.add(u64::from(count));
                    return Ok(Some(delivery));
                }
                Err(refused) if !refused.retryable => {
                    self.shared.refused.add(u64::from(count));
                    tracing::error!(
                        reason = refused.reason,
                        records = count,
                        "records are refused for good and passed over"
                    );
                    return Ok(Some(Delivery::dropped()));
                }
                Err(refused) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(reason = refused.reason, records = count, "records are refused; reading waits");
                    }
                    let until = Instant::now() + refused.retry_after.unwrap_or(pause).max(MIN_PAUSE);
                    pause = (pause * 2).min(longest);
                    loop {
                        tokio::select! {
                            biased;
                            () = stop.stopped() => return Err(Ended),
                            progress = self.window.progress() => {
                                if self.progress(progress) == Read::Again {
                                    return Ok(None);
                                }
                            }
                            () = tokio::time::sleep_until(until) => break,
                        }
                    }
                }
            }
        }
    }

    /// Hands on what is left at a stop, once.
    async fn last(&mut self, request: Vec<u8>, count: u32) {
        if let Ok(delivery) = self.outputs.consume(batch(request.into(), count)).await {
            self.shared.accepted.add(u64::from(count));
            self.window.push(Vec::new(), delivery);
        } else {
            self.shared.dropped.with(&["stopped"]).add(u64::from(count));
        }
    }

    fn progress(&mut self, progress: Progress<Vec<Mark>>) -> Read {
        match progress {
            Progress::Delivered(marks) => {
                self.delivered(&marks);
                Read::On
            }
            Progress::Abandoned => {
                tracing::warn!("records were lost on their way; reading again what is not delivered");
                self.window.clear();
                self.held.clear();
                if let Some(files) = &mut self.files {
                    files.rewind();
                }
                Read::Again
            }
        }
    }

    fn delivered(&mut self, marks: &[Mark]) {
        if let Some(files) = &mut self.files {
            files.delivered(marks);
            self.moved |= !marks.is_empty();
        }
    }

    /// What cannot be saved is tried again the next time.
    async fn save(&mut self, sync: Sync) -> Result<(), Ended> {
        self.save_at = Instant::now() + SAVE_EVERY;
        if !std::mem::take(&mut self.moved) && sync == Sync::Kernel {
            return Ok(());
        }
        if let Err(error) = self.work(move |files| files.save(sync)).await? {
            self.moved = true;
            tracing::error!(%error, "cannot save positions; they are tried again");
        }
        Ok(())
    }

    fn show(&self) {
        if let Some(files) = &self.files {
            self.shared.show(files.list());
        }
    }
}

/// Between two tries it waits at least so long.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// Whether reading goes on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    On,
    Again,
}

fn batch(request: bytes::Bytes, items: u32) -> OtlpBatch {
    OtlpBatch { signal: OtlpSignal::Logs, payload: vec![request], items, origin: None }
}
