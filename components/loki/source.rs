//! What the sources share: saved positions, and places in logs whose lines have times.

pub mod api;
pub mod docker;
pub mod file;
pub mod journal;
pub mod kubernetes;
pub mod kubernetes_events;
pub mod place;
pub mod podlogs;
pub mod pods;
pub mod positions;
pub mod syslog;
