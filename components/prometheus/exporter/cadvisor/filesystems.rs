//! The file systems that containers are on: how large they are, what was done on their disks, and what disks are called.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hierarchy::Mount;
use super::host::{Reader, Roots};
use super::measured::{FilesystemUsage, Io};
use crate::statfs::{Measured, Statfs};

/// For a file system whose server is gone.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What `/proc/diskstats` counts of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DiskStats {
    pub reads: u64,
    pub reads_merged: u64,
    pub sectors_read: u64,
    /// In milliseconds.
    pub read_time: u64,
    pub writes: u64,
    pub writes_merged: u64,
    pub sectors_written: u64,
    /// In milliseconds.
    pub write_time: u64,
    pub in_progress: u64,
    /// In milliseconds.
    pub busy_time: u64,
    /// In milliseconds.
    pub weighted_time: u64,
}

/// What is mounted here.
pub(super) struct Filesystems {
    statfs: Statfs,
    /// By device; a file system in memory goes by where it is mounted.
    partitions: BTreeMap<String, Partition>,
    /// By where they are mounted.
    mounts: BTreeMap<PathBuf, Mount>,
    /// Names of whole disks in `/sys/block`, by their numbers.
    disks: BTreeMap<(u64, u64), String>,
    stats: BTreeMap<(u64, u64), DiskStats>,
}

/// Where a container engine keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageStore {
    pub root: PathBuf,
    /// Folders in it that may have file systems of their own.
    pub below: Vec<String>,
}

struct Partition {
    point: PathBuf,
    major: u64,
    minor: u64,
    /// None if it does not answer.
    measured: Option<Measured>,
}

impl Filesystems {
    pub fn new() -> Filesystems {
        Filesystems {
            statfs: Statfs::new(TIMEOUT),
            partitions: BTreeMap::new(),
            mounts: BTreeMap::new(),
            disks: BTreeMap::new(),
            stats: BTreeMap::new(),
        }
    }

    /// Looks at what is there now. `images` is where container engines keep their files.
    pub fn refresh(&mut self, reader: &mut Reader, roots: &Roots, images: &[ImageStore]) {
        let text = reader.text(&roots.proc, "self/mountinfo").unwrap_or_default();
        let mounts: Vec<Mount> = text.lines().filter_map(Mount::parse).collect();
        self.partitions = partitions(&mounts, images);
        self.mounts = mounts.into_iter().map(|mount| (PathBuf::from(&mount.point), mount)).collect();
        let points = self.partitions.values().map(|partition| partition.point.clone()).collect();
        for (partition, measured) in self.partitions.values_mut().zip(self.statfs.measure(points)) {
            partition.measured = measured;
        }
        let stats = reader.text(&roots.proc, "diskstats").unwrap_or_default();
        self.stats = stats.lines().filter_map(disk_stats).collect();
        self.disks = disks(reader, roots);
    }

    /// All of them, as the root container has them.
    pub fn all(&self) -> Vec<FilesystemUsage> {
        let measured =
            self.partitions.iter().filter_map(|(device, partition)| Some((device, partition, partition.measured?)));
        measured
            .map(|(device, partition, measured)| FilesystemUsage {
                device: device.clone(),
                limit: measured.size,
                usage: Some(measured.size - measured.free),
                inodes: Some(measured.files),
                inodes_free: measured.files_free,
                disk: self.stats.get(&(partition.major, partition.minor)).copied().unwrap_or_default(),
            })
            .collect()
    }

    /// The one that a folder is on, with nothing said about its usage.
    pub fn of(&self, folder: &Path) -> Option<FilesystemUsage> {
        let device = std::fs::metadata(folder).ok()?.dev();
        let numbers = (u64::from(libc::major(device)), u64::from(libc::minor(device)));
        let of_numbers = || self.partitions.iter().find(|(_, partition)| (partition.major, partition.minor) == numbers);
        let (device, partition) = of_numbers().or_else(|| {
            // Subvolumes have numbers of their own, which are not those of the mount.
            let mount = folder.ancestors().find_map(|folder| self.mounts.get(folder))?;
            self.partitions.get_key_value(&mount.source)
        })?;
        Some(FilesystemUsage {
            device: device.clone(),
            limit: partition.measured?.size,
            usage: None,
            inodes: None,
            inodes_free: 0.0,
            disk: self.stats.get(&(partition.major, partition.minor)).copied().unwrap_or_default(),
        })
    }

    /// Names the disks in these tables.
    pub fn name_disks(&self, io: &mut Io, root: bool) {
        let tables =
            [&mut io.bytes, &mut io.operations, &mut io.queued, &mut io.sectors, &mut io.service_time, &mut io.merged];
        for disk in tables.into_iter().flatten() {
            disk.name = self.name(disk.major, disk.minor, root).unwrap_or_default();
        }
    }

    /// Of the root container, the name of a file system goes before that of a disk.
    fn name(&self, major: u64, minor: u64, root: bool) -> Option<String> {
        let filesystem = || {
            let mut all = self.partitions.iter();
            all.find(|(_, partition)| (partition.major, partition.minor) == (major, minor))
                .map(|(device, _)| device.clone())
        };
        let disk = || self.disks.get(&(major, minor)).map(|name| format!("/dev/{name}"));
        if root { filesystem().or_else(disk) } else { disk().or_else(filesystem) }
    }
}

