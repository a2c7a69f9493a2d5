//! `loki.process`: stages that change, filter and measure log lines.
//!
//! Read `work` and `pipeline` first: a batch becomes a table of line views, a stage is a function over the whole table,
//! and what comes out is grouped by label set again. Which extracted values exist is planned when the pipeline is made
//! (`plan`), so a line has a row of slots and no map.

pub mod fuzz;
mod jmespath;
pub(crate) mod json;
mod look;
mod mmdb;
mod pipeline;
mod plan;
mod selector;
mod stage;
mod streams;
mod template;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use language_eval::{Arguments, Exports};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_signals::{BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogsReceiver, Receiver, Refused, Settle};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::warn;

pub use pipeline::Pipeline;
pub use stage::StageArguments;
pub use work::Finished;

/// How many answers may wait to be passed on. Each stands for a batch that the receivers have taken.
const MAX_FOLLOWED: usize = 1024;

/// How soon a batch that was refused is offered again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Runs log lines through stages and forwards the result.
///
/// Stages run in the order of the configuration. They share a set of extracted values for each line, which starts with
/// the line's labels; parsing stages add to it, and others make labels, structured metadata, the time or the line itself
/// of it.
#[derive(Arguments)]
pub struct ProcessArguments {
    /// Where processed lines go.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// What is done with each line, in order.
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

/// What others may refer to.
#[derive(Exports)]
pub struct ProcessExports {
    /// Takes lines to process.
    receiver: LogsReceiver,
}

/// The component.
pub struct Process {
    context: Context,
    shared: Arc<Shared>,
    /// The stages that run, or will once they are committed.
    stages: Arc<Mutex<Vec<StageArguments>>>,
    followed: Mutex<Option<mpsc::Receiver<Followed>>>,
}

/// What the receiver and the component's own task work with.
struct Shared {
    id: String,
    /// The one pipeline. Batches of one sender come one after another, and order is kept inside a stream.
    running: tokio::sync::Mutex<Running>,
    /// Committed, and taken over by the next who has the pipeline.
    next: Mutex<Option<Next>>,
    /// There is something new for the component's task: an earlier deadline, other arguments, a refused batch.
    wake: Notify,
    followed: mpsc::Sender<Followed>,
    tap: Tap,
}

struct Running {
    pipeline: Pipeline,
    forward_to: FanOut<LogBatch>,
    /// A batch with lines of earlier batches in it that no receiver took. It is offered again before anything else.
    owed: Option<(LogBatch, Settle)>,
    /// When the component's task looks for held lines.
    armed: Option<Instant>,
    stopped: bool,
}

struct Next {
    pipeline: Option<Pipeline>,
    forward_to: FanOut<LogBatch>,
}

/// Answer here as that delivery does.
type Followed = (Settle, Delivery);

// === impl Process ===

impl Component for Process {
    const NAME: &'static str = "loki.process";

    type Arguments = ProcessArguments;
    type Exports = ProcessExports;

    fn build(context: &Context, arguments: ProcessArguments) -> Result<Process, Problem> {
        let pipeline = Pipeline::build(&arguments.stages, context.metrics())?;
        let (sender, receiver) = mpsc::channel(MAX_FOLLOWED);
        let shared = Arc::new(Shared {
            id: context.id().to_owned(),
            running: tokio::sync::Mutex::new(Running {
                pipeline,
                forward_to: fan_out(context, arguments.forward_to),
                owed: None,
                armed: None,
                stopped: false,
            }),
            next: Mutex::new(None),
            wake: Notify::new(),
            followed: sender,
            tap: context.tap(),
        });
        let receiver_of_lines =
            LogsReceiver(Receiver::new(context.id(), shared.clone() as Arc<dyn Consumer<LogBatch>>));
        context.publish(&ProcessExports { receiver: receiver_of_lines });
        Ok(Process {
            context: context.clone(),
            shared,
            stages: Arc::new(Mutex::new(arguments.stages)),
            followed: Mutex::new(Some(receiver)),
        })
    }

