//! The `sending_queue` block.

use base_stdx::duration::GoDuration;
use language_eval::{Block, Capsule, Invalid, Validate, Word};

use crate::not_yet;

/// What waits between the pipeline and the remote end.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default, validate)]
pub struct SendingQueue {
    /// Without a queue the pipeline waits for each request.
    #[attr(default = true)]
    pub enabled: bool,
    /// How many requests are under way at a time.
    #[attr(default = 10)]
    pub num_consumers: i64,
    /// How much may wait, in units of `sizer`.
    #[attr(default = 1000)]
    pub queue_size: i64,
    /// Waits for room in a full queue; otherwise the pipeline is told to come again.
    #[attr(default = false)]
    pub block_on_overflow: bool,
    /// The unit of `queue_size`.
    #[attr(default = Sizer::Requests)]
    pub sizer: Sizer,
    /// The pipeline waits until the remote end has answered.
    #[attr(default = false)]
    pub wait_for_result: bool,
    /// Not supported yet.
    #[block]
    pub batch: Option<QueueBatch>,
    /// Not supported yet.
    #[attr]
    pub storage: Option<Storage>,
}

/// What a queue's size counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Sizer {
    /// Batches.
    Requests,
    /// Spans, data points, log records.
    Items,
    /// Encoded bytes.
    Bytes,
}

/// Merges what waits in the queue.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct QueueBatch {
    /// The longest wait for a full batch.
    #[attr(default = GoDuration::from_millis(200))]
    pub flush_timeout: GoDuration,
    /// Sent when this large.
    #[attr(default = 2000)]
    pub min_size: i64,
    /// Never larger than this.
    #[attr(default = 3000)]
    pub max_size: i64,
    /// The unit of both.
    #[attr(default = Sizer::Items)]
    pub sizer: Sizer,
}

/// The handler of an `otelcol.storage.*` component.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage(Capsule);

// === impl Storage ===

impl language_eval::FromValue for Storage {
    fn from_value(value: &language_eval::Value) -> Result<Self, language_eval::ValueError> {
        match value {
            language_eval::Value::Capsule(capsule) => Ok(Storage(capsule.clone())),
            other => Err(language_eval::ValueError::new(format!("should be capsule, got {}", other.kind()))),
        }
    }

    fn zero() -> Option<Self> {
        None
    }

    fn schema() -> language_eval::TypeSchema {
        language_eval::TypeSchema::Capsule("otelcol.ExtensionHandler")
    }
}

impl language_eval::ToValue for Storage {
    fn to_value(&self) -> language_eval::Value {
        language_eval::Value::Capsule(self.0.clone())
    }
}

// === impl SendingQueue ===

impl Validate for SendingQueue {
    fn validate(&self) -> Result<(), Invalid> {
        if !self.enabled {
            return Ok(());
        }
        if self.queue_size <= 0 {
            return Err(Invalid::field("queue_size", "queue_size must be greater than zero"));
        }
        if self.num_consumers <= 0 {
            return Err(Invalid::field("num_consumers", "num_consumers must be greater than zero"));
        }
        if self.storage.is_some() {
            return Err(if self.wait_for_result {
                Invalid::field("wait_for_result", "wait_for_result cannot be used together with storage")
            } else {
                not_yet("storage")
            });
        }
        if self.batch.is_some() {
            return Err(not_yet("batch").with_hint("put an otelcol.processor.batch in front of this component"));
        }
        Ok(())
    }
}
