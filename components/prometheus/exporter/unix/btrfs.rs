//! `/sys/fs/btrfs`: how full file systems of btrfs are, by kind of data, and their devices.

use std::path::{Path, PathBuf};

use base_devices::btrfs::{Device, FileSystem};
use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filesystem::Mounts;
use super::listing::entries;

pub(crate) struct Btrfs {
    root: PathBuf,
    /// Where file systems are mounted, whose devices are asked for errors.
    mounts: Mounts,
}

const SECTOR: u64 = 512;

/// In the order of [`Device::errors`].
const ERRORS: [&str; 5] = ["write", "read", "flush", "corruption", "generation"];

impl Btrfs {
    pub fn new(paths: &Paths) -> Btrfs {
        Btrfs { root: paths.sysfs.join("fs/btrfs"), mounts: Mounts::new(paths) }
    }

    /// What the mounted ones say. Who may not ask them, or sees none, has less to tell.
    fn mounted(&mut self, scratch: &mut Scratch) -> Vec<FileSystem> {
        let mut found: Vec<FileSystem> = Vec::new();
        let mut devices: Vec<String> = Vec::new();
        for (device, path) in self.mounts.of_type(scratch, "btrfs").unwrap_or_default() {
            if devices.contains(&device) {
                continue;
            }
            if let Ok(system) = FileSystem::at(&path) {
                if !found.iter().any(|other| other.id == system.id) {
                    found.push(system);
                }
                devices.push(device);
            }
        }
        found
    }
}

impl Collector for Btrfs {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let folders: Vec<(String, PathBuf)> =
            entries(&self.root).unwrap_or_default().into_iter().filter(|(name, _)| name.contains('-')).collect();
        if folders.is_empty() {
            return Ok(());
        }
        let mounted = self.mounted(scratch);
        for (name, folder) in folders {
            let uuid = text(&folder.join("metadata_uuid"))?;
            let uuid = if uuid.is_empty() { name } else { uuid };
            let label = text(&folder.join("label"))?;
            let devices = entries(&folder.join("devices"))?;
            page.family("node_btrfs_info", "Filesystem information", Kind::Gauge)
                .sample(&[("label", &label), ("uuid", &uuid)], 1.0);
            page.family("node_btrfs_global_rsv_size_bytes", "Size of global reserve.", Kind::Gauge)
                .sample(&[("uuid", &uuid)], number(&folder.join("allocation/global_rsv_size"))? as f64);
            for kind in ["data", "metadata", "system"] {
                allocation(&folder.join("allocation").join(kind), kind, &uuid, devices.len() as f64, page)?;
            }
            let id = uuid.replace('-', "");
            match mounted.iter().find(|system| system.id == id) {
                Some(system) => system.devices.iter().for_each(|device| of_device(device, &uuid, page)),
                None => {
                    for (device, path) in devices {
                        let bytes = number(&path.join("size"))? * SECTOR;
                        let help = "Size of a device that is part of the filesystem.";
                        page.family("node_btrfs_device_size_bytes", help, Kind::Gauge)
                            .sample(&[("device", &device), ("uuid", &uuid)], bytes as f64);
                    }
                }
            }
        }
        Ok(())
    }
}

fn allocation(folder: &Path, kind: &str, uuid: &str, devices: f64, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
    let reserved = number(&folder.join("bytes_reserved"))?;
    page.family("node_btrfs_reserved_bytes", "Amount of space reserved for a data type", Kind::Gauge)
        .sample(&[("block_group_type", kind), ("uuid", uuid)], reserved as f64);
    for (mode, folder) in entries(folder)?.into_iter().filter(|(_, path)| path.is_dir()) {
        let labels = [("block_group_type", kind), ("mode", mode.as_str()), ("uuid", uuid)];
        for (name, help, value) in [
            (
                "node_btrfs_used_bytes",
                "Amount of used space by a layout/data type",
                number(&folder.join("used_bytes"))? as f64,
            ),
            (
                "node_btrfs_size_bytes",
                "Amount of space allocated for a layout/data type",
                number(&folder.join("total_bytes"))? as f64,
            ),
            ("node_btrfs_allocation_ratio", "Data allocation ratio for a layout/data type", ratio(&mode, devices)),
        ] {
            page.family(name, help, Kind::Gauge).sample(&labels, value);
        }
    }
    Ok(())
}

/// How many bytes of disks a byte of data takes.
fn ratio(mode: &str, devices: f64) -> f64 {
    match mode {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => devices / (devices - 1.0),
        "raid6" => devices / (devices - 2.0),
        _ => 0.0,
    }
}

fn of_device(device: &Device, uuid: &str, page: &mut FamilyWriter<'_>) {
    let name = device.path.rsplit('/').next().unwrap_or_default();
    let labels = [("btrfs_dev_uuid", device.id.as_str()), ("device", name), ("uuid", uuid)];
    let help = "Size of a device that is part of the filesystem.";
    page.family("node_btrfs_device_size_bytes", help, Kind::Gauge).sample(&labels, device.size as f64);
    let help = "Unused bytes unused on a device that is part of the filesystem.";
    let unused = device.size.wrapping_sub(device.used);
    page.family("node_btrfs_device_unused_bytes", help, Kind::Gauge).sample(&labels, unused as f64);
    let mut family = page.family("node_btrfs_device_errors_total", "Errors reported for the device", Kind::Counter);
    for (kind, count) in ERRORS.iter().zip(device.errors) {
        let [id, name, uuid] = labels;
        family.sample(&[id, name, ("type", kind), uuid], count as f64);
    }
}

/// A file that is not there is empty.
fn text(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::reading(path, &error)),
    }
}

/// What is no number is zero, as node_exporter has it.
fn number(path: &Path) -> Result<u64, Failure> {
    Ok(text(path)?.parse().unwrap_or_default())
}
