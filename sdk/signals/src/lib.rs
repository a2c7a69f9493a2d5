//! The currencies of the data plane: batches, who consumes them, and when they are somebody else's responsibility.
//!
//! Four batches, all cheap to clone, bytes first: [`LogBatch`], [`SampleBatch`], [`OtlpBatch`] (and `ProfileBatch`
//! once there is something to profile). A component hands a batch on by one call,
//!
//! ```ignore
//! let delivery = self.forward_to.consume(batch).await?;   // resolves when the batch is *taken*, in order
//! let outcome = delivery.await;                           // resolves when it is *delivered* (or dropped and counted)
//! ```
//!
//! and there is nothing else: no channel, task, map or allocation per line, sample or span between two components.

pub mod consumer;
pub mod delivery;
pub mod fan_out;
pub mod forward;
pub mod logs;
pub mod metrics;
pub mod otlp;
pub mod window;

pub use consumer::{BoxFuture, Consumer, Receiver, Refused};
pub use delivery::{Delivery, Outcome, Settle};
pub use fan_out::{Batch, FanOut};
pub use forward::Forward;
pub use logs::{LogBatch, LogEntry, LogGroup, LogsReceiver, Metadata};
pub use metrics::{
    About, Exemplar, HistogramSample, MetricMetadata, MetricsReceiver, STALE, Sample, SampleBatch, Samples, Times,
    is_stale,
};
pub use otlp::{Origin, OtelConsumer, OtlpBatch, OtlpSignal};
