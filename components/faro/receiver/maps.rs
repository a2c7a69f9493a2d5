//! The source maps that are known, and how one is found.
//!
//! Whoever looks for the same map waits for the same look-up; a slow origin makes nobody else wait. What could not be had
//! is remembered too, so that each stack trace of a broken page does not ask again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::Gauge;
use base_stdx::duration::GoDuration;
use futures_util::StreamExt as _;
use sdk_component::Problem;
use tokio::sync::{OnceCell, Semaphore, TryAcquireError};
use tokio::time::{Instant, Interval};

use super::arguments::{CacheBlock, SourceMapsBlock};
use super::counters::Counters;
use super::lines::Found;
use super::payload::Payload;
use super::places::Places;
use super::source_map::SourceMap;

/// Maps and failures that are remembered. Browsers name the files, so there may be any number of them.
const MAX_KNOWN: usize = 10_000;
/// Bytes of a URL or a release that is looked for: both are remembered.
const MAX_NAME: usize = 2048;
/// Bytes of all maps.
const MAX_BYTES: usize = 256 << 20;
/// Files of one payload that are looked for; frames in others stay as they came.
const MAX_FILES: usize = 100;
/// Look-ups of one payload at the same time.
const AT_ONCE: usize = 8;
/// Look-ups of all payloads at the same time: what is downloaded is in memory meanwhile. Beyond that stack traces stay as they
/// came, and the next payload tries again.
const ALL_AT_ONCE: usize = 64;

/// The maps of one configuration.
pub(super) struct Maps {
    places: Places,
    cache: CacheBlock,
    known: Mutex<HashMap<Key, Known>>,
    looks: Semaphore,
    counters: Counters,
}

/// A script, of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    url: String,
    release: String,
}

struct Known {
    /// Empty while it is looked for; `None` when it could not be had.
    map: Arc<OnceCell<Option<Arc<Kept>>>>,
    used: Instant,
}

/// A map, counted as long as it is kept.
pub(super) struct Kept {
    pub map: SourceMap,
    cached: Gauge,
}

// === impl Kept ===

impl Kept {
    fn new(map: SourceMap, cached: Gauge) -> Kept {
        cached.inc();
        Kept { map, cached }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.cached.dec();
    }
}

// === impl Known ===

impl Known {
    fn kept(&self) -> Option<&Arc<Kept>> {
        self.map.get()?.as_ref()
    }

    /// It was looked for and could not be had.
    fn failed(&self) -> bool {
        matches!(self.map.get(), Some(None))
    }
}

// === impl Maps ===

impl Maps {
    /// Checks the arguments; nothing is read.
    pub fn new(arguments: &SourceMapsBlock, counters: &Counters) -> Result<Maps, Problem> {
        Ok(Maps {
            places: Places::new(arguments, counters)?,
            cache: arguments.cache.clone(),
            known: Mutex::default(),
            looks: Semaphore::new(ALL_AT_ONCE),
            counters: counters.clone(),
        })
    }

    /// The maps of the files in the stack traces of a payload.
    pub async fn of(self: &Arc<Self>, payload: &Payload) -> Found {
        let release = &payload.meta.app.release;
        if release.len() > MAX_NAME {
            return Found::default();
        }
        let frames = payload.exceptions.iter().flat_map(|exception| &exception.stacktrace.frames);
        let mut seen = HashSet::new();
        let files: Vec<&str> = frames
            .map(|frame| frame.filename.as_str())
            .filter(|file| file.len() <= MAX_NAME && seen.insert(*file) && self.places.may_have(file))
            .take(MAX_FILES)
            .collect();
        let looks: Vec<_> =
            files.into_iter().map(|file| self.clone().found(file.to_owned(), release.clone())).collect();
        let found: Vec<_> = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        found.into_iter().flatten().collect()
    }

    async fn found(self: Arc<Self>, file: String, release: String) -> Option<(String, Arc<Kept>)> {
        let map = self.map(&file, &release).await?;
        Some((file, map))
    }

