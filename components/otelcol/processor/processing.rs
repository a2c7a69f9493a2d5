//! What all processors share: a processor is its arguments and its work, everything else is here.
//!
//! The input that is exported once and never changes, the outputs, the counters, the swap of the work when the arguments
//! change, and the end. The work of earlier arguments is ended in order before that of later ones runs, so that what it
//! holds goes out first.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base_metrics::{Counter, Histogram};
use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_otel::output::{Output, Outputs};
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bounds of `otelcol_processor_internal_duration_seconds`: those that the Collector's library takes when nobody says.
const SECONDS: &[f64] = &[0., 5., 10., 25., 50., 75., 100., 250., 500., 750., 1000., 2500., 5000., 7500., 10000.];

/// When the next component refuses without saying for how long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The arguments of a processor, ready to be applied.
pub trait Processor: Send + Sync + Sized + 'static {
    /// The component's name: `otelcol.processor.` and the Collector's name of the processor.
    const NAME: &'static str;
    /// How settled it is.
    const STABILITY: Stability = Stability::GenerallyAvailable;
    /// What it takes; anything else is refused for good.
    const SIGNALS: &'static [OtlpSignal] = &OtlpSignal::ALL;
    /// What its block holds. The doc comment of the type is the component's page.
    type Arguments: Block + Send + 'static;

    /// Checks the arguments. Nobody must see that it was called: what is made may never be used.
    fn new(context: &Context, arguments: &Self::Arguments) -> Result<Self, Problem>;

    /// The `output` block.
    fn output(arguments: &Self::Arguments) -> &Output;

    /// What becomes of a batch. An empty one is not handed on and counts as delivered: whoever leaves something out on
    /// purpose, or keeps it, answers for it from here on.
    fn process(&self, batch: OtlpBatch) -> impl Future<Output = Result<OtlpBatch, Refused>> + Send;

    /// What there is to do beside the data that comes: timers, look-ups. At the stop it hands on what it holds, and ends;
    /// one that ends earlier is not started again. Called once for all arguments that were live, even for a moment, and cut
    /// off when it does not end in time.
    fn run(&self, site: &Site, stop: Stop) -> impl Future<Output = ()> + Send {
        let _ = site;
        async move { stop.stopped().await }
    }

    /// [`Processor::run`] has ended: from here on nothing may be held. What still is, is lost: so many items.
    fn close(&self) -> u64 {
        0
    }
}

/// Where a processor stands.
pub struct Site {
    /// Its component's.
    pub context: Context,
    /// Where it sends.
    pub outputs: Outputs,
    incoming: [Counter; 3],
    outgoing: [Counter; 3],
    dropped: [Counter; 3],
    duration: [Histogram; 3],
    /// Why nothing is taken at the moment, if it is not: see [`Site::insist`].
    blocked: Mutex<Option<Refused>>,
}

/// A batch that nobody else answers for any more: when it is let go of before it was handed on, it is counted as dropped.
struct InHand<'a> {
    site: &'a Site,
    batch: Option<OtlpBatch>,
}

/// What a processor exports.
#[derive(Clone, Debug, Exports)]
pub struct ProcessorExports {
    /// Takes traces, metrics and logs, as far as the component works on them.
    pub input: OtelConsumer,
}

/// The component around a [`Processor`].
pub struct Processing<P>(Arc<Input<P>>);

struct Input<P> {
    site: Site,
    work: RwLock<Arc<P>>,
    /// Those that have not run yet; the last is the one that is live.
    queue: Mutex<VecDeque<Arc<P>>>,
    queued: Notify,
}

// === impl Processing ===

impl<P: Processor> Component for Processing<P> {
    const NAME: &'static str = P::NAME;
    const STABILITY: Stability = P::STABILITY;
    type Arguments = P::Arguments;
    type Exports = ProcessorExports;

    fn build(context: &Context, arguments: P::Arguments) -> Result<Self, Problem> {
        let work = Arc::new(P::new(context, &arguments)?);
        let input = Arc::new(Input {
            site: Site::new::<P>(context, P::output(&arguments)),
            work: RwLock::new(work.clone()),
            queue: Mutex::new(VecDeque::from([work])),
            queued: Notify::new(),
        });
        let consumer = OtelConsumer(Receiver::new(context.id(), input.clone()));
        context.publish(&ProcessorExports { input: consumer });
        Ok(Processing(input))
    }

