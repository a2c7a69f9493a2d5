//! Tests of `loki.*` components from outside: against recordings, and against each other.

mod oracle_process;
mod shortcuts;