/// The mounts that are storage, each device once.
fn partitions(mounts: &[Mount], images: &[ImageStore]) -> BTreeMap<String, Partition> {
    let mut partitions = BTreeMap::new();
    let of = |mount: &Mount| Partition {
        point: PathBuf::from(&mount.point),
        major: mount.major,
        minor: mount.minor,
        measured: None,
    };
    for mount in mounts {
        let kind = mount.kind.as_str();
        let is_storage = kind.starts_with("ext")
            || kind.starts_with("nfs")
            || ["btrfs", "overlay", "tmpfs", "xfs", "zfs"].contains(&kind);
        let device = match kind {
            _ if !is_storage => continue,
            "tmpfs" => mount.point.clone(),
            // A second mount of a device is a part of the first.
            _ if partitions.contains_key(&mount.source) => continue,
            "overlay" => format!("{}_{}-{}", mount.source, mount.major, mount.minor),
            _ => mount.source.clone(),
        };
        let mut partition = of(mount);
        if kind == "btrfs"
            && mount.major == 0
            && let Ok(metadata) = std::fs::metadata(&mount.point)
        {
            partition.major = u64::from(libc::major(metadata.dev()));
            partition.minor = u64::from(libc::minor(metadata.dev()));
        }
        partitions.insert(device, partition);
    }
    // Where images are, and the root, are storage whatever their kind.
    let holding = |store: &ImageStore| {
        let holds = |mount: &&Mount| {
            let point = Path::new(&mount.point);
            store.root.starts_with(point) || store.below.iter().any(|folder| store.root.join(folder) == point)
        };
        mounts.iter().filter(holds).max_by_key(|mount| mount.point.len())
    };
    for mount in images.iter().filter_map(holding).chain(mounts.iter().find(|mount| mount.point == "/")) {
        partitions.insert(mount.source.clone(), of(mount));
    }
    partitions
}

/// `8 0 sda` and eleven numbers or more.
fn disk_stats(line: &str) -> Option<((u64, u64), DiskStats)> {
    let mut words = line.split_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let counts: Vec<u64> = words.skip(1).map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let &[
        reads,
        reads_merged,
        sectors_read,
        read_time,
        writes,
        writes_merged,
        sectors_written,
        write_time,
        in_progress,
        busy_time,
        weighted_time,
        ..,
    ] = &counts[..]
    else {
        return None;
    };
    let stats = DiskStats {
        reads,
        reads_merged,
        sectors_read,
        read_time,
        writes,
        writes_merged,
        sectors_written,
        write_time,
        in_progress,
        busy_time,
        weighted_time,
    };
    Some((numbers, stats))
}

fn disks(reader: &mut Reader, roots: &Roots) -> BTreeMap<(u64, u64), String> {
    let folder = roots.sys.join("block");
    let mut disks = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if ["loop", "ram", "sr"].iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let numbers = reader.text(&folder, &format!("{name}/dev")).and_then(|text| {
            let (major, minor) = text.trim().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        if let Some(numbers) = numbers {
            disks.insert(numbers, name);
        }
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(lines: &[&str], images: Option<&str>) -> Vec<String> {
        let mounts: Vec<Mount> = lines.iter().filter_map(|line| Mount::parse(line)).collect();
        let images = images.map(|root| ImageStore { root: root.into(), below: vec!["overlay-images".into()] });
        partitions(&mounts, images.as_slice())
            .iter()
            .map(|(name, at)| format!("{name} {}", at.point.display()))
            .collect()
    }

    #[test]
    fn each_device_is_there_once_and_memory_by_where_it_is_mounted() {
        let lines = [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            "2 0 8:1 /a /bound rw - ext4 /dev/sda1 rw",
            "3 0 0:5 / /proc rw - proc proc rw",
            "4 0 0:6 / /run rw - tmpfs tmpfs rw",
            "5 0 0:7 / /tmp rw - tmpfs tmpfs rw",
            "6 0 0:50 / /merged rw - overlay overlay rw",
        ];
        let expected = ["/dev/sda1 /", "/run /run", "/tmp /tmp", "overlay_0-50 /merged"];
        assert_eq!(devices(&lines, None), expected);
        assert_eq!(devices(&lines, Some("/var/lib/docker")), expected);
    }

    #[test]
    fn where_images_are_is_storage_and_so_is_the_root() {
        let lines = [
            "1 0 0:50 / / rw - overlay overlay rw",
            "2 0 8:17 / /var/lib/docker rw - fancyfs /dev/sdb1 rw",
            "3 0 8:17 / /var rw - fancyfs /dev/sdb2 rw",
        ];
        assert_eq!(
            devices(&lines, Some("/var/lib/docker")),
            ["/dev/sdb1 /var/lib/docker", "overlay /", "overlay_0-50 /"]
        );
    }

    #[test]
    fn disks_are_counted_with_any_number_of_columns() {
        let stats = disk_stats(" 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13").expect("a disk");
        assert_eq!(stats.0, (259, 0));
        assert_eq!((stats.1.reads, stats.1.write_time, stats.1.weighted_time), (1, 8, 11));
        assert_eq!(disk_stats("8 0 sda 1 2 3"), None);
    }
}