    fn update(&self, arguments: P::Arguments) -> Result<Update, Problem> {
        let (input, work) = (self.0.clone(), Arc::new(P::new(&self.0.site.context, &arguments)?));
        Ok(Update::then(move || {
            input.site.outputs.replace(P::output(&arguments));
            *input.work.write().unwrap_or_else(PoisonError::into_inner) = work.clone();
            input.queue().push_back(work);
            input.queued.notify_one();
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.0.site.context.healthy("started");
        loop {
            let next = self.0.queue().pop_front();
            match next {
                Some(work) => self.0.live(&work, &stop).await,
                None if stop.is_stopped() => return Ok(()),
                None => tokio::select! {
                    () = self.0.queued.notified() => {}
                    () = stop.stopped() => {}
                },
            }
        }
    }
}

// === impl Input ===

impl<P: Processor> Input<P> {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<P>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the work of one set of arguments until it is replaced, or all stops.
    async fn live(&self, work: &P, stop: &Stop) {
        let (ends, end) = stop.child();
        let mut running = pin!(work.run(&self.site, ends));
        let replaced = async {
            loop {
                let queued = self.queued.notified();
                if !self.queue().is_empty() {
                    break;
                }
                queued.await;
            }
        };
        let ended = tokio::select! {
            () = &mut running => true,
            () = replaced => false,
            () = stop.stopped() => false,
        };
        end.cancel();
        if !ended && tokio::time::timeout(stop.grace(), running).await.is_err() {
            tracing::error!(
                "could not hand on in time what was held when the arguments changed or the component stopped"
            );
        }
        let lost = work.close();
        if lost > 0 {
            tracing::warn!(items = lost, "dropping what was held");
            // Whoever holds items takes one signal.
            P::SIGNALS.iter().take(1).for_each(|signal| self.site.lost(*signal, lost));
        }
    }
}

impl<P: Processor> Consumer<OtlpBatch> for Input<P> {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let signal = batch.signal as usize;
            if !P::SIGNALS.contains(&batch.signal) || !self.site.outputs.take(batch.signal) {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            if let Some(refused) = self.site.blocked() {
                return Err(refused);
            }
            let work = self.work.read().unwrap_or_else(PoisonError::into_inner).clone();
            self.site.incoming[signal].add(batch.items.into());
            let begin = Instant::now();
            let processed = work.process(batch).await;
            self.site.duration[signal].observe(begin.elapsed().as_secs_f64());
            self.site.hand_on(processed?).await
        })
    }
}

// === impl Site ===

impl Site {
    fn new<P: Processor>(context: &Context, output: &Output) -> Site {
        let kind = P::NAME.rsplit('.').next().unwrap_or(P::NAME);
        let processor = format!("{kind}/{}", context.id());
        let signals = [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs];
        let counters = |name: &str, help: &str| {
            let family = context.metrics().counter_vec(name, help, &["processor", "otel_signal"]);
            signals.map(|signal| family.with(&[&processor, signal.name()]))
        };
        let durations = context.metrics().histogram_vec(
            "otelcol_processor_internal_duration_seconds",
            "Duration of time taken to process a batch of telemetry data through the processor.",
            SECONDS,
            &["processor", "otel_signal"],
        );
        Site {
            context: context.clone(),
            outputs: Outputs::new(context, output),
            incoming: counters("otelcol_processor_incoming_items_total", "Number of items passed to the processor."),
            outgoing: counters("otelcol_processor_outgoing_items_total", "Number of items emitted from the processor."),
            dropped: counters(
                "ferroalloy_otelcol_processor_dropped_items_total",
                "Number of items that the next component refused for good, or until the processor stopped.",
            ),
            blocked: Mutex::new(None),
            duration: signals.map(|signal| durations.with(&[&processor, signal.name()])),
        }
    }

    /// Sends a batch and counts it, unless there is nothing in it.
    pub async fn hand_on(&self, batch: OtlpBatch) -> Result<Delivery, Refused> {
        if batch.byte_len() == 0 {
            return Ok(Delivery::delivered());
        }
        let (signal, items) = (batch.signal as usize, u64::from(batch.items));
        let delivery = self.outputs.consume(batch).await?;
        self.outgoing[signal].add(items);
        Ok(delivery)
    }

    /// Offers batches, for which their senders no longer answer, one after the other until each is taken or refused for
    /// good; what is lost then, or when this is cut off, is counted. Meanwhile the processor refuses new data when the next
    /// component does.
    pub async fn insist(&self, batches: Vec<OtlpBatch>) {
        let in_hand = |batch| InHand { site: self, batch: Some(batch) };
        for mut held in batches.into_iter().map(in_hand).collect::<Vec<_>>() {
            let mut wait = FIRST_WAIT;
            while let Some(batch) = held.batch.clone() {
                match self.hand_on(batch).await {
                    Ok(delivery) => {
                        // The processor has answered for it; nobody waits.
                        delivery.detach();
                        held.batch = None;
                        if self.set_blocked(None).is_some() {
                            tracing::info!("the next component takes data again");
                        }
                    }
                    Err(refused) if refused.retryable => {
                        let pause = refused.retry_after.unwrap_or(wait).min(LONGEST_WAIT);
                        let reason = refused.reason.clone();
                        if self.set_blocked(Some(refused)).is_none() {
                            tracing::warn!(
                                reason,
                                "the next component refuses; holding what it gets and refusing new data"
                            );
                        }
                        wait = (wait * 2).min(LONGEST_WAIT);
                        tokio::time::sleep(pause).await;
                    }
                    Err(Refused { reason, .. }) => {
                        tracing::error!(reason, "the next component refuses for good; dropping the batch");
                        self.set_blocked(None);
                        break;
                    }
                }
            }
        }
    }

    /// Counts items that were taken and will not be handed on.
    pub fn lost(&self, signal: OtlpSignal, items: u64) {
        self.dropped[signal as usize].add(items);
    }

    /// What was the reason before.
    fn set_blocked(&self, refused: Option<Refused>) -> Option<Refused> {
        std::mem::replace(&mut *self.blocked.lock().unwrap_or_else(PoisonError::into_inner), refused)
    }

    fn blocked(&self) -> Option<Refused> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            self.site.lost(batch.signal, batch.items.into());
        }
    }
}
