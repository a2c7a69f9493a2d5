//! The binary, as its users see it: recorded configurations and scenarios of the real Alloy, and configurations of real
//! people.

mod corpus;
mod examples;
mod faults;
mod harness;
mod oracle_check;
mod oracle_runtime;
mod process;
mod specs;
mod validating;
