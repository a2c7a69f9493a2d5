//! The registry of our own metrics, and the model exporters share with it.
//!
//! Read `registry` first: a [`Registry`] is what `/metrics` shows, a [`Scope`] is the part of it that belongs to one
//! component and vanishes with it. Code that counts asks its scope for a handle once ([`Counter`], [`Gauge`],
//! [`Histogram`], or a labelled family of them) and keeps it: counting is one atomic instruction, without a look-up.
//! Values that are cheaper to compute than to keep are written when somebody looks, through [`Scope::collect`] and the
//! [`FamilyWriter`], which exporters use for whole pages ([`Page`]).
//!
//! The text is the Prometheus exposition format 0.0.4, formatted as the Go client formats it, so that a page can be
//! compared with what users had before.

mod family;
mod number;
mod page;
pub mod process;
mod registry;
mod text;
mod values;

pub use family::{CounterVec, GaugeVec, HistogramVec, Instrument, Labelled, MAX_SERIES_PER_FAMILY};
pub use number::{go_float, write_go_float};
pub use page::{FamilyWriter, Kind, Losses, Page, Samples};
pub use registry::{Registry, Scope};
pub use text::{is_label_name, is_metric_name, write_escaped_help, write_escaped_label};
pub use values::{Counter, Gauge, Histogram, exponential_buckets, linear_buckets};

/// The `Content-Type` of what [`Page`] and [`Registry`] write.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
