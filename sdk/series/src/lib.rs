//! The process-wide table of series.
//!
//! A label set that is a metric series is interned here once, and then travels as a [`Series`]: one counted reference
//! that scraping, relabelling and remote write all share. Nobody keeps a map from labels to references of its own, and
//! the labels are already in the encoding that remote write sends (see `sdk_labels`).
//!
//! A series leaves the table when its last handle is dropped, so churn costs nothing that lasts.

mod handle;
mod table;

pub use handle::Series;

/// How many series are in use in this process.
pub fn active() -> usize {
    table::len()
}
