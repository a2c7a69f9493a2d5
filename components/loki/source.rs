//! What the sources share: saved positions, places in logs whose lines have times, and the window of what is on its way.

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
pub mod window;
