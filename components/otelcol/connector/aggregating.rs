//! What connectors share that make metrics of spans: a connector is its arguments and its counting, everything else is here.
//!
//! Spans are counted in memory and delivered with that; what was counted is sent from time to time, when the arguments
//! change, and at the stop. Metrics that the next component refuses are kept, and offered again before the next ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_metrics::Counter;
use language_eval::{Block, Exports};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_otlp::model::{Data, Message as _, Metric};
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Metrics that were refused are kept up to this size; beyond it the oldest go, and are counted.
const MOST_HELD_BYTES: usize = 16 << 20;

/// At the stop, when the next component refuses without saying for how long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What counts spans.
pub trait Aggregation: Send + Sized + 'static {
    /// The component's name.
    const NAME: &'static str;
    /// How settled it is.
    const STABILITY: Stability = Stability::GenerallyAvailable;
    /// What its block holds. The doc comment of the type is the component's page.
    type Arguments: Block + Send + 'static;

    /// Checks the arguments. Nobody must see that it was called: what is made may never be used.
    fn new(context: &Context, arguments: &Self::Arguments) -> Result<Self, Problem>;

    /// The `output` block.
    fn output(arguments: &Self::Arguments) -> &Output;

    /// How often the metrics are sent; 0 is after each payload.
    fn interval(&self) -> Duration;

    /// Counts the spans of a payload.
    fn count(&mut self, payload: &[u8]);

    /// What is to be told, of all that was counted. `last` when nothing will be told after it.
    fn metrics(&mut self, last: bool) -> Data<Metric>;

    /// How often [`Aggregation::keep_up`] is called, if at all.
    fn upkeep(&self) -> Option<Duration> {
        None
    }

    /// Lets go of what has become old.
    fn keep_up(&mut self) {}
}

/// What such a connector exports.
#[derive(Clone, Debug, Exports)]
pub struct ConnectorExports {
    /// Takes traces.
    pub input: OtelConsumer,
}

/// The component around an [`Aggregation`].
pub struct Aggregating<A>(Arc<Input<A>>);

struct Input<A> {
    context: Context,
    outputs: Outputs,
    work: Mutex<Work<A>>,
    /// Whoever sends has it: metrics leave in the order in which they were made.
    outbox: tokio::sync::Mutex<Outbox>,
    /// The arguments have changed.
    changed: Notify,
    incoming: Counter,
    outgoing: Counter,
    refused: Counter,
    dropped: Counter,
}

struct Work<A> {
    live: A,
    /// Those of earlier arguments, which have not been told yet.
    replaced: Vec<A>,
    /// Nothing is counted any more.
    ended: bool,
}

/// Metrics that nobody has taken yet.
#[derive(Default)]
struct Outbox {
    batches: VecDeque<OtlpBatch>,
    bytes: usize,
}

// === impl Aggregating ===

impl<A: Aggregation> Component for Aggregating<A> {
    const NAME: &'static str = A::NAME;
    const STABILITY: Stability = A::STABILITY;
    type Arguments = A::Arguments;
    type Exports = ConnectorExports;

    fn build(context: &Context, arguments: A::Arguments) -> Result<Self, Problem> {
        check(A::output(&arguments))?;
        let live = A::new(context, &arguments)?;
        let counter = |name: &str, help: &str| context.metrics().counter(name, help);
        let input = Arc::new(Input {
            context: context.clone(),
            outputs: Outputs::new(context, A::output(&arguments)),
            work: Mutex::new(Work { live, replaced: Vec::new(), ended: false }),
            outbox: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            incoming: counter(
                "ferroalloy_otelcol_connector_incoming_spans_total",
                "Number of spans passed to the connector.",
            ),
            outgoing: counter(
                "ferroalloy_otelcol_connector_outgoing_points_total",
                "Number of data points that the next component has taken.",
            ),
            refused: counter(
                "ferroalloy_otelcol_connector_refused_flushes_total",
                "Times that the next component refused metrics; they are offered again with the next ones.",
            ),
            dropped: counter(
                "ferroalloy_otelcol_connector_dropped_points_total",
                "Number of data points that were refused for good, for too long, or until the connector stopped.",
            ),
        });
        context.publish(&ConnectorExports { input: OtelConsumer(Receiver::new(context.id(), input.clone())) });
        Ok(Aggregating(input))
    }

