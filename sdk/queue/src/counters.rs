//! What passed through a queue, in plain atomics: cheap to bump, and read by whoever exposes them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a record was lost in the queue. (A record that the endpoint refuses for good is the exporter's to count.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Memory and disk were full.
    Overflow,
    /// Its bytes on the disk were damaged.
    Corrupt,
    /// The queue was closed and had no disk, or could not write to it in time.
    Stopped,
}

/// A number of records, the items (lines, samples, spans) in them, and their bytes. Only ever grows.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records.
    pub records: AtomicU64,
    /// Lines, samples, spans.
    pub items: AtomicU64,
    /// Bytes of meta and body.
    pub bytes: AtomicU64,
}

/// Everything that came in and went out since the queue was opened:
/// `pushed + recovered = acked + refused + lost(each reason) + what is in the queue`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Taken from the upstream.
    pub pushed: Tally,
    /// Found on the disk at the start.
    pub recovered: Tally,
    /// Acknowledged by the consumer.
    pub acked: Tally,
    /// Given up by the consumer, which counts its own reasons.
    pub refused: Tally,
    /// Lost because memory and disk were full.
    pub lost_overflow: Tally,
    /// Lost because their bytes on the disk were damaged. The items of a record whose header is gone are unknown.
    pub lost_corrupt: Tally,
    /// Lost, as far as this queue goes, because it was closed without a working disk.
    pub lost_stopped: Tally,
    /// Written to segment files.
    pub spilled: Tally,
    /// Bytes of segment files that held no readable record: torn tails, flipped bits.
    pub corrupt_bytes: AtomicU64,
    /// Failed writes, reads and syncs.
    pub disk_errors: AtomicU64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&self, records: u64, items: u64, bytes: u64) {
        self.records.fetch_add(records, Relaxed);
        self.items.fetch_add(items, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn one(&self, record: &crate::Record) {
        self.add(1, u64::from(record.items), record.size() as u64);
    }
}

// === impl Counters ===

impl Counters {
    /// The tally of one reason.
    pub fn lost(&self, reason: Lost) -> &Tally {
        match reason {
            Lost::Overflow => &self.lost_overflow,
            Lost::Corrupt => &self.lost_corrupt,
            Lost::Stopped => &self.lost_stopped,
        }
    }
}
