//! `/sys/class/net`: the properties of network devices.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::Pattern;

pub(crate) struct Netclass {
    root: PathBuf,
    settings: NetclassSettings,
}

/// What the `netclass` block sets.
#[derive(Debug)]
pub(crate) struct NetclassSettings {
    pub ignored_devices: Pattern,
    /// Whether to leave out what a device says that does not know its speed: -1.
    pub ignore_invalid_speed: bool,
}

/// The attribute's file, the family, whether it counts.
const ATTRIBUTES: [(&str, &str, Kind); 17] = [
    ("addr_assign_type", "address_assign_type", Kind::Gauge),
    ("carrier", "carrier", Kind::Gauge),
    ("carrier_changes", "carrier_changes_total", Kind::Counter),
    ("carrier_down_count", "carrier_down_changes_total", Kind::Counter),
    ("carrier_up_count", "carrier_up_changes_total", Kind::Counter),
    ("dev_id", "device_id", Kind::Gauge),
    ("dormant", "dormant", Kind::Gauge),
    (FLAGS, "flags", Kind::Gauge),
    ("ifindex", "iface_id", Kind::Gauge),
    ("iflink", "iface_link", Kind::Gauge),
    ("link_mode", "iface_link_mode", Kind::Gauge),
    ("mtu", "mtu_bytes", Kind::Gauge),
    ("name_assign_type", "name_assign_type", Kind::Gauge),
    ("netdev_group", "net_dev_group", Kind::Gauge),
    ("type", "protocol_type", Kind::Gauge),
    (SPEED, "speed_bytes", Kind::Gauge),
    ("tx_queue_len", "transmit_queue_length", Kind::Gauge),
];
const FLAGS: &str = "flags";
const SPEED: &str = "speed";
/// The lowest flag: the device is up.
const IFF_UP: i64 = 1;

struct Device {
    name: String,
    operstate: String,
    address: String,
    broadcast: String,
    duplex: String,
    ifalias: String,
    values: [Option<i64>; ATTRIBUTES.len()],
}

impl Netclass {
    pub fn new(paths: &Paths, settings: NetclassSettings) -> Netclass {
        Netclass { root: paths.sysfs.join("class/net"), settings }
    }

    fn devices(&self) -> Result<Vec<Device>, Failure> {
        let entries = std::fs::read_dir(&self.root).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NoData,
            _ => Failure::absent_or(&self.root, &error),
        })?;
        let mut devices = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // `bonding_masters` is a file among the directories.
            if self.settings.ignored_devices.is_match(&name) || !entry.path().is_dir() {
                continue;
            }
            devices.push(Device::read(name, &entry.path()));
        }
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(devices)
    }
}

impl Device {
    /// What cannot be read is left out: a device that is down has neither carrier nor speed.
    fn read(name: String, dir: &Path) -> Device {
        let text = |attribute: &str| {
            std::fs::read_to_string(dir.join(attribute)).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        let values = ATTRIBUTES.map(|(attribute, ..)| {
            let text = text(attribute);
            match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            }
        });
        Device {
            operstate: text("operstate"),
            address: text("address"),
            broadcast: text("broadcast"),
            duplex: text("duplex"),
            ifalias: text("ifalias"),
            name,
            values,
        }
    }

    fn adminstate(&self) -> &'static str {
        let flags = ATTRIBUTES.iter().position(|(attribute, ..)| *attribute == FLAGS).and_then(|at| self.values[at]);
        match flags {
            None => "unknown",
            Some(flags) if flags & IFF_UP != 0 => "up",
            Some(_) => "down",
        }
    }
}

impl Collector for Netclass {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let devices = self.devices()?;
        let mut up = page.family("node_network_up", "Value is 1 if operstate is 'up', 0 otherwise.", Kind::Gauge);
        for device in &devices {
            up.sample(&[("device", &device.name)], f64::from(u8::from(device.operstate == "up")));
        }
        let mut info = page.family(
            "node_network_info",
            "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
            Kind::Gauge,
        );
        for device in &devices {
            info.sample(
                &[
                    ("address", &device.address),
                    ("adminstate", device.adminstate()),
                    ("broadcast", &device.broadcast),
                    ("device", &device.name),
                    ("duplex", &device.duplex),
                    ("ifalias", &device.ifalias),
                    ("operstate", &device.operstate),
                ],
                1.0,
            );
        }
        for (at, (attribute, key, kind)) in ATTRIBUTES.into_iter().enumerate() {
            let name = format!("node_network_{key}");
            let mut family = page.family(&name, &format!("Network device property: {key}"), kind);
            for device in &devices {
                let Some(mut value) = device.values[at] else { continue };
                if attribute == SPEED {
                    if value < 0 && self.settings.ignore_invalid_speed {
                        continue;
                    }
                    value = value * 1_000_000 / 8; // from Mbit/s
                }
                family.sample(&[("device", &device.name)], value as f64);
            }
        }
        Ok(())
    }
}
