//! The intern table, in shards.
//!
//! The table does not keep series alive: it holds weak references, and an entry takes itself out when its last handle
//! is dropped. Between the two moments a look-up finds a reference that no longer upgrades; it counts as absent, and a
//! new entry takes its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashTable;
use sdk_labels::Labels;

use crate::handle::Entry;

/// A power of two; enough that the threads of a large machine rarely meet.
const SHARDS: usize = 64;
/// A shard is not made smaller below this.
const SMALL: usize = 64;

struct Slot {
    /// The labels' hash: growing the table and passing over other entries must not touch the entries themselves.
    hash: u64,
    entry: Weak<Entry>,
}

type Shard = HashTable<Slot>;

static SHARDS_OF_ALL: LazyLock<[Mutex<Shard>; SHARDS]> = LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));
static LAST_ID: AtomicU64 = AtomicU64::new(0);

pub(crate) fn intern(labels: &Labels) -> Arc<Entry> {
    let hash = labels.hash();
    let mut others = Others::new();
    let mut shard = shard(hash);
    if let Some(entry) = find_in(&shard, labels, &mut others) {
        return entry;
    }
    let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
    let entry = Arc::new(Entry { id, labels: labels.clone() });
    shard.insert_unique(hash, Slot { hash, entry: Arc::downgrade(&entry) }, |slot| slot.hash);
    entry
}

pub(crate) fn find(labels: &Labels) -> Option<Arc<Entry>> {
    let mut others = Others::new();
    find_in(&shard(labels.hash()), labels, &mut others)
}

/// Takes an entry out that has no handle any more.
pub(crate) fn remove(entry: &Entry) {
    let hash = entry.labels.hash();
    let mut shard = shard(hash);
    // By address: another entry with the same labels may stand beside it by now. The address is still ours, as the
    // slot's weak reference keeps the allocation.
    let slot = shard.find_entry(hash, |slot| std::ptr::eq(slot.entry.as_ptr(), entry));
    if let Ok(slot) = slot {
        drop(slot.remove());
        if shard.capacity() > SMALL && shard.len() < shard.capacity() / 4 {
            let room = shard.len() * 2;
            shard.shrink_to(room, |slot| slot.hash);
        }
    }
}

pub(crate) fn len() -> usize {
    SHARDS_OF_ALL.iter().map(|shard| lock(shard).len()).sum()
}

/// Entries that turned out to be of other labels with the same hash. We may hold the last reference to one, and its drop
/// locks the shard, so they are let go only after the shard is: declare this before locking.
type Others = Vec<Arc<Entry>>;

fn find_in(shard: &Shard, labels: &Labels, others: &mut Others) -> Option<Arc<Entry>> {
    let hash = labels.hash();
    let mut found = None;
    shard.find(hash, |slot| {
        if slot.hash != hash {
            return false;
        }
        match slot.entry.upgrade() {
            Some(entry) if entry.labels == *labels => {
                found = Some(entry);
                true
            }
            Some(other) => {
                others.push(other);
                false
            }
            None => false,
        }
    });
    found
}

fn shard(hash: u64) -> MutexGuard<'static, Shard> {
    // The low bits choose the bucket inside the shard and the high ones its tag; these are from between.
    lock(&SHARDS_OF_ALL[(hash >> 40) as usize % SHARDS])
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // No operation leaves a shard half done, so a panic elsewhere in its holder does no harm.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
