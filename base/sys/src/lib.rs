//! Clock, disk, sockets and tasks: the only door to the operating system.
//!
//! What `clippy.toml` bans elsewhere (the wall clock, bare `tokio::spawn`) is called here and nowhere else, so a test can
//! set the time, and a task always has an owner. `adjtimex`, `names`, `read` and `resident` hold the
//! only `unsafe`: system calls that no crate wraps safely.

pub mod adjtimex;
pub mod chance;
pub mod clock;
pub mod descriptors;
pub mod fs;
pub mod glob;
pub mod memory;
pub mod names;
mod read;
pub mod resident;
pub mod seldom;
pub mod task;
pub mod turn;
