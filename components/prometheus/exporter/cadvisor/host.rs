//! Where the host's files are, and how the small ones among them are read: with one buffer for all.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// No file of the kernel that is read here is larger; of one that is, the beginning must do.
const MAX_FILE: u64 = 16 << 20;

/// Where the host's files are. In a container that has the host's root at `/rootfs`, what tells of processes and of storage
/// is below it.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    /// `/proc`, for what tells of the machine.
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// Where the cgroups are mounted.
    pub cgroups: PathBuf,
    /// `/` or `/rootfs`
    pub host: PathBuf,
}

impl Roots {
    /// Of the machine that this runs on.
    pub fn here() -> Roots {
        let mounted = Path::new("/rootfs/proc").exists();
        Roots {
            proc: "/proc".into(),
            sys: "/sys".into(),
            cgroups: "/sys/fs/cgroup".into(),
            host: if mounted { "/rootfs" } else { "/" }.into(),
        }
    }

    /// A path of the host as it is for us.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        self.host.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What tells of a process.
    pub fn process(&self, pid: u32) -> PathBuf {
        if self.host == Path::new("/") {
            self.proc.join(pid.to_string())
        } else {
            self.host.join("proc").join(pid.to_string())
        }
    }
}

/// Reads files, one at a time.
#[derive(Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    path: PathBuf,
    /// The first file since the last [`Reader::take_trouble`] that is there and cannot be read.
    trouble: Option<String>,
}

impl Reader {
    /// What the file at a path says, as [`Reader::text`].
    pub fn whole(&mut self, path: &Path) -> Option<&str> {
        self.text(path, "")
    }

    /// What a file in a folder says; none if there is no such file, or if it cannot be read, which is trouble.
    pub fn text(&mut self, folder: &Path, file: &str) -> Option<&str> {
        self.path.clear();
        self.path.push(folder);
        if !file.is_empty() {
            self.path.push(file);
        }
        self.buffer.clear();
        let read = File::open(&self.path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut self.buffer));
        if let Err(error) = read {
            if !is_absence(&error) && self.trouble.is_none() {
                self.trouble = Some(format!("cannot read {}: {error}", self.path.display()));
            }
            return None;
        }
        std::str::from_utf8(&self.buffer).ok()
    }

    /// The number that a file holds; `max` is the largest there is.
    pub fn number(&mut self, folder: &Path, file: &str) -> Option<u64> {
        match self.text(folder, file)?.trim() {
            "max" => Some(u64::MAX),
            text => text.parse().ok(),
        }
    }

    /// What could not be read since the last time.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }
}

/// Whether this says that there is nothing to read: a file that this kernel does not have, a cgroup or a process that has
/// ended, pressure that is not measured.
fn is_absence(error: &io::Error) -> bool {
    let absent = [Errno::ENOENT, Errno::ENOTDIR, Errno::ENODEV, Errno::ESRCH, Errno::EOPNOTSUPP, Errno::EINVAL];
    error.raw_os_error().is_some_and(|code| absent.contains(&Errno::from_raw(code)))
}

/// The lines of a file that hold a name and a number.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// `Name:   5 kB` of a file as `/proc/meminfo`, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}
