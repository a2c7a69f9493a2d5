//! Tests of `loki.*` components from outside: against recordings, and against each other.

mod bad_input;
mod oracle_process;
mod shortcuts;
