//! What drivers, file systems and processors tell of themselves, by `ioctl(2)` and `perf_event_open(2)`. Nothing here changes
//! anything.
//!
//! The modules hold `unsafe`, each in one function: no crate wraps these questions safely.

pub mod btrfs;
pub mod ethtool;
pub mod perf;
