//! What endpoints leave behind in their folders when the configuration changes.
//!
//! Each endpoint of a component keeps its queue in a folder of its own, named for what the endpoint is. Somebody mends a
//! typing error in its address, and what has piled up meanwhile would wait for ever for the endpoint that it was meant for.
//! So a folder whose endpoint is gone is given to the one that has come in its place. Where there is no saying which that
//! is, nobody gets it: it may belong to another tenant.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::Disk;
use crate::counters::Counters;
use crate::disk::{LOCK, Store};

/// The folders of a component's endpoints.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Where each endpoint has a folder of its own name: the queues (one, or one per shard, in each), and whatever else
    /// belongs to them.
    pub roots: Vec<PathBuf>,
    /// The names of the endpoints that are to work now. None of them may be at work yet, except those that have a folder.
    pub wanted: Vec<String>,
}

/// A folder with data for an endpoint that is not there any more.
struct LeftBehind {
    name: String,
    /// Lines or samples in it, as far as queues tell.
    items: u64,
}

/// Gives what an endpoint has left behind to the one that has come in its place, and says what is left behind all the same,
/// in the log, and how many items to the caller. Folders that hold nothing are removed. Nothing here fails a start.
pub async fn hand_over(folders: Folders) -> u64 {
    let left = base_sys::task::blocking("queue folders", move || folders.hand_over()).await.returned();
    left.unwrap_or_default().iter().map(|left| left.items).sum()
}

/// The gauge of what is left behind, for whoever finds some.
pub const LEFT_BEHIND: &str = "ferroalloy_queue_left_behind_items";
/// Its help.
pub const LEFT_BEHIND_HELP: &str = "Items on the disk for endpoints that are not in the configuration any more.";

/// Items of all queues below a folder that nobody works in. Blocking. An error of the disk, or of a queue that is at work.
pub fn items_in(folder: &Path) -> io::Result<u64> {
    held(folder).map(Option::unwrap_or_default)
}

// === impl Folders ===

impl Folders {
    fn hand_over(&self) -> Vec<LeftBehind> {
        let mut present = BTreeSet::new();
        for root in &self.roots {
            // Before the first run there is none.
            let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            present.extend(folders.filter_map(|folder| folder.file_name().into_string().ok()));
        }
        let mut left: Vec<LeftBehind> = Vec::new();
        for name in present.iter().filter(|name| !self.wanted.contains(name)) {
            match self.held(name) {
                Ok(Some(items)) => left.push(LeftBehind { name: name.clone(), items }),
                Ok(None) => self.remove(name),
                Err(error) => {
                    tracing::warn!(folder = name, %error, "cannot read what an endpoint has left behind");
                }
            }
        }
        let new: Vec<&String> = self.wanted.iter().filter(|name| !present.contains(*name)).collect();
        if let ([one], [new]) = (&left[..], &new[..]) {
            match self.rename(&one.name, new) {
                Ok(()) => {
                    let items = one.items;
                    tracing::info!(
                        items,
                        "the endpoint gets what the one before it in the configuration has not taken"
                    );
                    return Vec::new();
                }
                Err(error) => {
                    tracing::warn!(folder = one.name, %error, "cannot hand over what an endpoint has left behind")
                }
            }
        }
        for LeftBehind { name, items } in &left {
            let folders =
                self.folders(name).map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ");
            tracing::warn!(
                folders,
                items,
                "data waits for an endpoint that is not in the configuration any more; put it back to have it sent, or remove the folders"
            );
        }
        left
    }

    /// The items in the folders of an endpoint; nothing when there is nothing at all.
    fn held(&self, name: &str) -> io::Result<Option<u64>> {
        let mut sum = None;
        for folder in self.folders(name) {
            if let Some(items) = held(&folder)? {
                sum = Some(sum.unwrap_or(0) + items);
            }
        }
        Ok(sum)
    }

    fn folders(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        self.roots.iter().map(move |root| root.join(name)).filter(|folder| folder.is_dir())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        for root in self.roots.iter().filter(|root| root.join(from).is_dir()) {
            std::fs::rename(root.join(from), root.join(to))?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) {
        for folder in self.folders(name) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::debug!(folder = %folder.display(), %error, "cannot remove an empty queue");
            }
        }
    }
}

