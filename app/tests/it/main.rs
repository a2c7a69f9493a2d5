//! The binary, as its users see it: recorded configurations and scenarios of the real Alloy, and configurations of real
//! people.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stderr, reason = "what was skipped or counted is told")]
#![allow(clippy::disallowed_methods, reason = "other processes are waited for by the wall clock")]

mod corpus;
mod crowded;
mod examples;
mod faults;
mod harness;
mod kubernetes;
mod named_lines;
mod oracle_check;
mod oracle_docker;
mod oracle_runtime;
mod process;
mod promql;
mod renamed;
mod retries;
mod specs;
mod validating;