    async fn map(&self, url: &str, release: &str) -> Option<Arc<Kept>> {
        let key = Key { url: url.to_owned(), release: release.to_owned() };
        let map = {
            let mut known = self.lock();
            if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
                forget_oldest(&mut known, |_, _| true);
            }
            let known = known.entry(key.clone()).or_insert_with(|| Known { map: Arc::default(), used: Instant::now() });
            known.used = Instant::now();
            known.map.clone()
        };
        if let Some(found) = map.get() {
            return found.clone();
        }
        let found = map.get_or_try_init(|| self.look(url, release)).await.ok()?.clone()?;
        self.make_room(&key);
        Some(found)
    }

    async fn look(&self, url: &str, release: &str) -> Result<Option<Arc<Kept>>, TryAcquireError> {
        let _look = self.looks.try_acquire()?;
        Ok(match self.places.look(url, release).await {
            Ok(map) => map.map(|map| Arc::new(Kept::new(map, self.counters.cached(url)))),
            Err(error) => {
                tracing::warn!(url, release, error, "a source map cannot be had; stack traces stay as they are");
                None
            }
        })
    }

    /// Forgets maps until all are within the bound, this one last.
    fn make_room(&self, newest: &Key) {
        let mut known = self.lock();
        let mut bytes: usize = known.values().filter_map(Known::kept).map(|kept| kept.map.bytes()).sum();
        while bytes > MAX_BYTES {
            let Some(gone) = forget_oldest(&mut known, |key, known| key != newest && known.kept().is_some()) else {
                break;
            };
            bytes -= gone.kept().map_or(0, |kept| kept.map.bytes());
        }
    }

    /// Forgets in time what was not used and what could not be had, until dropped.
    pub async fn tidy(&self) {
        let mut unused = timer(self.cache.cleanup_check_interval);
        let mut failed = timer(self.cache.error_cleanup_interval);
        let ttl = self.cache.ttl.to_std().unwrap_or_default();
        loop {
            tokio::select! {
                () = tick(&mut unused) => self.lock().retain(|_, known| known.kept().is_none() || known.used.elapsed() <= ttl),
                () = tick(&mut failed) => self.lock().retain(|_, known| !known.failed()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the one that was used longest ago, of those that may go.
fn forget_oldest(known: &mut HashMap<Key, Known>, may_go: impl Fn(&Key, &Known) -> bool) -> Option<Known> {
    let candidates = known.iter().filter(|(key, known)| may_go(key, known));
    let oldest = candidates.min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone())?;
    known.remove(&oldest)
}

fn timer(period: GoDuration) -> Option<Interval> {
    let period = period.to_std().filter(|period| !period.is_zero())?;
    let start = Instant::now().checked_add(period)?;
    Some(tokio::time::interval_at(start, period))
}

/// Never, without a timer.
async fn tick(timer: &mut Option<Interval>) {
    match timer {
        Some(timer) => drop(timer.tick().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::LocationBlock;
    use super::super::payload::{Exception, Frame, Stacktrace};
    use super::*;

    #[tokio::test]
    async fn beyond_many_look_ups_a_stack_trace_stays_as_it_came() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.js.map"), r#"{"sources":["a"],"mappings":"AAAA"}"#).unwrap();
        let location =
            LocationBlock { path: folder.path().display().to_string(), minified_path_prefix: "http://x/".to_owned() };
        let arguments = SourceMapsBlock { location: vec![location], ..SourceMapsBlock::default() };
        let counters = Counters::new(&base_metrics::Scope::detached());
        let maps = Arc::new(Maps::new(&arguments, &counters).unwrap());
        let frame = Frame { filename: "http://x/app.js".to_owned(), ..Frame::default() };
        let exception = Exception { stacktrace: Stacktrace { frames: vec![frame] }, ..Exception::default() };
        let payload = Payload { exceptions: vec![exception], ..Payload::default() };
        let all = maps.looks.try_acquire_many(ALL_AT_ONCE as u32).unwrap();
        assert_eq!(maps.of(&payload).await.len(), 0);
        drop(all);
        assert_eq!(maps.of(&payload).await.len(), 1, "the next payload tries again");
        let mut long = Payload { exceptions: payload.exceptions, ..Payload::default() };
        long.meta.app.release = "x".repeat(MAX_NAME + 1);
        assert_eq!(maps.of(&long).await.len(), 0);
        assert_eq!(maps.lock().len(), 1, "not remembered");
    }
}
