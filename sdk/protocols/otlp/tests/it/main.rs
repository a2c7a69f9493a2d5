//! What holds for every payload, and what the recorded Collector says.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod make;
mod mutations;
mod properties;
mod recorded;
