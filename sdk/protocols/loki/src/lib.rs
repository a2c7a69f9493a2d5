//! Loki's push protocol: requests written straight from batches, and read back.
//!
//! ```text
//! PushRequest { 1: Stream { 1: labels text, 2: Entry { 1: Timestamp { 1: seconds, 2: nanoseconds }, 2: line, 3: Label { 1: name, 2: value } } } }
//! ```
//! in one snappy block. A receiver reads one with [`decode`] and [`parse_labels`]; lines stay slices of the body.

mod decode;
pub mod fuzz;
mod labels;
mod push;
mod request;
mod wire;

pub use decode::{MAX_ENTRIES, Pushed, Undecodable, decode};
pub use labels::{NoLabels, parse_labels};
pub use push::{Add, Push, StreamId, entry_size, stream_labels};
pub use request::{Entry, Malformed, Stream, parse};
