//! The queue in front of every network exporter, one per endpoint.
//!
//! A record is an encoded request. Records wait in memory; when the memory bound is reached, because the endpoint is slow
//! or down, the newer ones go to segment files, and come back in order when the endpoint does. With [`Config::durable`]
//! each record is on the disk before its push resolves. What is not sent at a stop is written down and sent after the next
//! start.
//!
//! ```text
//!             ┌ ready (memory, being sent) ┐   ┌ unread (segment files) ┐   ┌ tail (memory, to be written) ┐
//!  next() <───┤ oldest ……………………………………………… ├─<─┤ ………………………………………………… ├─<─┤ …………………………………………………… newest ├─<─── push()
//!             └────────────────────────────┘   └────────────────────────┘   └──────────────────────────────┘
//! ```
//!
//! What is not in a record yet, and cannot be read again, may stand in a [`Journal`] until then.
//!
//! What is promised: order is kept; a record whose settle handle heard `Delivered` was acknowledged, or is on the disk and
//! survives `kill -9` and a power cut; a record that will never be sent is counted with its reason; a damaged file costs
//! the damaged record; a full disk makes the queue a memory queue until there is room again, and a directory that cannot be
//! used makes it one until it can ([`Queue::open_anyhow`]). A crash may repeat records whose acknowledgement was not yet
//! written down.

mod body;
mod config;
mod counters;
mod disk;
mod driver;
mod folders;
mod journal;
mod queue;
mod record;

pub use body::Body;
pub use config::{Config, Disk, Overflow, Written};
pub use counters::{Counters, Lost};
pub use folders::{Folders, LEFT_BEHIND, LEFT_BEHIND_HELP, hand_over, items_in};
pub use journal::{Found, FoundFile, Journal, Writing};
pub use queue::{Closed, FoundDisk, Lease, Left, OpenError, Queue, Stats, Taken};
pub use record::Record;

#[cfg(test)]
mod tests;
