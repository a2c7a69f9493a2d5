//! What the otelcol components share: their common blocks, their authenticators, and how an exporter queues and retries.
//!
//! - [`output`]: the `output` block, and handing a batch to what it lists;
//! - [`client`], [`tls`], [`queue`], [`retry`], [`debug_metrics`]: blocks of the same name;
//! - [`auth`]: the capsule that `otelcol.auth.*` export;
//! - [`storage`]: the capsule that `otelcol.storage.*` export;
//! - [`describe`]: a payload in words;
//! - [`logfmt`]: lines of logfmt;
//! - [`units`]: units of metrics in both spellings;
//! - [`exporter`]: from `consume` to the remote end: queue, consumers, retries, counters.

pub mod auth;
pub mod client;
pub mod debug_metrics;
pub mod describe;
pub mod exporter;
pub mod logfmt;
pub mod output;
pub mod queue;
pub mod retry;
pub mod storage;
pub mod tls;
pub mod units;

use language_eval::Invalid;

/// The answer to an argument whose capability does not exist yet: refused, never ignored.
#[must_use]
pub fn not_yet(field: &'static str) -> Invalid {
    Invalid::field(field, format!("{field:?} is not supported yet by this version of Ferroalloy"))
        .with_hint("remove it, or run this component in Alloy until it is")
}
