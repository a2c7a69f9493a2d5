//! What the standard library lacks: durations, byte sizes, near names, and Go's ways to quote a text and
//! print a number, and the forms of log lines that several components read.
//!
//! The configuration language inherits its texts from Go: `"1h30m"`, `1MiB512KiB`, `"a\tb"`, `1e+08`. People's files and
//! scripts hold them, so they are read and written here exactly as Go does, errors included.

pub mod bytesize;
pub mod duration;
pub mod float;
pub mod json;
pub mod logfmt;
pub mod nearest;
pub mod protobuf;
pub mod quote;
pub mod timestamp;
pub mod uuid;

pub use bytesize::{ByteSize, ParseByteSizeError};
pub use duration::{GoDuration, ParseDurationError, PrometheusDuration};
pub use nearest::nearest;
pub use timestamp::Rfc3339;
pub use uuid::Uuid;
