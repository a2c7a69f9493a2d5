//! `otelcol.exporter.file`: writes what arrives to a file, or to one for each value of a resource attribute.
//!
//! One task owns the files. A batch is delivered when it was written and flushed; what cannot be written waits, and so does
//! everybody who sends.

mod arguments;
mod encoding;
mod files;
mod output;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Counter, Scope};
use language_eval::Exports;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_signals::{
    BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Outcome, Receiver, Refused, Settle,
};
use tokio::sync::{mpsc, watch};

pub use arguments::{Arguments, Compression, CompressionParams, Format, GroupBy, Rotation};
use encoding::{Encoded, Message};
use files::Files;

/// Batches that wait for the writer; whoever sends more waits, too.
const WAITING: usize = 16;
/// How long after a failure it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct FileExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct File {
    context: Context,
    arguments: watch::Sender<Arc<Arguments>>,
    /// Taken by the task that writes.
    inbox: Mutex<Option<mpsc::Receiver<Work>>>,
    counters: Counters,
}

/// The consumer behind `input`.
struct Input {
    component: String,
    writer: mpsc::Sender<Work>,
}

/// A batch on its way to the disk.
struct Work {
    batch: OtlpBatch,
    settle: Settle,
}

/// What was written, under the Collector's names.
#[derive(Clone)]
struct Counters {
    sent: Vec<(OtlpSignal, Counter)>,
    dropped: Vec<(OtlpSignal, Counter)>,
}

// === impl Counters ===

impl Counters {
    fn new(metrics: &Scope, exporter: &str) -> Counters {
        let family = |what: &str, help: &str| {
            let counter = |signal: OtlpSignal| {
                let name = format!("otelcol_exporter_{what}_{}_total", signal.items());
                (signal, metrics.counter_vec(&name, help, &["exporter"]).with(&[exporter]))
            };
            OtlpSignal::ALL.into_iter().map(counter).collect()
        };
        Counters {
            sent: family("sent", "Number of items successfully sent to destination."),
            dropped: family("send_failed", "Number of items in failed attempts to send to destination."),
        }
    }

    fn sent(&self, signal: OtlpSignal, items: u64) {
        add(&self.sent, signal, items);
    }

    fn dropped(&self, signal: OtlpSignal, items: u64) {
        add(&self.dropped, signal, items);
    }
}

fn add(family: &[(OtlpSignal, Counter)], signal: OtlpSignal, items: u64) {
    if let Some((_, counter)) = family.iter().find(|(other, _)| *other == signal) {
        counter.add(items);
    }
}

// === impl File ===

impl Component for File {
    const NAME: &'static str = "otelcol.exporter.file";
    const STABILITY: sdk_component::Stability = sdk_component::Stability::PublicPreview;
    type Arguments = Arguments;
    type Exports = FileExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let (writer, inbox) = mpsc::channel(WAITING);
        let input = Input { component: context.id().to_owned(), writer };
        context.publish(&FileExports { input: OtelConsumer(Receiver::new(context.id(), Arc::new(input))) });
        Ok(File {
            context: context.clone(),
            arguments: watch::Sender::new(Arc::new(arguments)),
            inbox: Mutex::new(Some(inbox)),
            counters: Counters::new(context.metrics(), &format!("file/{}", context.id())),
        })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let sender = self.arguments.clone();
        Ok(Update::then(move || {
            sender.send_replace(Arc::new(arguments));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut inbox = inbox.expect("a component runs once");
        let mut arguments = self.arguments.subscribe();
        let current = arguments.borrow_and_update().clone();
        let mut writer = Writer {
            context: self.context.clone(),
            files: Files::new(current, self.counters.clone()),
            arguments: self.arguments.subscribe(),
            failing: false,
        };
        writer.open(&stop).await;
        loop {
            let flush = writer.files.flush_at();
            let flushing = async {
                match flush {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Ok(()) = arguments.changed() => {
                    let next = arguments.borrow_and_update().clone();
                    writer.arguments.mark_unchanged();
                    // What cannot be written where it should have been is written where it belongs now.
                    let _ = writer.files.flush().await;
                    writer.files.replace(next);
                    writer.open(&stop).await;
                }
                () = flushing => writer.flush(&stop).await,
                work = inbox.recv() => match work {
                    Some(work) => self.write(&mut writer, work, &stop).await,
                    None => break,
                },
            }
        }
        // What was taken is written, too; nothing more is taken.
        inbox.close();
        while let Ok(work) = inbox.try_recv() {
            self.write(&mut writer, work, &stop).await;
        }
        writer.flush(&stop).await;
        Ok(())
    }
}

impl File {
    async fn write(&self, writer: &mut Writer, work: Work, stop: &Stop) {
        let Work { batch, settle } = work;
        let signal = batch.signal;
        let Encoded { messages, dropped } = encoding::encode(writer.files.arguments(), &batch);
        if dropped > 0 {
            self.counters.dropped(signal, dropped);
        }
        if messages.is_empty() {
            settle.settle(Outcome::Dropped);
            return;
        }
        for message in messages {
            // One part of the settle for each file.
            writer.append(message, signal, settle.clone(), stop).await;
        }
        settle.settle(Outcome::Delivered);
    }
}

/// Tries until it is written.
struct Writer {
    context: Context,
    files: Files,
    /// To see that others are there, and leave off trying.
    arguments: watch::Receiver<Arc<Arguments>>,
    /// It was said that nothing can be written.
    failing: bool,
}

// === impl Writer ===

impl Writer {
    /// Opens the file whose name is known from the start.
    async fn open(&mut self, stop: &Stop) {
        while let Err(error) = self.files.open().await {
            if !self.failed(&error, stop).await {
                return;
            }
        }
        self.well();
    }

    async fn append(&mut self, message: Message, signal: OtlpSignal, settle: Settle, stop: &Stop) {
        self.files.append(message, signal, settle);
        if self.files.is_due() {
            self.flush(stop).await;
        }
    }

    async fn flush(&mut self, stop: &Stop) {
        while let Err(error) = self.files.flush().await {
            if !self.failed(&error, stop).await {
                return;
            }
        }
        self.well();
    }

    /// Says it once, and waits; `false` when there is no more time to wait, or there are other arguments.
    async fn failed(&mut self, error: &str, stop: &Stop) -> bool {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error, "cannot write; what arrives waits at its source");
        }
        self.context.unhealthy(error);
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => !self.arguments.has_changed().unwrap_or(false),
            () = stop.stopped() => false,
        }
    }

    fn well(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("writing again");
        }
        self.context.healthy("writing");
    }
}

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.items == 0 {
                return Ok(Delivery::delivered());
            }
            let (delivery, settle) = Delivery::pending();
            let sent = self.writer.send(Work { batch, settle }).await;
            sent.map(|()| delivery).map_err(|_| Refused::stopped(&self.component))
        })
    }
}

#[cfg(test)]
mod tests;
