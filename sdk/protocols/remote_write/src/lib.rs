//! Prometheus remote write 1.
//!
//! [`RequestBuilder`] writes a `WriteRequest` from labels that are encoded already (`sdk_labels` keeps them so): a sample
//! costs one copy of its labels and some twenty bytes beside. [`decode`] reads one back, for receivers and tests.

mod builder;
mod decode;
pub mod fuzz;
mod wire;

pub use builder::RequestBuilder;
pub use decode::{Exemplar, Malformed, Sample, TimeSeries, decode, decompress};

/// `Content-Type` of a request.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// `X-Prometheus-Remote-Write-Version` of a request.
pub const VERSION: &str = "0.1.0";
