//! Label sets: sorted, immutable, cheap to clone.
//!
//! [`Labels`] is what every signal is grouped by. One allocation holds the whole set, already in the form in which
//! remote write sends it, so that neither a series table nor a sender keeps a second copy. [`LabelsBuilder`] edits a
//! set: relabelling, external labels, target labels.
//!
//! As in Prometheus, a label with an empty value is the same as no label; the builder drops it.

mod builder;
mod labels;
mod name;
mod packed;

pub use builder::LabelsBuilder;
pub use labels::{Iter, Labels, hash_pairs};
pub use name::{is_legacy_label_name, is_legacy_metric_name, is_utf8_name};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";