    fn update(&self, arguments: A::Arguments) -> Result<Update, Problem> {
        check(A::output(&arguments))?;
        let (input, new) = (self.0.clone(), A::new(&self.0.context, &arguments)?);
        Ok(Update::then(move || {
            input.outputs.replace(A::output(&arguments));
            let mut work = input.work();
            let old = std::mem::replace(&mut work.live, new);
            work.replaced.push(old);
            input.changed.notify_one();
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let input = &self.0;
        input.work().ended = false;
        input.context.healthy("started");
        let late = async {
            stop.stopped().await;
            tokio::time::sleep(stop.grace()).await;
        };
        tokio::select! {
            () = input.live(&stop) => {}
            () = late => {}
        }
        // Where somebody still sends, the batches are in his hands.
        let left = input.outbox.try_lock().map(|mut outbox| std::mem::take(&mut *outbox)).unwrap_or_default();
        for batch in left.batches {
            tracing::error!(points = batch.items, "dropping metrics that nobody took until the stop");
            input.dropped.add(batch.items.into());
        }
        Ok(())
    }
}

/// Only metrics come out, and somebody must take them.
fn check(output: &Output) -> Result<(), Problem> {
    for (list, message) in
        [(&output.logs, "logs output is not supported yet"), (&output.traces, "traces output is not supported yet")]
    {
        if !list.is_empty() {
            return Err(Problem::at("output", message));
        }
    }
    if output.metrics.is_empty() {
        return Err(Problem::at("output", "nobody would get the metrics: output names no consumer of metrics"));
    }
    Ok(())
}

/// An interval from now.
fn after(interval: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(interval?)
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

// === impl Input ===

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// What was counted under earlier arguments.
    Replaced,
    /// That, and what is counted now.
    Live,
    /// That, for the last time.
    Last,
}

impl<A: Aggregation> Consumer<OtlpBatch> for Input<A> {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if batch.signal != OtlpSignal::Traces {
                return Err(Refused::permanent("telemetry type is not supported"));
            }
            let at_once = {
                let mut work = self.work();
                if work.ended {
                    return Err(Refused::stopped(self.context.local_id()));
                }
                batch.payload.iter().for_each(|payload| work.live.count(payload));
                work.live.interval().is_zero()
            };
            self.incoming.add(batch.items.into());
            if at_once {
                self.flush(Which::Live).await;
            }
            Ok(Delivery::delivered())
        })
    }
}

impl<A: Aggregation> Input<A> {
    fn work(&self) -> MutexGuard<'_, Work<A>> {
        // Should counting ever panic, what was counted until then is still right.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes and keeps up in time, and for the last time at the stop.
    async fn live(&self, stop: &Stop) {
        let (interval, upkeep) = self.rhythm();
        let (mut flush_at, mut upkeep_at) = (after(interval), after(upkeep));
        while !stop.is_stopped() {
            tokio::select! {
                () = stop.stopped() => {}
                () = self.changed.notified() => {
                    self.flush(Which::Replaced).await;
                    let (interval, upkeep) = self.rhythm();
                    (flush_at, upkeep_at) = (after(interval), after(upkeep));
                }
                () = until(flush_at) => {
                    self.flush(Which::Live).await;
                    flush_at = after(self.rhythm().0);
                }
                () = until(upkeep_at) => {
                    self.work().live.keep_up();
                    upkeep_at = after(self.rhythm().1);
                }
            }
        }
        self.work().ended = true;
        self.flush_all().await;
    }

    /// How often to flush, and to keep up.
    fn rhythm(&self) -> (Option<Duration>, Option<Duration>) {
        let work = self.work();
        (Some(work.live.interval()).filter(|interval| !interval.is_zero()), work.live.upkeep())
    }

    /// Sends what is due, after what was refused before.
    async fn flush(&self, which: Which) {
        let mut outbox = self.outbox.lock().await;
        self.collect(which, &mut outbox);
        if let Err(refused) = self.send(&mut outbox).await {
            tracing::error!(
                err = refused.reason,
                "the next component refuses metrics; they are kept for the next time"
            );
        }
    }

    /// Sends everything for the last time, again and again until it is taken.
    async fn flush_all(&self) {
        let mut outbox = self.outbox.lock().await;
        self.collect(Which::Last, &mut outbox);
        let mut wait = FIRST_WAIT;
        while let Err(refused) = self.send(&mut outbox).await {
            tokio::time::sleep(refused.retry_after.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn collect(&self, which: Which, outbox: &mut Outbox) {
        let mut due: Vec<Data<Metric>> = Vec::new();
        let mut work = self.work();
        due.extend(std::mem::take(&mut work.replaced).into_iter().map(|mut old| old.metrics(true)));
        if which != Which::Replaced {
            due.push(work.live.metrics(which == Which::Last));
        }
        drop(work);
        for data in due {
            let items = u32::try_from(data.count()).unwrap_or(u32::MAX);
            if items > 0 {
                let payload = vec![data.encode().into()];
                outbox.push(OtlpBatch { signal: OtlpSignal::Metrics, payload, items, origin: None });
            }
        }
        while let Some(batch) = outbox.pop_excess() {
            tracing::error!(points = batch.items, "dropping the oldest metrics that the next component has refused");
            self.dropped.add(batch.items.into());
        }
    }

    /// Stops at the first that is refused for now.
    async fn send(&self, outbox: &mut Outbox) -> Result<(), Refused> {
        while let Some(batch) = outbox.batches.front().cloned() {
            let points = u64::from(batch.items);
            match self.outputs.consume(batch).await {
                Ok(delivery) => {
                    // The spans have been answered for; nobody waits.
                    delivery.detach();
                    self.outgoing.add(points);
                }
                Err(refused) if refused.retryable => {
                    self.refused.inc();
                    return Err(refused);
                }
                Err(refused) => {
                    tracing::error!(err = refused.reason, "the next component refuses metrics for good; dropping them");
                    self.refused.inc();
                    self.dropped.add(points);
                }
            }
            outbox.pop();
        }
        Ok(())
    }
}

// === impl Outbox ===

impl Outbox {
    fn push(&mut self, batch: OtlpBatch) {
        self.bytes += batch.byte_len();
        self.batches.push_back(batch);
    }

    fn pop(&mut self) -> Option<OtlpBatch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.byte_len();
        Some(batch)
    }

    /// The oldest, while there is too much; the newest stays, whatever its size.
    fn pop_excess(&mut self) -> Option<OtlpBatch> {
        if self.bytes > MOST_HELD_BYTES && self.batches.len() > 1 { self.pop() } else { None }
    }
}
