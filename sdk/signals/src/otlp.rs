//! OTLP stays bytes: a batch is the protobuf as it was received.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use language_eval::{CapsuleObject, DataEdge, capsule};

use crate::consumer::Receiver;
use crate::fan_out::Batch;

pub use sdk_protocols_otlp::Signal as OtlpSignal;

/// Where a request came from, for the components that ask: `from_context`, `metadata_keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The peer's address, without its port.
    pub peer: Option<IpAddr>,
    /// Headers of the request, when its receiver has `include_metadata`; names in lower case.
    pub metadata: Vec<(String, Vec<String>)>,
    /// What the authenticator of the receiver learned: `username`, `subject`, …
    pub auth: Vec<(String, String)>,
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
    /// Where it came from. Lost where batches of several origins are merged.
    pub origin: Option<Arc<Origin>>,
}

/// What `otelcol.*` components list in `output`: the capsule `otelcol.Consumer`. It takes all three signals, and its
/// component refuses what it has no pipeline for.
#[derive(Clone, Debug, PartialEq)]
pub struct OtelConsumer(pub Receiver<OtlpBatch>);

// === impl Origin ===

impl Origin {
    /// The values of a header; names are in lower case.
    pub fn header(&self, name: &str) -> Option<&[String]> {
        self.metadata.iter().find(|(other, _)| other == name).map(|(_, values)| values.as_slice())
    }
}

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

impl Batch for OtlpBatch {
    fn items(&self) -> u64 {
        u64::from(self.items)
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
        Some(other.as_any().downcast_ref() == Some(self))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "otel" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(OtelConsumer, "otelcol.Consumer");
