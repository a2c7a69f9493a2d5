//! The cgroups of a machine: where their controllers are mounted, which there are, and what is in the folders of one.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::host::{Reader, Roots};
use super::kinds::{Kind, Kinds};

/// Nobody has more; what comes after is not looked at, and said.
const MAX_CGROUPS: usize = 20_000;
const MAX_DEPTH: usize = 32;

/// How cgroups are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// A tree for each controller, by its name.
    V1(BTreeMap<String, PathBuf>),
    /// One tree.
    V2(PathBuf),
}

/// A cgroup that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Another one of the same name has another.
    pub inode: u64,
    /// When its folders were made, in seconds since 1970: the earliest.
    pub created: i64,
}

/// What there is, by name: `/`, `/docker/…`.
pub(super) type Cgroups = BTreeMap<String, Found>;

/// The folders of one cgroup.
pub(super) struct Folders<'a> {
    hierarchy: &'a Hierarchy,
    name: &'a str,
}

// === impl Hierarchy ===

impl Hierarchy {
    /// Looks at what is mounted. Of v1, only controllers of which `kinds` wants something.
    pub fn find(roots: &Roots, kinds: Kinds, reader: &mut Reader) -> Result<Hierarchy, String> {
        let trouble = |why: &str| format!("no cgroups at {}: {why}", roots.cgroups.display());
        let mounts =
            reader.text(&roots.proc, "self/mountinfo").ok_or_else(|| trouble("the list of mounts is not readable"))?;
        let mut controllers = BTreeMap::new();
        for mount in mounts.lines().filter_map(Mount::parse) {
            if mount.kind == "cgroup2" && Path::new(&mount.point) == roots.cgroups {
                return Ok(Hierarchy::V2(roots.cgroups.clone()));
            }
            if mount.kind == "cgroup" {
                for name in mount.options.split(',').filter(|name| is_wanted(name, kinds)) {
                    controllers.entry(name.to_owned()).or_insert_with(|| PathBuf::from(&mount.point));
                }
            }
        }
        if controllers.is_empty() { Err(trouble("none is mounted")) } else { Ok(Hierarchy::V1(controllers)) }
    }

    /// Every cgroup.
    pub fn list(&self) -> Result<Cgroups, String> {
        let mut found = Cgroups::new();
        let mut done: Vec<&Path> = Vec::new();
        let (roots, mark): (Vec<&PathBuf>, _) = match self {
            Hierarchy::V1(controllers) => (controllers.values().collect(), "cgroup.clone_children"),
            Hierarchy::V2(root) => (vec![root], "cgroup.events"),
        };
        for root in roots {
            // Controllers that share a tree share its folders.
            if !done.contains(&root.as_path()) {
                done.push(root);
                walk(root, mark, &mut found).map_err(|error| format!("cannot list {}: {error}", root.display()))?;
            }
        }
        Ok(found)
    }

    /// The folders of one.
    pub fn folders<'a>(&'a self, name: &'a str) -> Folders<'a> {
        Folders { hierarchy: self, name }
    }
}

fn is_wanted(controller: &str, kinds: Kinds) -> bool {
    match controller {
        "cpu" | "cpuacct" => kinds.has(Kind::Cpu),
        "memory" => kinds.has(Kind::Memory),
        "hugetlb" => kinds.has(Kind::HugePages),
        "pids" => kinds.has(Kind::Process),
        "cpuset" => kinds.has(Kind::CpuSet),
        "blkio" => kinds.has(Kind::DiskIo),
        "perf_event" => kinds.has(Kind::PerfEvent),
        "devices" => true,
        _ => false,
    }
}