    fn update(&self, arguments: ProcessArguments) -> Result<Update, Problem> {
        // A pipeline keeps its state (partial lines, last times, counts) when its stages stay the same.
        let same = *lock(&self.stages) == arguments.stages;
        let pipeline = if same { None } else { Some(Pipeline::build(&arguments.stages, self.context.metrics())?) };
        let (shared, stages) = (self.shared.clone(), self.stages.clone());
        let forward_to = fan_out(&self.context, arguments.forward_to);
        Ok(Update::then(move || {
            *lock(&stages) = arguments.stages;
            let mut next = lock(&shared.next);
            // Two commits may come before anyone takes them over: the newer pipeline counts.
            let before = next.take().and_then(|next| next.pipeline);
            *next = Some(Next { pipeline: pipeline.or(before), forward_to });
            drop(next);
            shared.wake.notify_one();
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let taken = lock(&self.followed).take();
        let Some(mut followed) = taken else { return Err(Stopped("loki.process runs already".to_owned())) };
        let mut answers = FuturesUnordered::new();
        let result = loop {
            let (deadline, owes) = {
                let mut running = self.shared.running.lock().await;
                self.shared.take_over(&mut running).await;
                running.armed = running.pipeline.deadline();
                (running.armed, running.owed.is_some())
            };
            tokio::select! {
                () = stop.stopped() => break Ok(()),
                () = self.shared.wake.notified() => {}
                () = sleep_until(deadline), if deadline.is_some() => self.shared.release(false).await,
                () = tokio::time::sleep(RETRY_AFTER), if owes => self.shared.pay().await,
                Some((settle, delivery)) = followed.recv() => answers.push(settle.follow(delivery)),
                Some(()) = answers.next(), if !answers.is_empty() => {}
            }
        };
        let deadline = Instant::now() + stop.grace();
        let drain = async {
            self.shared.release(true).await;
            while self.shared.owes().await {
                tokio::time::sleep(RETRY_AFTER).await;
                self.shared.pay().await;
            }
        };
        if tokio::time::timeout_at(deadline, drain).await.is_err() {
            warn!("lines that were held back could not be forwarded in time; their sources will read them again");
        }
        self.shared.running.lock().await.stopped = true;
        while let Ok((settle, delivery)) = followed.try_recv() {
            answers.push(settle.follow(delivery));
        }
        let _ = tokio::time::timeout_at(deadline, async { while answers.next().await.is_some() {} }).await;
        // A restarted component follows again.
        *lock(&self.followed) = Some(followed);
        result
    }
}

fn fan_out(context: &Context, forward_to: Vec<LogsReceiver>) -> FanOut<LogBatch> {
    FanOut::new(forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

// === impl Shared ===

impl Consumer<LogBatch> for Shared {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(self.process(batch))
    }
}

impl Shared {
    async fn process(&self, batch: LogBatch) -> Result<Delivery, Refused> {
        let mut running = self.running.lock().await;
        if running.stopped {
            return Err(Refused::stopped(&self.id));
        }
        self.take_over(&mut running).await;
        running.pay().await?;
        look::at_incoming(&self.tap, &batch);
        let finished = running.pipeline.run(batch);
        look::at_outgoing(&self.tap, &finished.batch);
        if finished.delay > Duration::ZERO {
            tokio::time::sleep(finished.delay).await;
        }
        if finished.held.is_none() && finished.released.is_empty() {
            // Nothing of it can overtake anything: others may process while it is taken.
            let forward_to = running.forward_to.clone();
            drop(running);
            if finished.batch.is_empty() {
                return Ok(Delivery::dropped());
            }
            return forward_to.consume(finished.batch).await;
        }
        let delivery = self.hand_on(&mut running, finished).await;
        let deadline = running.pipeline.deadline();
        if running.armed.is_none_or(|armed| deadline.is_some_and(|deadline| deadline < armed)) && deadline.is_some() {
            running.armed = deadline;
            self.wake.notify_one();
        }
        Ok(delivery)
    }

    /// Forwards what came out of the pipeline, together with lines of earlier batches. It never fails: what is refused
    /// is kept, and offered again.
    async fn hand_on(&self, running: &mut Running, finished: Finished) -> Delivery {
        let Finished { batch, released, held, .. } = finished;
        if batch.is_empty() {
            // Lines that a stage dropped have been answered for where they were dropped.
            return held.unwrap_or_else(Delivery::dropped);
        }
        let (mine, settle) = Delivery::pending();
        let settle = Settle::all(released.into_iter().chain([settle]).collect());
        match running.forward_to.consume(batch.clone()).await {
            Ok(delivery) => {
                if let Err(mpsc::error::SendError((settle, _))) = self.followed.send((settle, delivery)).await {
                    // The component is gone, and nobody will hear of the delivery.
                    drop(settle);
                }
            }
            Err(refused) => {
                if running.owed.is_none() {
                    running.owed = Some((batch, settle));
                    self.wake.notify_one();
                } else {
                    warn!(%refused, "lines are abandoned, as others wait to be forwarded already");
                }
            }
        }
        Delivery::all([mine].into_iter().chain(held))
    }

    /// Takes over what was committed last.
    async fn take_over(&self, running: &mut Running) {
        let next = lock(&self.next).take();
        let Some(next) = next else { return };
        if let Some(pipeline) = next.pipeline {
            let finished = running.pipeline.release(true);
            look::at_outgoing(&self.tap, &finished.batch);
            running.pipeline = pipeline;
            running.armed = None;
            if !finished.batch.is_empty() || !finished.released.is_empty() {
                self.hand_on(running, finished).await.detach();
            }
        }
        running.forward_to = next.forward_to;
    }

    /// Lets held lines go that are due, or all.
    async fn release(&self, all: bool) {
        let mut running = self.running.lock().await;
        if running.pay().await.is_err() {
            // What is owed goes first; the component's task tries again.
            tokio::time::sleep(RETRY_AFTER).await;
            return;
        }
        let finished = running.pipeline.release(all);
        look::at_outgoing(&self.tap, &finished.batch);
        if !finished.batch.is_empty() || !finished.released.is_empty() {
            self.hand_on(&mut running, finished).await.detach();
        }
    }

    async fn pay(&self) {
        // Refused again: the component's task comes back.
        let _ = self.running.lock().await.pay().await;
    }

    async fn owes(&self) -> bool {
        self.running.lock().await.owed.is_some()
    }
}

// === impl Running ===

impl Running {
    /// Offers again what was refused.
    async fn pay(&mut self) -> Result<(), Refused> {
        let Some((batch, _)) = &self.owed else { return Ok(()) };
        let delivery = self.forward_to.consume(batch.clone()).await;
        match delivery {
            Ok(delivery) => {
                if let Some((_, settle)) = self.owed.take() {
                    base_sys::task::spawn("loki.process answers", settle.follow(delivery));
                }
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }
}

#[cfg(test)]
mod tests;
