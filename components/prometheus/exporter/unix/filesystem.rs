//! How full the mounted file systems are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};
use super::filter::Pattern;
use crate::statfs::{Measured, Statfs};

pub(crate) struct Filesystem {
    mounts: Mounts,
    settings: FilesystemSettings,
    statfs: Statfs,
}

/// The table of what is mounted.
pub(crate) struct Mounts {
    table: Source,
    fallback: Source,
    rootfs: PathBuf,
}

/// What the `filesystem` block sets.
#[derive(Debug)]
pub(crate) struct FilesystemSettings {
    pub mount_points_exclude: Pattern,
    pub fs_types_exclude: Pattern,
    /// A file system that does not answer within it is shown with `node_filesystem_device_error 1`.
    pub mount_timeout: Duration,
}

/// One line of the mount table.
#[derive(Debug, PartialEq)]
struct Mount {
    device: String,
    /// As the host sees it.
    mount_point: String,
    fs_type: String,
    read_only: bool,
}

impl Filesystem {
    pub fn new(paths: &Paths, settings: FilesystemSettings) -> Filesystem {
        Filesystem { mounts: Mounts::new(paths), statfs: Statfs::new(settings.mount_timeout), settings }
    }

    fn mounts(&mut self, scratch: &mut Scratch) -> Result<Vec<Mount>, Failure> {
        let settings = &self.settings;
        self.mounts.list(scratch, |mount| {
            !settings.mount_points_exclude.is_match(&mount.mount_point)
                && !settings.fs_types_exclude.is_match(&mount.fs_type)
        })
    }
}

// === impl Mounts ===

impl Mounts {
    pub fn new(paths: &Paths) -> Mounts {
        Mounts {
            // The table of process 1 is the host's, also from within a container that shares its process names.
            table: Source::records(paths.procfs.join("1/mounts")),
            fallback: Source::records(paths.procfs.join("mounts")),
            rootfs: paths.rootfs.clone(),
        }
    }

    /// Device and path, as we reach it, of what is mounted of this type.
    pub fn of_type(&mut self, scratch: &mut Scratch, fs_type: &str) -> Result<Vec<(String, PathBuf)>, Failure> {
        let mounts = self.list(scratch, |mount| mount.fs_type == fs_type)?;
        Ok(mounts.into_iter().map(|mount| (mount.device.clone(), self.in_our_tree(&mount))).collect())
    }

    fn in_our_tree(&self, mount: &Mount) -> PathBuf {
        self.rootfs.join(mount.mount_point.trim_start_matches('/'))
    }

    fn list(&mut self, scratch: &mut Scratch, wanted: impl Fn(&Mount) -> bool) -> Result<Vec<Mount>, Failure> {
        let absent = matches!(self.table.read(scratch), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
        let source = if absent { &mut self.fallback } else { &mut self.table };
        let text = source.read(scratch);
        let path = source.path();
        let text = text.map_err(|error| Failure::reading(path, &error))?;
        let mut mounts: Vec<Mount> = Vec::new();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(device), Some(mount_point), Some(fs_type), Some(options)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err(Failure::malformed(path, line));
            };
            let mount = Mount {
                device: device.to_owned(),
                mount_point: as_the_host_sees(&unescape(mount_point), &self.rootfs),
                fs_type: fs_type.to_owned(),
                read_only: options.split(',').any(|option| option == "ro"),
            };
            // Mounted twice in the same place is one series.
            let same = |other: &Mount| {
                (&other.device, &other.mount_point, &other.fs_type)
                    == (&mount.device, &mount.mount_point, &mount.fs_type)
            };
            if wanted(&mount) && !mounts.iter().any(same) {
                mounts.push(mount);
            }
        }
        Ok(mounts)
    }
}

impl Collector for Filesystem {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mounts = self.mounts(scratch)?;
        let measured = self.statfs.measure(mounts.iter().map(|mount| self.mounts.in_our_tree(mount)).collect());
        let mut family = |name: &str, help: &str, value: &dyn Fn(&Mount, Option<&Measured>) -> Option<f64>| {
            let mut family = page.family(name, help, Kind::Gauge);
            for (mount, measured) in mounts.iter().zip(&measured) {
                if let Some(value) = value(mount, measured.as_ref()) {
                    let labels =
                        [("device", &*mount.device), ("fstype", &mount.fs_type), ("mountpoint", &mount.mount_point)];
                    family.sample(&labels, value);
                }
            }
        };
        let flag = |yes: bool| Some(f64::from(u8::from(yes)));
        family(
            "node_filesystem_device_error",
            "Whether an error occurred while getting statistics for the given device.",
            &|_, measured| flag(measured.is_none()),
        );
        family("node_filesystem_readonly", "Filesystem read-only status.", &|mount, _| flag(mount.read_only));
        family("node_filesystem_size_bytes", "Filesystem size in bytes.", &|_, measured| Some(measured?.size));
        family("node_filesystem_free_bytes", "Filesystem free space in bytes.", &|_, measured| Some(measured?.free));
        family(
            "node_filesystem_avail_bytes",
            "Filesystem space available to non-root users in bytes.",
            &|_, measured| Some(measured?.available),
        );
        family("node_filesystem_files", "Filesystem total file nodes.", &|_, measured| Some(measured?.files));
        family("node_filesystem_files_free", "Filesystem total free file nodes.", &|_, measured| {
            Some(measured?.files_free)
        });
        Ok(())
    }
}

/// The kernel writes blanks in names as octal numbers.
fn unescape(name: &str) -> String {
    name.replace("\\040", " ").replace("\\011", "\t")
}

/// `/host/root/var` is `/var` when the host's root is mounted at `/host/root`.
fn as_the_host_sees(mount_point: &str, rootfs: &Path) -> String {
    let rootfs = rootfs.to_str().unwrap_or("/");
    if rootfs == "/" {
        return mount_point.to_owned();
    }
    match mount_point.strip_prefix(rootfs) {
        Some("") => "/".to_owned(),
        Some(rest) => rest.to_owned(),
        None => mount_point.to_owned(),
    }
}
