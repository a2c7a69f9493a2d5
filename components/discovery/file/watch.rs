//! Tells when one of the files may have changed. A hint only: whatever it misses, the next round finds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watches the directories of files, as a file that is replaced is another file.
pub(super) struct Watch {
    directories: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    told: Arc<Notify>,
}

impl Watch {
    /// Of the files that match these patterns.
    pub(super) fn new<'p>(patterns: impl Iterator<Item = &'p str>) -> Watch {
        let directory = |pattern: &str| match Path::new(pattern).parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let told = Arc::new(Notify::new());
        let tell = told.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too, and would lead to reading it for ever; other files are nobody's business.
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| lists_targets(path))) {
                tell.notify_one();
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "changes are noticed by refresh_interval only"));
        Watch { directories: patterns.map(directory).collect(), watcher: watcher.ok(), told }
    }

    /// Whether nothing can be watched at all.
    pub(super) fn is_blind(&self) -> bool {
        self.watcher.is_none()
    }

    /// Watches the directories that are there now. One that is watched already is so still.
    pub(super) fn look(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for directory in &self.directories {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, directory = %directory.display(), "cannot watch a directory");
            }
        }
    }

    /// Something has happened since the last time.
    pub(super) async fn changed(&self) {
        self.told.notified().await;
    }
}

/// Kubernetes changes all files of a volume by one link beside them, whose name begins with two dots.
fn lists_targets(path: &Path) -> bool {
    let is_link = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    is_link || ["json", "yml", "yaml"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
