//! Being told that a journal has grown: the kernel tells, and where it does not, looking now and then is enough.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How often is looked although the kernel tells: a journal on a network's disk may change without a word.
const TOLD: Duration = Duration::from_secs(5);
/// How often is looked when the kernel tells nothing.
const UNTOLD: Duration = Duration::from_millis(500);

/// Watches folders.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
    woken: Arc<Notify>,
    files: Arc<AtomicBool>,
}

// === impl Watch ===

impl Watch {
    /// Of these, as far as they exist.
    pub fn new(folders: &[PathBuf]) -> Watch {
        let (woken, files) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (wake, changed) = (woken.clone(), files.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // journald truncates a file to its own size when it has written: that is a modification.
            let appended = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Modify(kind) if !matches!(kind, notify::event::ModifyKind::Name(_))));
            let accessed = matches!(&event, Ok(event) if event.kind.is_access());
            if !appended && !accessed {
                changed.store(true, Ordering::Release);
            }
            if !accessed {
                wake.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| tracing::debug!(%error, "the journal is polled")).ok();
        let mut watch = Watch { watcher, watched: Vec::new(), woken, files };
        watch.also(folders);
        watch
    }

    /// Watches folders that have come since.
    pub fn also(&mut self, folders: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in folders {
            let known = self.watched.contains(folder);
            if !known && Path::exists(folder) && watcher.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.push(folder.clone());
            }
        }
    }

    /// Resolves when there may be something new.
    pub async fn woken(&self) {
        let patience = if self.watched.is_empty() { UNTOLD } else { TOLD };
        let _ = tokio::time::timeout(patience, self.woken.notified()).await;
    }

    /// Whether files may have come, gone or got other names.
    pub fn take_files_changed(&self) -> bool {
        self.files.swap(false, Ordering::AcqRel)
    }
}
