//! `otelcol.processor.batch`: many small requests become fewer large ones.
//!
//! Merging is laying payloads end to end; a request that is too large is cut on the wire. What was taken is not forgotten
//! when the next component refuses it: it is offered again, and until it is taken new requests are refused.

mod counters;
mod shard;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base_stdx::duration::GoDuration;
use base_sys::task;
use language_eval::{Block, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::{Output, Outputs};
use sdk_signals::{BoxFuture, Consumer, Delivery, Origin, OtelConsumer, OtlpBatch, OtlpSignal, Receiver, Refused};
use tracing::Instrument as _;

use counters::Counters;
use shard::{Shard, ShardHandle};

/// Collects spans, data points and log records into larger batches before they are sent on.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// The longest that data waits for more; 0 sends everything at once.
    #[attr(default = GoDuration::from_millis(200))]
    pub timeout: GoDuration,
    /// Sends when there are this many spans, data points or log records; 0 sends everything at once.
    #[attr(default = 2000)]
    pub send_batch_size: u32,
    /// Larger batches are cut; 0 is no limit.
    #[attr(default = 3000)]
    pub send_batch_max_size: u32,
    /// Requests whose values of these headers differ are not merged. The receiver must have `include_metadata`.
    #[attr(optional)]
    pub metadata_keys: Vec<String>,
    /// How many different values there may be at a time.
    #[attr(default = 1000)]
    pub metadata_cardinality_limit: u32,
    /// Where to send the batches.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct BatchExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct Batch(Arc<Processor>);

struct Processor {
    context: Context,
    settings: RwLock<Arc<Settings>>,
    outputs: Outputs,
    counters: Arc<Counters>,
    /// One per signal and combination of metadata values; `None` once stopping.
    shards: Mutex<Option<HashMap<Key, ShardHandle>>>,
    tasks: task::Scope,
}

/// What shards need of the arguments.
#[derive(Debug)]
struct Settings {
    timeout: std::time::Duration,
    size: usize,
    /// `usize::MAX` is no limit.
    max: usize,
    /// In lower case.
    keys: Vec<String>,
    cardinality_limit: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    signal: OtlpSignal,
    metadata: Vec<Vec<String>>,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.timeout.0 < 0 {
            return Err(Invalid::field("timeout", "timeout must be greater or equal to 0"));
        }
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            let message = "send_batch_max_size must be greater or equal to send_batch_size when not 0";
            return Err(Invalid::field("send_batch_max_size", message));
        }
        let mut seen = std::collections::HashSet::new();
        for key in &self.metadata_keys {
            if !seen.insert(key.to_ascii_lowercase()) {
                let message =
                    format!("duplicate entry in metadata_keys: {:?} (case-insensitive)", key.to_ascii_lowercase());
                return Err(Invalid::field("metadata_keys", message));
            }
        }
        Ok(())
    }
}

impl Settings {
    fn of(arguments: &Arguments) -> Settings {
        let max = usize::try_from(arguments.send_batch_max_size).unwrap_or(usize::MAX);
        Settings {
            timeout: arguments.timeout.to_std().unwrap_or_default(),
            size: arguments.send_batch_size as usize,
            max: if max == 0 { usize::MAX } else { max },
            keys: arguments.metadata_keys.iter().map(|key| key.to_ascii_lowercase()).collect(),
            cardinality_limit: arguments.metadata_cardinality_limit as usize,
        }
    }

    /// Whether everything is sent as it comes.
    fn at_once(&self) -> bool {
        self.timeout.is_zero() || self.size == 0
    }

    /// Whether so many items are sent without waiting for more.
    fn is_batch(&self, items: usize) -> bool {
        items > 0 && (self.at_once() || items >= self.size)
    }
}

// === impl Batch ===

impl Component for Batch {
    const NAME: &'static str = "otelcol.processor.batch";
    type Arguments = Arguments;
    type Exports = BatchExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let processor = Arc::new(Processor {
            context: context.clone(),
            settings: RwLock::new(Arc::new(Settings::of(&arguments))),
            outputs: Outputs::new(context, &arguments.output),
            counters: Arc::new(Counters::new(context.metrics(), &format!("batch/{}", context.id()))),
            shards: Mutex::new(Some(HashMap::new())),
            tasks: task::Scope::new(),
        });
        let input = OtelConsumer(Receiver::new(context.id(), Arc::new(Input(processor.clone()))));
        context.publish(&BatchExports { input });
        Ok(Batch(processor))
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let processor = self.0.clone();
        Ok(Update::then(move || {
            processor.outputs.replace(&arguments.output);
            *processor.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Settings::of(&arguments));
            // What the old shards hold they send, to the new outputs; then they end.
            if let Some(shards) = &mut *processor.shards() {
                shards.clear();
            }
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.0.context.healthy("started");
        stop.stopped().await;
        // Without senders the shards send what they hold and end.
        self.0.shards().take();
        self.0.tasks.close(stop.grace()).await;
        Ok(())
    }
}

// === impl Processor ===

/// The processor as a consumer.
struct Input(Arc<Processor>);

impl Consumer<OtlpBatch> for Input {
    fn consume(&self, batch: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            let shard = self.0.shard(&batch)?;
            if let Some(refused) = shard.blocked() {
                return Err(refused);
            }
            self.0.counters.came(batch.signal, batch.items);
            let (delivery, settle) = Delivery::pending();
            match shard.send(batch, settle).await {
                true => Ok(delivery),
                false => Err(Refused::stopped(self.0.context.id())),
            }
        })
    }
}

impl Processor {
    fn shards(&self) -> std::sync::MutexGuard<'_, Option<HashMap<Key, ShardHandle>>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, batch: &OtlpBatch) -> Result<ShardHandle, Refused> {
        if !self.outputs.take(batch.signal) {
            return Err(Refused::permanent("telemetry type is not supported"));
        }
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
        let origin = batch.origin.as_deref();
        let values =
            |key: &String| origin.and_then(|origin| origin.header(key)).map(<[String]>::to_vec).unwrap_or_default();
        let key = Key { signal: batch.signal, metadata: settings.keys.iter().map(values).collect() };
        let mut shards = self.shards();
        let shards = shards.as_mut().ok_or_else(|| Refused::stopped(self.context.id()))?;
        if let Some(shard) = shards.get(&key) {
            return Ok(shard.clone());
        }
        let others = shards.keys().filter(|other| other.signal == key.signal).count();
        if !settings.keys.is_empty() && settings.cardinality_limit > 0 && others >= settings.cardinality_limit {
            return Err(Refused::permanent("too many batcher metadata-value combinations"));
        }
        // The outgoing request carries the headers by which it was told apart, and no others.
        let origin = (!settings.keys.is_empty()).then(|| {
            let metadata = settings.keys.iter().cloned().zip(key.metadata.iter().cloned());
            Arc::new(Origin {
                metadata: metadata.filter(|(_, values)| !values.is_empty()).collect(),
                ..Origin::default()
            })
        });
        let (shard, handle) =
            Shard::new(key.signal, settings, origin, self.outputs.clone(), self.counters.clone(), self.tasks.clone());
        self.tasks.spawn("batch", shard.run().instrument(self.context.span().clone()));
        shards.insert(key, handle.clone());
        self.counters.cardinality(shards.len());
        Ok(handle)
    }
}

#[cfg(test)]
mod tests;
