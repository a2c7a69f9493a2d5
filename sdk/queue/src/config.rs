//! How large a queue may get, and what happens then.

use std::path::PathBuf;
use std::time::Duration;

/// How one queue behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Named in logs: the component and endpoint.
    pub name: String,
    /// Bytes of records held in memory and ready to be sent. One record is always allowed, whatever its size.
    pub memory_bytes: usize,
    /// Where to spill, and how much; without it the queue is in memory only.
    pub disk: Option<Disk>,
    /// When a record is on the disk. Means nothing without `disk`.
    pub written: Written,
    /// What happens when memory and disk are full.
    pub overflow: Overflow,
}

/// The disk part of a queue.
#[derive(Debug, Clone)]
pub struct Disk {
    /// A directory of its own: nothing else may live there. Created when missing.
    pub dir: PathBuf,
    /// Bytes of all segment files together.
    pub max_bytes: u64,
    /// A new segment file is begun when the current one has grown past this. Space is given back by whole segments.
    pub segment_bytes: u64,
}

/// When a record is on the disk, if it was not acknowledged before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Before its push resolves: whoever pushes may answer for it.
    First,
    /// When it has waited this long in memory alone, or finds no room there. Until then only its settle handle waits, and
    /// what the endpoint acknowledges in time costs the disk nothing.
    Within(Duration),
}

/// What a full queue does with one record more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The pusher waits: back-pressure up to the source.
    Wait,
    /// The pusher waits as long as the endpoint takes records; when it has taken none for this long, the oldest go, as in
    /// [`Overflow::DropOldest`], so that a dead endpoint does not hold up what is sent elsewhere.
    WaitForTheLiving(Duration),
    /// The oldest records go (on disk: the oldest segment), counted as [`Lost::Overflow`](crate::Lost::Overflow).
    DropOldest,
    /// The new record goes, counted as [`Lost::Overflow`](crate::Lost::Overflow).
    DropNewest,
}

/// A record that has waited this long has an endpoint that is slow or down, and its source may have no other copy.
const MAX_UNSAVED: Duration = Duration::from_secs(2);

/// The default size of a segment file: small enough that dropping the oldest is not a catastrophe.
const SEGMENT_BYTES: u64 = 16 << 20;

// === impl Written ===

impl Default for Written {
    /// After two seconds.
    fn default() -> Written {
        Written::Within(MAX_UNSAVED)
    }
}

// === impl Disk ===

impl Disk {
    /// A disk part of at most `max_bytes` in `dir`, in segments of at most 16 MiB and at least eight of them.
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Disk { dir: dir.into(), max_bytes, segment_bytes: SEGMENT_BYTES.min(max_bytes / 8).max(4096) }
    }
}
