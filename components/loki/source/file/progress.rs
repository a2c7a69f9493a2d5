//! How far each file has come: positions that their tailers move, written down now and then.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::clock;
use base_sys::fs::{self, Sync};
use serde::Deserialize;

use super::identity::Known;
use crate::source::positions::{self, Key, Positions, SAVE_EVERY, SAVES_PER_SYNC};

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
    live: HashMap<Key, Position>,
}

/// A position that its tailer moves.
#[derive(Clone)]
pub struct Position {
    live: Arc<Mutex<Live>>,
    any_moved: Arc<AtomicBool>,
}

/// What is written down together, as one without the other would pass over lines.
#[derive(Default)]
struct Live {
    /// Not set yet: what is written down stays.
    at: Option<u64>,
    known: Known,
    moved: bool,
}

#[derive(Deserialize)]
struct Legacy {
    #[serde(default)]
    positions: BTreeMap<String, String>,
}

/// So long it is remembered which file had a name that no file has now.
const FORGET_AFTER: u64 = 24 * 3600 * 1_000_000_000;

/// So many positions are saved as often as can be.
const OFTEN_SAVED: usize = 1000;

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
        match base_yaml::from_str::<Legacy>(&text) {
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
        if let Some(at) = inner.live.get(key).and_then(|position| position.lock().at) {
            return Some(at.to_string());
        }
        inner.saved.get(&key.path, &key.labels).or_else(|| inner.saved.get(&key.path, "{}")).map(str::to_owned)
    }

    /// Which files had the name, if that is known.
    pub fn known(&self, key: &Key) -> Option<Known> {
        let inner = self.lock();
        let live = inner.live.get(key).map(|position| position.lock().known.clone());
        let known = live.or_else(|| serde_json::from_str(inner.saved.note(key)?).ok());
        known.filter(|known| *known != Known::default())
    }

    /// Files that have no position have one at their beginning from now on, if they are there; says what is known of them.
    /// Blocks.
    pub fn begin(&self, keys: Vec<Key>) -> HashMap<Key, Known> {
        let seen = keys.into_iter().filter_map(|key| {
            let metadata = std::fs::metadata(&key.path).ok().filter(Metadata::is_file)?;
            Some((key, Known::seen(&metadata)))
        });
        let seen: HashMap<Key, Known> = seen.collect();
        let mut inner = self.lock();
        for (key, known) in &seen {
            inner.saved.set(&key.path, &key.labels, "0");
            inner.saved.set_note(key, serde_json::to_string(known).unwrap_or_default());
        }
        drop(inner);
        if !seen.is_empty() {
            self.moved.store(true, Relaxed);
        }
        seen
    }

    /// A position for a tailer to move.
    pub fn track(&self, key: Key) -> Position {
        let position = Position { live: Arc::default(), any_moved: self.moved.clone() };
        self.lock().live.insert(key, position.clone());
        position
    }

    /// A target has got other labels.
    pub fn rename(&self, old: &Key, new: Key) {
        let mut inner = self.lock();
        inner.saved.rename(old, &new);
        if let Some(position) = inner.live.remove(old) {
            position.lock().moved = true;
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

    /// Whether there is anything to write.
    pub fn has_news(&self, sync: Sync) -> bool {
        self.moved.load(Relaxed) || (sync == Sync::Disk && self.unsynced.load(Relaxed))
    }

    /// How often it is worth its cost to save, and how many saves later to go to the disk itself: the file is written as a
    /// whole, so that with thousands of logs it is long.
    pub fn rhythm(&self) -> (Duration, u32) {
        let slower = 1 + u32::try_from(self.lock().live.len() / OFTEN_SAVED).unwrap_or(u32::MAX - 1);
        (SAVE_EVERY.saturating_mul(slower), (SAVES_PER_SYNC / slower).max(1))
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
        if sync == Sync::Disk {
            saved.forget_missing_files(|key, note| keep(key) || is_young(note));
        }
        for (key, position) in live {
            let mut position = position.lock();
            // Of ten thousand files, few have moved.
            if !position.moved {
                continue;
            }
            if let Some(at) = position.at
                && (keep(key) || !position.known.behind.is_empty() || Path::new(&key.path).exists())
            {
                position.moved = false;
                saved.set(&key.path, &key.labels, at.to_string());
                if position.known != Known::default() {
                    saved.set_note(key, serde_json::to_string(&position.known).unwrap_or_default());
                }
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

/// Whether a file that is gone was there so lately that a restart may ask what became of it.
fn is_young(note: Option<&str>) -> bool {
    let known = note.and_then(|note| serde_json::from_str::<Known>(note).ok()).unwrap_or_default();
    let now = u64::try_from(clock::now_ns()).unwrap_or_default();
    known.latest().is_some_and(|latest| latest.modified.saturating_add(FORGET_AFTER) > now)
}

// === impl Position ===

impl Position {
    /// Where it is; 0 if it was not set.
    pub fn get(&self) -> u64 {
        self.lock().at.unwrap_or(0)
    }

    /// Everything before it is somebody else's responsibility; it may be a position in another file than before.
    pub fn change(&self, change: impl FnOnce(&mut Option<u64>, &mut Known)) {
        let mut live = self.lock();
        let Live { at, known, moved } = &mut *live;
        change(at, known);
        *moved = true;
        drop(live);
        self.any_moved.store(true, Relaxed);
    }

    /// The file was written to; there is nothing to write down yet.
    pub fn was_modified(&self, file: &super::handle::Handle) {
        if let Some(now) = &mut self.lock().known.now {
            *now = file.identity();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
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
        progress.track(mine.clone()).change(|at, _| *at = Some(5));
        progress.track(key("/lost", "{}")).change(|at, _| *at = Some(9));
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
