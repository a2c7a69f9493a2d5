//! Files that get a watched name, opened in the moment in which they get it.
//!
//! A file that is looked at four times a second can be rotated twice in between, and what had the name for a moment is
//! gone. So the kernel is asked to tell of names (not of writes, which are many): one watch for each folder. Where it cannot
//! (another system, a network share, no watches left) files are found by looking, as without this.
//!
//! A file that is still is not looked at either: the kernel is asked to tell of the first thing that happens to it, once. So
//! ten thousand of them cost nothing, and one that is written to costs no event for each write.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
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
    /// Seldom any: in boxes, as a channel has room for many from the start.
    pub files: mpsc::Receiver<Box<Named>>,
    names: Arc<Shared>,
    places: Vec<(Id, OsString)>,
    /// Whoever gets the name is seen.
    is_whole: bool,
}

/// Rings when something happens to a file: it is written to, emptied, renamed, or deleted. Once.
pub struct Alarm {
    rung: oneshot::Receiver<()>,
    id: Id,
    names: Arc<Shared>,
}

struct Shared {
    kernel: kernel::Watcher,
    folders: Mutex<HashMap<Id, Folder>>,
    /// More than one if several tailers read the same file.
    alarms: Mutex<HashMap<Id, Vec<oneshot::Sender<()>>>>,
    told: AtomicBool,
}

struct Folder {
    path: PathBuf,
    files: HashMap<OsString, Vec<mpsc::Sender<Box<Named>>>>,
}

/// What the kernel tells.
enum Event {
    /// A file has got a name.
    Name(Id, OsString),
    /// Something has happened to a file, or its watch has ended.
    File(Id),
    /// It was too much to tell.
    Missed,
}

use kernel::Id;

/// Whether a link leads to its target at once, and through no other link: then both ends of it are all there is to watch.
fn leads_straight(link: &Path, target: &Path) -> bool {
    let Some(folder) = link.parent() else { return false };
    let leads_to = std::fs::read_link(link).map(|to| folder.join(to));
    leads_to.is_ok_and(|to| to == target) && std::fs::canonicalize(folder).is_ok_and(|whole| whole == folder)
}

// === impl Names ===

impl Names {
    /// How many files are waited for.
    #[cfg(test)]
    pub fn still(&self) -> usize {
        self.0.alarms().len()
    }

    pub fn new() -> Names {
        Names(Arc::new(Shared {
            kernel: kernel::Watcher::new(),
            folders: Mutex::default(),
            alarms: Mutex::default(),
            told: AtomicBool::new(false),
        }))
    }

    /// Watches a name, and, if it is a link, the name that it leads to.
    pub fn watch(&self, path: &Path) -> Watched {
        let (sender, files) = mpsc::channel(WAITING);
        let mut places = Vec::new();
        let target = std::fs::canonicalize(path).ok().filter(|target| target != path);
        let mut is_whole = target.as_ref().is_none_or(|target| leads_straight(path, target));
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
                    is_whole = false;
                    tracing::debug!(folder = %folder.display(), %error, "the folder is not watched; its files are looked at")
                }
            }
        }
        Watched { files, names: self.0.clone(), places, is_whole }
    }

    /// Opens what gets a watched name, for ever.
    pub async fn run(&self) {
        loop {
            for event in self.0.kernel.events().await {
                let (id, name) = match event {
                    Event::Name(id, name) => (id, name),
                    Event::File(id) => {
                        self.0.ring(id);
                        continue;
                    }
                    Event::Missed => {
                        self.0.alarms().clear();
                        continue;
                    }
                };
                let folders = self.0.folders();
                let Some(folder) = folders.get(&id) else { continue };
                let Some(senders) = folder.files.get(&name) else { continue };
                let Ok(handle) = Handle::open(&folder.path.join(&name)) else { continue };
                for sender in senders {
                    let named = Named { handle: handle.clone(), at: Instant::now() };
                    if sender.try_send(Box::new(named)).is_err() {
                        tracing::warn!(path = %folder.path.join(&name).display(), "the file is replaced faster than it can be read; what had its name for a moment may be missed");
                    }
                }
            }
        }
    }
}

impl Watched {
    /// Something has happened of which the kernel did not tell: it is not relied on any more.
    pub fn distrust(&mut self) {
        self.is_whole = false;
    }

    /// An alarm for a file that has the name; none where the kernel would not tell, or not of everything.
    pub fn alarm(&self, file: &Handle) -> Option<Alarm> {
        let file = file.descriptor().filter(|_| self.is_whole)?;
        // Events are waited for until the alarm is among those that they ring.
        let mut alarms = self.names.alarms();
        match self.names.kernel.add_file(file) {
            Ok(id) => {
                let (sender, rung) = oneshot::channel();
                alarms.entry(id).or_default().push(sender);
                Some(Alarm { rung, id, names: self.names.clone() })
            }
            Err(error) => {
                if error.kind() != std::io::ErrorKind::Unsupported && !self.names.told.swap(true, Relaxed) {
                    tracing::warn!(%error, "the kernel watches no more files (fs.inotify.max_user_watches); those that are still are looked at again and again");
                }
                None
            }
        }
    }
}

