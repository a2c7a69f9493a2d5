//! Prometheus' native histograms: one value that holds all buckets.
//!
//! [`NativeHistogram`] is what travels between scraping, relabelling and remote write; the protocols' crates read and
//! write it. Here is what can be said of one without a protocol: whether it is sound ([`NativeHistogram::check`]), how it
//! is made coarser, and how a classic histogram becomes one with buckets of its own ([`Classic`]).

mod buckets;
mod classic;
mod native;

pub use classic::{Classic, Incoherent};
pub use native::{
    COARSEST_SCHEMA, CUSTOM_BUCKETS, Counts, CountsOf, FINEST_SCHEMA, NativeHistogram, ResetHint, Span, Unsound,
};
