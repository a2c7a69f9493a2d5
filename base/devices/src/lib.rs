//! What drivers and file systems tell of the devices below them, by `ioctl(2)`. Nothing here changes anything.
//!
//! The modules hold `unsafe`, each in one function: no crate wraps these questions safely.

pub mod btrfs;
pub mod ethtool;