fn walk(root: &Path, mark: &str, found: &mut Cgroups) -> io::Result<()> {
    let mut ahead = vec![(root.to_path_buf(), String::from("/"), 0)];
    while let Some((folder, name, depth)) = ahead.pop() {
        let metadata = match std::fs::metadata(&folder) {
            Ok(metadata) => metadata,
            Err(error) if depth == 0 => return Err(error),
            // It has ended.
            Err(_) => continue,
        };
        // The folder's time changes when a cgroup is made in it, that of this file hardly ever does.
        let marked = std::fs::metadata(folder.join(mark)).map_or(i64::MAX, |metadata| metadata.mtime());
        let created = metadata.mtime().min(marked);
        if found.len() >= MAX_CGROUPS && !found.contains_key(&name) {
            tracing::warn!(MAX_CGROUPS, "there are too many cgroups; the rest is left out");
            return Ok(());
        }
        let known = found.entry(name.clone()).or_insert(Found { inode: metadata.ino(), created });
        known.created = known.created.min(created);
        // A folder without folders in it has two links: its name and its own dot.
        if metadata.nlink() == 2 || depth == MAX_DEPTH {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if let Some(base) = entry.file_name().to_str() {
                let parent = name.trim_end_matches('/');
                ahead.push((entry.path(), format!("{parent}/{base}"), depth + 1));
            }
        }
    }
    Ok(())
}

// === impl Folders ===

impl Folders<'_> {
    /// Its folder in the tree of a controller, if that is there and of use.
    pub fn of(&self, controller: &str) -> Option<PathBuf> {
        let root = match self.hierarchy {
            Hierarchy::V1(controllers) => controllers.get(controller)?,
            Hierarchy::V2(root) => root,
        };
        Some(root.join(self.name.trim_start_matches('/')))
    }

    /// Whether it is the one that all others are in.
    pub fn is_root(&self) -> bool {
        self.name == "/"
    }

    /// Whether it is of one tree.
    pub fn is_v2(&self) -> bool {
        matches!(self.hierarchy, Hierarchy::V2(_))
    }

    /// The processes in it and below it.
    pub fn all_processes(&self, reader: &mut Reader) -> Vec<u32> {
        let mut processes = Vec::new();
        let mut ahead: Vec<(PathBuf, usize)> = self.of("devices").map(|folder| (folder, 0)).into_iter().collect();
        while let Some((folder, depth)) = ahead.pop() {
            processes.extend(processes_of(reader, &folder));
            if depth < MAX_DEPTH
                && std::fs::metadata(&folder).is_ok_and(|metadata| metadata.nlink() != 2)
                && let Ok(entries) = std::fs::read_dir(&folder)
            {
                let inner = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                ahead.extend(inner.map(|entry| (entry.path(), depth + 1)));
            }
        }
        processes
    }
}

/// The processes in a cgroup itself.
pub(super) fn processes_of(reader: &mut Reader, folder: &Path) -> Vec<u32> {
    let text = reader.text(folder, "cgroup.procs").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

// === impl Mount ===

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub point: String,
    pub major: u64,
    pub minor: u64,
    pub kind: String,
    pub source: String,
    /// Of the file system, not of the mount.
    pub options: String,
}

impl Mount {
    pub fn parse(line: &str) -> Option<Mount> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (major, minor) = mount.next()?.split_once(':')?;
        let mut system = system.split(' ');
        Some(Mount {
            point: unescaped(mount.nth(1)?),
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            kind: system.next()?.to_owned(),
            source: unescaped(system.next()?),
            options: system.next().unwrap_or_default().to_owned(),
        })
    }
}

/// The kernel writes blanks and backslashes in paths as three octal digits.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_and_without_shared_marks() {
        let line = r"42 27 254:0 /a /mnt/with\040blank rw,relatime shared:1 - ext4 /dev/vda rw,discard";
        let expected = Mount {
            point: "/mnt/with blank".into(),
            major: 254,
            minor: 0,
            kind: "ext4".into(),
            source: "/dev/vda".into(),
            options: "rw,discard".into(),
        };
        assert_eq!(Mount::parse(line), Some(expected));
        assert_eq!(Mount::parse("22 27 0:21 / /proc rw - proc proc rw").map(|mount| mount.point), Some("/proc".into()));
        assert_eq!(Mount::parse("nothing like it"), None);
        assert_eq!(unescaped(r"a\b\1340\"), r"a\b\0\");
    }
}
