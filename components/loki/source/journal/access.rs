//! What the reader asks of the operating system. Journals are where systemd is: elsewhere each file is refused.

use std::fs::{File, Metadata};
use std::io;

/// Fills the buffer from a place in the file, without moving anything.
#[cfg(unix)]
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Device and inode: the same after the file was renamed.
#[cfg(unix)]
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// There are no journals on this system.
#[cfg(not(unix))]
pub fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "journals of systemd are read on Linux only"))
}

/// There are no journals on this system.
#[cfg(not(unix))]
pub fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
