//! The `sending_queue` block.

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate, Word};
use sdk_queue::Record;

use crate::storage::StorageHandler;

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
    /// Requests of the queue are merged into larger ones.
    #[block]
    pub batch: Option<QueueBatch>,
    /// Where each request is written before it is taken, so that it survives a crash: the `handler` of an
    /// `otelcol.storage.*` component. Without it only what a stop leaves is written down.
    #[attr]
    pub storage: Option<StorageHandler>,
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
        if self.storage.is_some() && self.wait_for_result {
            return Err(Invalid::field("wait_for_result", "wait_for_result cannot be used together with storage"));
        }
        self.batch.as_ref().map_or(Ok(()), |batch| batch.validate(self))
    }
}

// === impl QueueBatch ===

impl QueueBatch {
    fn validate(&self, queue: &SendingQueue) -> Result<(), Invalid> {
        let wrong = |message: &str| Err(Invalid::field("batch", message.to_owned()));
        if self.flush_timeout.as_nanos() <= 0 {
            return wrong("flush_timeout must be greater than zero");
        }
        if self.min_size < 0 || self.max_size < 0 {
            return wrong("min_size and max_size must not be less than zero");
        }
        if self.max_size > 0 && self.max_size < self.min_size {
            return wrong("max_size must not be less than min_size");
        }
        if self.sizer == Sizer::Requests {
            return wrong("sizer must be \"items\" or \"bytes\"");
        }
        if self.sizer == queue.sizer && self.min_size > queue.queue_size {
            return wrong("min_size must not be greater than queue_size");
        }
        Ok(())
    }

    /// What a request counts for.
    pub(crate) fn size_of(&self, record: &Record) -> u64 {
        match self.sizer {
            Sizer::Bytes => record.body.len() as u64,
            Sizer::Items | Sizer::Requests => record.items.into(),
        }
    }

    /// Whether this much need not wait for more.
    pub(crate) fn is_full(&self, size: u64) -> bool {
        size >= u64::try_from(self.min_size).unwrap_or(0)
    }

    /// How many items a request may have, if it has to be cut.
    pub(crate) fn cut(&self, items: u64, bytes: u64) -> Option<usize> {
        let max = u64::try_from(self.max_size).ok().filter(|max| *max > 0)?;
        let size = if self.sizer == Sizer::Bytes { bytes } else { items };
        let piece = if self.sizer == Sizer::Bytes { items * max / bytes.max(1) } else { max };
        (size > max).then(|| usize::try_from(piece).unwrap_or(usize::MAX).max(1))
    }
}
