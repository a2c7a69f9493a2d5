//! The operators that make log records of lines, as `otelcol.receiver.filelog` takes them.
//!
//! - [`entry`]: a record under way; [`field`]: a place in it, `attributes["a.b"].c`;
//! - [`expression`]: the language of `if` and `expr`;
//! - `operators`: each operator, read from its object with every key checked;
//! - [`pipeline`]: how they lead to each other, and running them on a batch;
//! - [`encode`]: records as OTLP.
//!
//! Source: the documentation of `pkg/stanza` in the OpenTelemetry Collector's contrib repository, v0.158, and the observed
//! behaviour of Grafana Alloy.

pub mod encode;
pub mod entry;
pub mod expression;
pub mod field;
mod operators;
mod options;
pub mod pipeline;

pub use entry::Entry;
pub use pipeline::{Operators, Pipeline};