/// The items of the queues in a folder; a file that is no queue's may hold some as well. Nothing when all is empty.
fn held(folder: &Path) -> io::Result<Option<u64>> {
    if folder.join(LOCK).is_file() {
        let counters = Arc::new(Counters::default());
        Store::open(Disk::new(folder, u64::MAX), counters.clone())?;
        let recovered = &counters.recovered;
        return Ok((recovered.records.load(Relaxed) > 0).then(|| recovered.items.load(Relaxed)));
    }
    let mut sum = None;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let items = match metadata.is_dir() {
            true => held(&entry.path())?,
            false => (metadata.len() > 0).then_some(0),
        };
        if let Some(items) = items {
            sum = Some(sum.unwrap_or(0) + items);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sdk_signals::Delivery;

    use super::*;
    use crate::{Config, Overflow, Queue, Record};

    async fn queue(dir: &Path) -> Queue {
        let disk = Some(Disk::new(dir, 1 << 20));
        let config = Config {
            name: "test".to_owned(),
            memory_bytes: 1 << 20,
            disk,
            written: crate::Written::default(),
            overflow: Overflow::Wait,
        };
        Queue::open(config).await.expect("it opens")
    }

    /// Leaves so many records of ten items each; with none, the folder of a queue that is empty.
    async fn leave(dir: &Path, records: usize) {
        let queue = queue(dir).await;
        for _ in 0..records {
            let record = Record { meta: Bytes::new(), body: Bytes::from_static(b"body").into(), items: 10 };
            queue.push(record, Delivery::pending().1).await.expect("it is open");
        }
        queue.close(std::time::Duration::from_secs(20)).await;
    }

    async fn hand_over(root: &Path, wanted: &[&str]) -> Vec<(String, u64)> {
        let roots = vec![root.join("queue"), root.join("taken")];
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        let folders = Folders { roots, wanted };
        let left = base_sys::task::blocking("test", move || folders.hand_over()).await.returned();
        left.expect("it does not panic").into_iter().map(|left| (left.name, left.items)).collect()
    }

    async fn records(dir: &Path) -> u64 {
        let queue = queue(dir).await;
        let records = queue.stats().records;
        queue.close(std::time::Duration::from_secs(20)).await;
        records
    }

    #[tokio::test]
    async fn the_one_that_comes_gets_what_the_one_that_went_has_left() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        leave(&root.join("queue/old"), 3).await;
        assert!(hand_over(root, &["new"]).await.is_empty());
        assert!(!root.join("queue/old").exists());
        assert_eq!(records(&root.join("queue/new")).await, 3);
        // And back.
        assert!(hand_over(root, &["old"]).await.is_empty());
        assert_eq!(records(&root.join("queue/old")).await, 3);
        // Shards are queues in a folder.
        leave(&root.join("queue/sharded/0"), 1).await;
        leave(&root.join("queue/sharded/1"), 1).await;
        assert!(hand_over(root, &["old", "other"]).await.is_empty());
        assert_eq!(records(&root.join("queue/other/1")).await, 1);
    }

    #[tokio::test]
    async fn what_no_queue_has_goes_along() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        leave(&root.join("queue/old"), 0).await;
        std::fs::create_dir_all(root.join("taken/old")).expect("it can be made");
        std::fs::write(root.join("taken/old/1.taken"), "parts").expect("it can be written");
        assert!(hand_over(root, &["new"]).await.is_empty());
        assert!(root.join("taken/new/1.taken").exists() && root.join("queue/new").exists());
        // A file that was emptied is no reason.
        std::fs::write(root.join("taken/new/1.taken"), "").expect("it can be written");
        assert!(hand_over(root, &["third"]).await.is_empty());
        assert!(!root.join("taken/new").exists() && !root.join("taken/third").exists());
    }

    #[tokio::test]
    async fn nobody_gets_what_may_be_anothers() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        leave(&root.join("queue/a"), 1).await;
        leave(&root.join("queue/b"), 2).await;
        leave(&root.join("queue/empty"), 0).await;
        let both = vec![("a".to_owned(), 10), ("b".to_owned(), 20)];
        assert_eq!(hand_over(root, &["c"]).await, both, "two are gone");
        assert_eq!(hand_over(root, &["a", "c", "d"]).await, both[1..], "two have come");
        assert_eq!(hand_over(root, &["a"]).await, both[1..], "none has come");
        assert!(!root.join("queue/empty").exists());
        assert_eq!(hand_over(root, &["a", "b"]).await, []);
        assert_eq!(records(&root.join("queue/b")).await, 2);
    }
}
