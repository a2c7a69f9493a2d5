//! Files that get a watched name, opened in the moment in which they get it.
//!
//! A file that is looked at four times a second can be rotated twice in between, and what had the name for a moment is
//! gone. So the kernel is asked to tell of names (not of writes, which are many): one watch for each folder. Where it cannot
//! (another system, a network share, no watches left) files are found by looking, as without this.
//!
//! A file that is still is not looked at either: the kernel is asked to tell of the first thing that happens to it, once. So
//! ten thousand of them cost nothing, and one that is written to costs no event for each write.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
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

/// Ends the watch of a name, and the alarm, when it is dropped.
pub struct Watched {
    mail: Arc<Mail>,
    names: Arc<Shared>,
    places: Vec<(Id, Arc<OsStr>)>,
    /// Whoever gets the name is seen.
    is_whole: bool,
    /// Rings when something happens to the file that has the name: it is written to, emptied, renamed, or deleted. Once.
    alarm: Option<Id>,
}

/// What a watch has to tell.
pub enum News {
    /// A file has got the name.
    File(Named),
    /// The alarm has rung.
    Alarm,
}

/// What has happened and was not asked for yet. Mostly nothing: small, as there may be ten thousand.
#[derive(Default)]
struct Mail {
    files: Mutex<VecDeque<Named>>,
    rung: AtomicBool,
    came: Notify,
}

struct Shared {
    kernel: kernel::Watcher,
    folders: Mutex<HashMap<Id, Folder>>,
    /// More than one if several tailers read the same file.
    alarms: Mutex<HashMap<Id, Vec<Arc<Mail>>>>,
    told: AtomicBool,
}

struct Folder {
    path: PathBuf,
    files: HashMap<Arc<OsStr>, Vec<Arc<Mail>>>,
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
        let mail = Arc::new(Mail::default());
        let mut places = Vec::with_capacity(1);
        let target = std::fs::canonicalize(path).ok().filter(|target| target != path);
        let mut is_whole = target.as_ref().is_none_or(|target| leads_straight(path, target));
        for path in [Some(path), target.as_deref()].into_iter().flatten() {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
            match self.0.kernel.add(folder) {
                Ok(id) => {
                    let mut folders = self.0.folders();
                    let folder =
                        folders.entry(id).or_insert_with(|| Folder { path: folder.to_owned(), files: HashMap::new() });
                    let name: Arc<OsStr> = name.into();
                    folder.files.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1)).push(mail.clone());
                    places.push((id, name));
                }
                Err(error) => {
                    is_whole = false;
                    tracing::debug!(folder = %folder.display(), %error, "the folder is not watched; its files are looked at")
                }
            }
        }
        Watched { mail, names: self.0.clone(), places, is_whole, alarm: None }
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
                        self.0.alarms().drain().for_each(|(_, waiting)| ring(&waiting));
                        continue;
                    }
                };
                let folders = self.0.folders();
                let Some(folder) = folders.get(&id) else { continue };
                let Some(waiting) = folder.files.get(&*name) else { continue };
                let Ok(handle) = Handle::open(&folder.path.join(&name)) else { continue };
                for mail in waiting {
                    if !mail.put(Named { handle: handle.clone(), at: Instant::now() }) {
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

    /// What has happened, waited for. May be dropped at any time without losing anything.
    pub async fn news(&self) -> News {
        loop {
            if let Some(named) = self.take() {
                return News::File(named);
            }
            if self.mail.rung.swap(false, Relaxed) {
                return News::Alarm;
            }
            self.mail.came.notified().await;
        }
    }

    /// A file that has got the name, if there is one that was not taken yet.
    pub fn take(&self) -> Option<Named> {
        let mut files = self.mail.files();
        let named = files.pop_front();
        if files.is_empty() {
            *files = VecDeque::new();
        }
        named
    }

    /// Whether there is an alarm for the file, which has perhaps rung.
    pub fn is_alarmed(&self) -> bool {
        self.alarm.is_some()
    }

    /// Sets an alarm for a file that has the name; there is none where the kernel would not tell, or not of everything.
    pub fn set_alarm(&mut self, file: &Handle) {
        self.end_alarm();
        let Some(file) = file.descriptor().filter(|_| self.is_whole) else { return };
        // Events are waited for until the alarm is among those that they ring.
        let mut alarms = self.names.alarms();
        match self.names.kernel.add_file(file) {
            Ok(id) => {
                alarms.entry(id).or_insert_with(|| Vec::with_capacity(1)).push(self.mail.clone());
                self.alarm = Some(id);
            }
            Err(error) => {
                if error.kind() != std::io::ErrorKind::Unsupported && !self.names.told.swap(true, Relaxed) {
                    tracing::warn!(%error, "the kernel watches no more files (fs.inotify.max_user_watches); those that are still are looked at again and again");
                }
            }
        }
    }

    /// Nobody waits for it any more.
    pub fn end_alarm(&mut self) {
        let Some(id) = self.alarm.take() else { return };
        let mut alarms = self.names.alarms();
        // It rings no more once it is not among them, so that the next one begins anew.
        if let Some(waiting) = alarms.get_mut(&id) {
            waiting.retain(|mail| !Arc::ptr_eq(mail, &self.mail));
            if waiting.is_empty() {
                alarms.remove(&id);
                self.names.kernel.remove(id);
            }
        }
        self.mail.rung.store(false, Relaxed);
    }
}

// === impl Mail ===

impl Mail {
    /// Takes a file in; false if there are too many.
    fn put(&self, named: Named) -> bool {
        let mut files = self.files();
        if files.len() >= WAITING {
            return false;
        }
        files.push_back(named);
        drop(files);
        self.came.notify_one();
        true
    }

    fn files(&self) -> MutexGuard<'_, VecDeque<Named>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// They may look.
fn ring(waiting: &[Arc<Mail>]) {
    for mail in waiting {
        mail.rung.store(true, Relaxed);
        mail.came.notify_one();
    }
}

impl Shared {
    /// Once: the kernel tells no more of this file.
    fn ring(&self, id: Id) {
        let mut alarms = self.alarms();
        if let Some(waiting) = alarms.remove(&id) {
            ring(&waiting);
        }
    }

    fn alarms(&self) -> MutexGuard<'_, HashMap<Id, Vec<Arc<Mail>>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<Id, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end_alarm();
        let mut folders = self.names.folders();
        for (id, name) in &self.places {
            let Some(folder) = folders.get_mut(id) else { continue };
            if let Some(waiting) = folder.files.get_mut(name) {
                waiting.retain(|mail| !Arc::ptr_eq(mail, &self.mail));
                if waiting.is_empty() {
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
        let watched = names.watch(&path);
        let running = names.clone();
        drop(base_sys::task::spawn("names", async move { running.run().await }));
        for number in 0..5 {
            std::fs::write(&path, number.to_string()).expect("a file");
            let News::File(named) = watched.news().await else { panic!("no alarm was set") };
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
            let mut watches = [names.watch(&path), names.watch(&path), names.watch(&path)];
            let handle = Handle::open(&path).expect("it is there");
            for watched in &mut watches {
                watched.set_alarm(&handle);
                if !watched.is_alarmed() {
                    eprintln!("skipped: the kernel does not tell of files in {}", path.display());
                    return;
                }
            }
            watches[1].end_alarm();
            happens();
            for watched in [&watches[0], &watches[2]] {
                while !matches!(watched.news().await, News::Alarm) {}
            }
            assert!(!watches[1].mail.rung.load(Relaxed), "nobody waits for it");
            drop(watches);
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
