//! How much is in the folders of containers: counted file by file in the background, one folder at a time, and never more
//! often than it is worth.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_sys::task;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Between two counts of a folder.
const PERIOD: Duration = Duration::from_secs(60);
/// A folder that takes long is counted less often: this many times longer is between two counts.
const LEISURE: u32 = 20;
/// Files with several names are counted once; beyond this many of them, each time.
const MAX_LINKED: usize = 1 << 20;

/// What is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub bytes: u64,
    pub inodes: u64,
}

/// The folders that somebody wants to know of, and what was found.
#[derive(Default)]
pub(super) struct Usages {
    folders: Mutex<BTreeMap<PathBuf, Known>>,
    wanted: Notify,
}

#[derive(Clone, Copy, Default)]
struct Known {
    usage: Option<Usage>,
    /// None: at once.
    due: Option<Instant>,
}

impl Usages {
    /// These are to be known, and no others.
    pub fn want(&self, wanted: &BTreeSet<PathBuf>) {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.retain(|folder, _| wanted.contains(folder));
        for folder in wanted {
            if !folders.contains_key(folder) {
                folders.insert(folder.clone(), Known::default());
                self.wanted.notify_one();
            }
        }
    }

    /// What was found last.
    pub fn get(&self, folder: &Path) -> Option<Usage> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).get(folder)?.usage
    }

    /// Counts for ever. Dropping this ends a count that goes on.
    pub async fn keep(&self) {
        let stop = StopOnDrop::default();
        loop {
            let (folder, due) = match self.next() {
                None => {
                    self.wanted.notified().await;
                    continue;
                }
                Some((folder, None)) => (folder, Instant::now()),
                Some((folder, Some(due))) => (folder, due),
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.wanted.notified() => continue,
            }
            let begun = Instant::now();
            let (path, stopped) = (folder.clone(), stop.0.clone());
            let counted = task::blocking("prometheus.exporter.cadvisor usage", move || count(&path, &stopped)).await;
            let usage = counted.returned().flatten();
            let now = Instant::now();
            let due = now + PERIOD.max((now - begun) * LEISURE);
            if let Some(known) = self.folders.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&folder) {
                *known = Known { usage: usage.or(known.usage), due: Some(due) };
            }
        }
    }

    fn next(&self) -> Option<(PathBuf, Option<Instant>)> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, known) = folders.iter().min_by_key(|(_, known)| known.due)?;
        Some((folder.clone(), known.due))
    }
}

#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everything in a folder and below it, on its own file system. None if it is not there, or if told to stop.
fn count(folder: &Path, stop: &AtomicBool) -> Option<Usage> {
    let root = std::fs::symlink_metadata(folder).ok()?;
    let mut usage = Usage { bytes: root.blocks() * 512, inodes: 1 };
    let mut linked = HashSet::new();
    let mut ahead = vec![folder.to_path_buf()];
    while let Some(folder) = ahead.pop() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != root.dev() {
                continue;
            }
            if metadata.is_dir() {
                ahead.push(entry.path());
            } else if metadata.nlink() > 1 {
                let is_full = linked.len() >= MAX_LINKED;
                if linked.contains(&metadata.ino()) || !is_full && !linked.insert(metadata.ino()) {
                    continue;
                }
            }
            usage.bytes += metadata.blocks() * 512;
            usage.inodes += 1;
        }
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_several_names_are_counted_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("inner")).expect("a folder");
        std::fs::write(at("inner/a"), vec![1; 10_000]).expect("a file");
        std::fs::hard_link(at("inner/a"), at("b")).expect("a link");
        std::os::unix::fs::symlink("/", at("elsewhere")).expect("a link");
        let usage = count(folder.path(), &AtomicBool::new(false)).expect("it is there");
        assert_eq!(usage.inodes, 4);
        assert!(usage.bytes >= 10_000, "{usage:?}");
        assert_eq!(count(folder.path(), &AtomicBool::new(true)), None);
        assert_eq!(count(&at("nowhere"), &AtomicBool::new(false)), None);
    }

    #[tokio::test]
    async fn what_is_wanted_gets_known_and_what_is_not_is_forgotten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let usages = Arc::new(Usages::default());
        let keeper = task::spawn("keeper", {
            let usages = usages.clone();
            async move { usages.keep().await }
        });
        usages.want(&[folder.path().to_path_buf(), "/no/such/folder".into()].into());
        while usages.get(folder.path()).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(usages.get(folder.path()).map(|usage| usage.inodes), Some(1));
        assert_eq!(usages.get(Path::new("/no/such/folder")), None);
        usages.want(&BTreeSet::new());
        assert_eq!(usages.get(folder.path()), None);
        keeper.cut();
    }
}
