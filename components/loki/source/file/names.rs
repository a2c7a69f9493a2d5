//! Files that get a watched name, opened in the moment in which they get it.
//!
//! A file that is looked at four times a second can be rotated twice in between, and what had the name for a moment is
//! gone. So the kernel is asked to tell of names (not of writes, which are many): one watch for each folder. Where it cannot
//! (another system, a network share, no watches left) files are found by looking, as without this.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::handle::Handle;

/// Files that got one name and were not read yet. Each is an open file.
const WAITING: usize = 64;

/// A file, and when it got its name.
pub struct Named {
    pub handle: Handle,
    pub at: Instant,
}

/// The watched names of a component.
pub struct Names(Arc<Shared>);

/// Ends the watch of a name when it is dropped.
pub struct Watched {
    pub files: mpsc::Receiver<Named>,
    names: Arc<Shared>,
    places: Vec<(Id, OsString)>,
}

struct Shared {
    kernel: kernel::Watcher,
    folders: Mutex<HashMap<Id, Folder>>,
}

struct Folder {
    path: PathBuf,
    files: HashMap<OsString, Vec<mpsc::Sender<Named>>>,
}

use kernel::Id;

// === impl Names ===

impl Names {
    pub fn new() -> Names {
        Names(Arc::new(Shared { kernel: kernel::Watcher::new(), folders: Mutex::default() }))
    }

    /// Watches a name, and, if it is a link, the name that it leads to.
    pub fn watch(&self, path: &Path) -> Watched {
        let (sender, files) = mpsc::channel(WAITING);
        let mut places = Vec::new();
        let target = std::fs::canonicalize(path).ok().filter(|target| target != path);
        for path in [Some(path), target.as_deref()].into_iter().flatten() {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
            match self.0.kernel.add(folder) {
                Ok(id) => {
                    let mut folders = self.0.folders();
                    let folder =
                        folders.entry(id).or_insert_with(|| Folder { path: folder.to_owned(), files: HashMap::new() });
                    folder.files.entry(name.to_owned()).or_default().push(sender.clone());
                    places.push((id, name.to_owned()));
                }
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "the folder is not watched; its files are looked at")
                }
            }
        }
        Watched { files, names: self.0.clone(), places }
    }

    /// Opens what gets a watched name, for ever.
    pub async fn run(&self) {
        loop {
            for (id, name) in self.0.kernel.events().await {
                let folders = self.0.folders();
                let Some(folder) = folders.get(&id) else { continue };
                let Some(senders) = folder.files.get(&name) else { continue };
                let Ok(handle) = Handle::open(&folder.path.join(&name)) else { continue };
                for sender in senders {
                    let named = Named { handle: handle.clone(), at: Instant::now() };
                    if sender.try_send(named).is_err() {
                        tracing::warn!(path = %folder.path.join(&name).display(), "the file is replaced faster than it can be read; what had its name for a moment may be missed");
                    }
                }
            }
        }
    }
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, HashMap<Id, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.files.close();
        let mut folders = self.names.folders();
        for (id, name) in &self.places {
            let Some(folder) = folders.get_mut(id) else { continue };
            if let Some(senders) = folder.files.get_mut(name) {
                senders.retain(|sender| !sender.is_closed());
                if senders.is_empty() {
                    folder.files.remove(name);
                }
            }
            if folder.files.is_empty() {
                folders.remove(id);
                self.names.kernel.remove(*id);
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::ffi::OsString;
    use std::io;
    use std::os::fd::{AsFd as _, AsRawFd, RawFd};
    use std::path::Path;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
    use tokio::io::unix::AsyncFd;

    pub type Id = WatchDescriptor;

    /// None when the kernel has none left for this user.
    pub struct Watcher(Option<AsyncFd<Descriptor>>);

    pub struct Descriptor(Inotify);

    impl AsRawFd for Descriptor {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    impl Watcher {
        #[allow(
            deprecated,
            reason = "sound here, as the value owns its descriptor; what replaces it is an unsafe function"
        )]
        pub fn new() -> Watcher {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(io::Error::from);
            match inotify.and_then(|inotify| AsyncFd::new(Descriptor(inotify))) {
                Ok(inotify) => Watcher(Some(inotify)),
                Err(error) => {
                    tracing::debug!(%error, "folders are not watched; files are looked at");
                    Watcher(None)
                }
            }
        }

        pub fn add(&self, folder: &Path) -> io::Result<Id> {
            let inotify = self.0.as_ref().ok_or(io::ErrorKind::Unsupported)?.get_ref();
            Ok(inotify.0.add_watch(folder, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?)
        }

        pub fn remove(&self, id: Id) {
            if let Some(inotify) = &self.0 {
                // The folder may be gone, and its watch with it.
                let _ = inotify.get_ref().0.rm_watch(id);
            }
        }

        /// Waits for names that were given.
        pub async fn events(&self) -> Vec<(Id, OsString)> {
            let Some(inotify) = &self.0 else { return std::future::pending().await };
            loop {
                let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
                match ready.try_io(|inotify| inotify.get_ref().0.read_events().map_err(io::Error::from)) {
                    Ok(Ok(events)) => {
                        return events.into_iter().filter_map(|event| Some((event.wd, event.name?))).collect();
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "folders are not watched any more; files are looked at");
                        return std::future::pending().await;
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::ffi::OsString;
    use std::io;
    use std::path::Path;

    pub type Id = u32;

    pub struct Watcher;

    impl Watcher {
        pub fn new() -> Watcher {
            Watcher
        }

        pub fn add(&self, _: &Path) -> io::Result<Id> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn remove(&self, _: Id) {}

        pub async fn events(&self) -> Vec<(Id, OsString)> {
            std::future::pending().await
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_file_that_has_the_name_for_a_moment_is_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.log");
        let names = Arc::new(Names::new());
        let mut watched = names.watch(&path);
        let running = names.clone();
        drop(base_sys::task::spawn("names", async move { running.run().await }));
        for number in 0..5 {
            std::fs::write(&path, number.to_string()).expect("a file");
            let named = watched.files.recv().await.expect("the watch goes on");
            std::fs::rename(&path, folder.path().join("old")).expect("another name");
            assert_eq!(named.handle.read(0, 10).expect("it is open"), number.to_string().as_bytes());
        }
        drop(watched);
        assert!(names.0.folders().is_empty());
    }
}
