//! OTLP/JSON, written from the wire and read onto it; no model in between.
//!
//! The mapping is protobuf's, with OTLP's exceptions: trace and span ids are hex, enums are numbers. Read are also
//! snake_case names, enum names, and 64-bit numbers as numbers or text; unknown fields are ignored. Written is what the
//! Collector writes: `resource`, `scope`, `status`, `body` and `value` are there even when empty.

mod read;
mod write;

pub use read::{JsonError, from_json};
pub use write::to_json;
