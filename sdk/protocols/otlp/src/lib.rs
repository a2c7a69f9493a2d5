//! OTLP as bytes: what every otelcol component does to a payload without decoding it.
//!
//! `Export*ServiceRequest` and `*Data` have the same shape: one repeated field of resources. So a payload is a list of
//! resource groups, joining two payloads is joining their bytes, and everything else is done on the wire:
//!
//! - [`check`] at the door, once: framing at every level, and the number of items;
//! - [`walk`]: resource → scope → record → attributes as slices;
//! - [`split`]: pieces of at most so many items;
//! - [`edit`]: attributes changed by splicing, lengths mended, unknown fields kept;
//! - [`model`]: decoded, for those who must change more than an attribute;
//! - [`text`]: a value as text;
//! - [`json`]: the OTLP/JSON form, both ways, without a model in between;
//! - [`status`] and [`response`]: `google.rpc.Status` with `RetryInfo`, and the answers to an export.

mod check;
pub mod edit;
pub mod fuzz;
pub mod json;
pub mod model;
pub mod response;
mod schema;
pub mod split;
pub mod status;
pub mod text;
pub mod walk;
pub mod wire;

pub use check::check;
pub use wire::Malformed;

/// How deep messages may be nested, counted from the payload. Every level of a nested attribute value takes two or three.
pub const MAX_DEPTH: u32 = 100;

/// The three kinds of telemetry that OTLP carries here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them, in the order in which configurations list them.
    pub const ALL: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Traces];

    /// `traces`, `metrics` or `logs`, as in paths and metric names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// What one item is called in metric names: `spans`, `metric_points` or `log_records`.
    #[must_use]
    pub const fn items(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
            Signal::Logs => "log_records",
        }
    }

    /// The path of the gRPC method that takes it.
    #[must_use]
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    const fn schema(self) -> &'static schema::Message {
        match self {
            Signal::Traces => &schema::TRACES,
            Signal::Metrics => &schema::METRICS,
            Signal::Logs => &schema::LOGS,
        }
    }
}
