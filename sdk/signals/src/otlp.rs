//! OTLP stays bytes: a batch is the protobuf as it was received.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use language_eval::{CapsuleObject, DataEdge, capsule};

use crate::consumer::Receiver;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum OtlpSignal {
    Traces,
    Metrics,
    Logs,
}

/// One or more export requests of one signal, undecoded.
///
/// Every `Export…ServiceRequest` is one repeated field, so laying payloads end to end *is* merging them; `payload` keeps
/// them apart until somebody needs one buffer.
#[derive(Clone, Debug)]
pub struct OtlpBatch {
    /// What it holds.
    pub signal: OtlpSignal,
    /// Encoded requests; their concatenation is one valid request.
    pub payload: Vec<Bytes>,
    /// Spans, data points or log records in it.
    pub items: u32,
    /// Metadata of the request it came with (`include_metadata`), shared; names in lower case.
    pub metadata: Option<Arc<Vec<(String, Vec<String>)>>>,
}

/// What `otelcol.*` components list in `output`: the capsule `otelcol.Consumer`. It takes all three signals, and its
/// component refuses what it has no pipeline for.
#[derive(Clone, Debug)]
pub struct OtelConsumer(pub Receiver<OtlpBatch>);

// === impl OtlpBatch ===

impl OtlpBatch {
    /// Bytes of all payloads.
    pub fn byte_len(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// The one request: free when there is one payload, one copy otherwise.
    pub fn into_bytes(mut self) -> Bytes {
        if self.payload.len() == 1 { self.payload.remove(0) } else { self.payload.concat().into() }
    }
}

// === impl OtelConsumer ===

impl CapsuleObject for OtelConsumer {
    fn type_name(&self) -> &'static str {
        "otelcol.Consumer"
    }

    fn text(&self) -> Option<String> {
        Some(format!("{}.input", self.0.component()))
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<OtelConsumer>().is_some_and(|other| self.0.is(&other.0)))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "otel" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(OtelConsumer, "otelcol.Consumer");