impl Alarm {
    /// Waits until it rings.
    pub async fn rung(&mut self) {
        let _ = (&mut self.rung).await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.rung.close();
        let mut alarms = self.names.alarms();
        let Some(senders) = alarms.get_mut(&self.id) else { return };
        senders.retain(|sender| !sender.is_closed());
        if senders.is_empty() {
            alarms.remove(&self.id);
            self.names.kernel.remove(self.id);
        }
    }
}

impl Shared {
    /// Whoever waits finds that nobody will ring again.
    fn ring(&self, id: Id) {
        self.alarms().remove(&id);
    }

    fn alarms(&self) -> MutexGuard<'_, HashMap<Id, Vec<oneshot::Sender<()>>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
    use std::io;
    use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, RawFd};
    use std::path::Path;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
    use nix::sys::statfs::{self, FsType, fstatfs};
    use tokio::io::unix::AsyncFd;

    use super::Event;

    pub type Id = WatchDescriptor;

    /// None when the kernel has none left for this user.
    pub struct Watcher(Option<AsyncFd<Descriptor>>);

    pub struct Descriptor(Inotify);

    /// File systems of which this kernel knows every write. Those in layers are none: a container writes past them.
    const LOCAL: [FsType; 6] = [
        statfs::EXT4_SUPER_MAGIC,
        statfs::XFS_SUPER_MAGIC,
        statfs::BTRFS_SUPER_MAGIC,
        statfs::TMPFS_MAGIC,
        statfs::F2FS_SUPER_MAGIC,
        FsType(0x2fc1_2fc1), // ZFS
    ];

    impl From<InotifyEvent> for Event {
        fn from(event: InotifyEvent) -> Event {
            match event.name {
                _ if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) => Event::Missed,
                Some(name) => Event::Name(event.wd, name),
                None => Event::File(event.wd),
            }
        }
    }

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

        /// The next thing that happens to an open file is told, and then no more. Only where all that is written to a file
        /// goes through this kernel, and by one way.
        pub fn add_file(&self, file: BorrowedFd<'_>) -> io::Result<Id> {
            let inotify = self.0.as_ref().ok_or(io::ErrorKind::Unsupported)?.get_ref();
            if !LOCAL.contains(&fstatfs(file)?.filesystem_type()) {
                return Err(io::ErrorKind::Unsupported.into());
            }
            // A deleted file tells of its links until it is closed.
            let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MOVE_SELF;
            // The file itself, not what has its name now.
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(inotify.0.add_watch(path.as_str(), flags | AddWatchFlags::IN_ONESHOT)?)
        }

        pub fn remove(&self, id: Id) {
            if let Some(inotify) = &self.0 {
                // The folder may be gone, and its watch with it.
                let _ = inotify.get_ref().0.rm_watch(id);
            }
        }

        /// Waits for what happens.
        pub async fn events(&self) -> Vec<Event> {
            let Some(inotify) = &self.0 else { return std::future::pending().await };
            loop {
                let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
                match ready.try_io(|inotify| inotify.get_ref().0.read_events().map_err(io::Error::from)) {
                    Ok(Ok(events)) => {
                        return events.into_iter().map(Event::from).collect();
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
    use std::convert::Infallible;
    use std::io;
    use std::path::Path;

    use super::Event;

    pub type Id = u32;

    pub struct Watcher;

    impl Watcher {
        pub fn new() -> Watcher {
            Watcher
        }

        pub fn add(&self, _: &Path) -> io::Result<Id> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn add_file(&self, file: Infallible) -> io::Result<Id> {
            match file {}
        }

        pub fn remove(&self, _: Id) {}

        pub async fn events(&self) -> Vec<Event> {
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

    #[tokio::test]
    async fn an_alarm_rings_at_whatever_happens_to_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there").join("app.log");
        let names = Arc::new(Names::new());
        let running = names.clone();
        drop(base_sys::task::spawn("names", async move { running.run().await }));
        let open = || std::fs::File::options().append(true).create(true).open(&path).expect("a file");
        let happens: [&dyn Fn(); 4] = [
            &|| std::io::Write::write_all(&mut open(), b"text").expect("it is written"),
            &|| open().set_len(0).expect("it is emptied"),
            &|| std::fs::rename(&path, folder.path().join("old")).expect("another name"),
            &|| std::fs::remove_file(&path).expect("it is deleted"),
        ];
        for happens in happens {
            open();
            let watched = names.watch(&path);
            let handle = Handle::open(&path).expect("it is there");
            let Some(mut first) = watched.alarm(&handle) else {
                eprintln!("skipped: the kernel does not tell of files in {}", path.display());
                return;
            };
            let mut second = watched.alarm(&handle).expect("a second one for the same file");
            drop(watched.alarm(&handle));
            happens();
            first.rung().await;
            second.rung().await;
            drop((first, second));
            assert!(names.0.alarms().is_empty());
        }
    }

    #[test]
    fn a_link_through_others_is_not_watched_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().canonicalize().expect("it is there");
        let at = |name: &str| folder.join(name);
        std::fs::create_dir(at("a")).expect("a folder");
        std::fs::write(at("a/log"), "").expect("a file");
        for (to, link) in [("a/log", "straight"), ("straight", "winding"), ("a", "folder")] {
            std::os::unix::fs::symlink(to, at(link)).expect("a link");
        }
        let leads = |link: &str| leads_straight(&at(link), &at("a/log"));
        assert!(leads("straight"));
        assert!(!leads("winding"));
        assert!(!leads("folder/log"));
    }
}
