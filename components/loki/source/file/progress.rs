//! How far each file has come: positions that their tailers move, written down now and then.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_sys::fs::{self, Sync};
use serde::Deserialize;

use crate::source::positions::{self, Key, Positions};

/// The positions of one component.
pub struct Progress {
    file: PathBuf,
    inner: Mutex<Inner>,
    moved: Arc<AtomicBool>,
    /// The kernel has more than the disk.
    unsynced: AtomicBool,
}

struct Inner {
    saved: Positions,
    live: HashMap<Key, Arc<AtomicU64>>,
}

/// A position that its tailer moves.
#[derive(Clone)]
pub struct Position {
    value: Arc<AtomicU64>,
    moved: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Legacy {
    #[serde(default)]
    positions: BTreeMap<String, String>,
}

/// A position that was not set yet: what is written down stays.
const UNSET: u64 = u64::MAX;

/// No agent had so many files that theirs gets longer.
const MAX_LEGACY_BYTES: usize = 256 << 20;

// === impl Progress ===

impl Progress {
    /// Reads the file in a component's directory.
    pub fn open(directory: &Path) -> Result<Progress, positions::Error> {
        let file = directory.join("positions.yml");
        let saved = Positions::open(&file)?;
        Ok(Progress {
            file,
            inner: Mutex::new(Inner { saved, live: HashMap::new() }),
            moved: Arc::default(),
            unsynced: AtomicBool::new(false),
        })
    }

    /// Takes over the positions of Promtail or an older agent, if there are none of our own yet.
    pub fn take_over(&self, legacy: &Path) -> Result<(), String> {
        let mut inner = self.lock();
        if inner.saved.iter().next().is_some() {
            return Ok(());
        }
        let text = match fs::read_text_bounded(legacy, MAX_LEGACY_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("cannot read legacy_positions_file {}: {error}", legacy.display())),
        };
        match serde_saphyr::from_str::<Legacy>(&text) {
            Ok(old) => old.positions.iter().for_each(|(path, at)| inner.saved.set(path, "{}", at.as_str())),
            Err(error) => {
                tracing::warn!(file = %legacy.display(), %error, "the legacy positions file is not valid; starting without");
            }
        }
        Ok(())
    }

    /// What is known of a file; positions that were taken over know no labels.
    pub fn get(&self, key: &Key) -> Option<String> {
        let inner = self.lock();
        if let Some(at) = inner.live.get(key).map(|at| at.load(Relaxed)).filter(|at| *at != UNSET) {
            return Some(at.to_string());
        }
        inner.saved.get(&key.path, &key.labels).or_else(|| inner.saved.get(&key.path, "{}")).map(str::to_owned)
    }

    /// A position for a tailer to move.
    pub fn track(&self, key: Key) -> Position {
        let value = Arc::new(AtomicU64::new(UNSET));
        self.lock().live.insert(key, value.clone());
        Position { value, moved: self.moved.clone() }
    }

    /// A target has got other labels.
    pub fn rename(&self, old: &Key, new: Key) {
        let mut inner = self.lock();
        inner.saved.rename(old, &new);
        if let Some(position) = inner.live.remove(old) {
            inner.live.insert(new, position);
        }
        self.moved.store(true, Relaxed);
    }

    /// Takes over the position that the only target of a path had under other labels, before the last stop.
    pub fn take_over_path(&self, key: &Key) {
        let mut inner = self.lock();
        if inner.live.contains_key(key) || inner.saved.get(&key.path, &key.labels).is_some() {
            return;
        }
        // Of several, none is known to be the last: the one that passes over least.
        let others = inner.saved.of_path(&key.path).min_by_key(|(_, at)| at.parse().unwrap_or(0u64));
        if let Some(other) = others.map(|(other, _)| other.clone()) {
            inner.saved.rename(&other, key);
            self.moved.store(true, Relaxed);
        }
    }

    /// Forgets a file.
    pub fn remove(&self, key: &Key) {
        let mut inner = self.lock();
        inner.live.remove(key);
        inner.saved.remove(&key.path, &key.labels);
        self.moved.store(true, Relaxed);
    }

    /// Writes the file if something has moved (or has not reached the disk, where it should). Files that are no more are
    /// forgotten, but for those to `keep`.
    pub fn save(&self, sync: Sync, keep: impl Fn(&Key) -> bool) -> io::Result<()> {
        let only_sync = sync == Sync::Disk && self.unsynced.load(Relaxed);
        if !self.moved.swap(false, Relaxed) && !only_sync {
            return Ok(());
        }
        let mut inner = self.lock();
        if only_sync {
            inner.saved.not_written();
        }
        let Inner { saved, live } = &mut *inner;
        saved.forget_missing_files();
        for (key, at) in live {
            let at = at.load(Relaxed);
            if at != UNSET && (keep(key) || Path::new(&key.path).exists()) {
                saved.set(&key.path, &key.labels, at.to_string());
            }
        }
        let Some((_, text)) = saved.take_changes() else { return Ok(()) };
        let written = positions::write_to(&self.file, &text, sync);
        if written.is_err() {
            saved.not_written();
            self.moved.store(true, Relaxed);
        }
        self.unsynced.store(sync == Sync::Kernel || written.is_err(), Relaxed);
        written
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Position ===

impl Position {
    /// Everything before it is somebody else's responsibility.
    pub fn set(&self, at: u64) {
        self.value.store(at, Relaxed);
        self.moved.store(true, Relaxed);
    }

    /// Where it is; 0 if it was not set.
    pub fn get(&self) -> u64 {
        match self.value.load(Relaxed) {
            UNSET => 0,
            at => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, labels: &str) -> Key {
        Key { path: path.to_owned(), labels: labels.to_owned() }
    }

    #[test]
    fn positions_survive_a_restart_and_those_of_lost_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        std::fs::write(&log, "").unwrap();
        let mine = key(log.to_str().unwrap(), "{}");
        let progress = Progress::open(dir.path()).unwrap();
        progress.track(mine.clone()).set(5);
        progress.track(key("/lost", "{}")).set(9);
        progress.track(key(log.to_str().unwrap(), "{a=\"never read\"}"));
        progress.save(Sync::Kernel, |_| false).unwrap();
        progress.save(Sync::Disk, |_| false).unwrap();
        let again = Progress::open(dir.path()).unwrap();
        assert_eq!(again.get(&mine).as_deref(), Some("5"));
        assert_eq!(again.get(&key("/lost", "{}")), None);
    }

    #[test]
    fn legacy_positions_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let legacy = dir.path().join("old.yml");
        std::fs::write(&legacy, "positions:\n  /a.log: \"5\"\n").unwrap();
        let progress = Progress::open(dir.path()).unwrap();
        progress.take_over(&dir.path().join("missing")).unwrap();
        progress.take_over(&legacy).unwrap();
        assert_eq!(progress.get(&key("/a.log", "{app=\"x\"}")).as_deref(), Some("5"));
    }
}
