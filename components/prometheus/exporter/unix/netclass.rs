//! `/sys/class/net`: the properties of network devices.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};
use super::filter::Pattern;

pub(crate) struct Netclass {
    root: PathBuf,
    settings: NetclassSettings,
    /// Sorted by name.
    devices: Vec<Device>,
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

/// Files of texts, in the order of [`Shown::texts`].
const TEXTS: [&str; 5] = ["operstate", "address", "broadcast", "duplex", "ifalias"];

/// So many devices' files are kept open; with more, they are opened for each look.
const MAX_KEPT_OPEN: usize = 8;

/// A device's files.
struct Device {
    name: String,
    texts: [Source; TEXTS.len()],
    numbers: [Source; ATTRIBUTES.len()],
}

/// What a device's files say now.
struct Shown {
    texts: [String; TEXTS.len()],
    values: [Option<i64>; ATTRIBUTES.len()],
}

impl Netclass {
    pub fn new(paths: &Paths, settings: NetclassSettings) -> Netclass {
        Netclass { root: paths.sysfs.join("class/net"), settings, devices: Vec::new() }
    }

    /// Takes new devices in and lets those go that are gone.
    fn look_for_devices(&mut self) -> Result<(), Failure> {
        let entries = std::fs::read_dir(&self.root).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NoData,
            _ => Failure::absent_or(&self.root, &error),
        })?;
        let mut names: Vec<String> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // `bonding_masters` is a file; the devices are links to directories, or directories.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if !is_file && !self.settings.ignored_devices.is_match(&name) {
                names.push(name);
            }
        }
        self.devices.retain(|device| names.contains(&device.name));
        for name in names {
            if !self.devices.iter().any(|device| device.name == name) {
                self.devices.push(Device::new(name, &self.root));
            }
        }
        self.devices.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }
}

impl Device {
    fn new(name: String, root: &Path) -> Device {
        let file = |attribute: &str| Source::single(root.join(&name).join(attribute));
        let texts = TEXTS.map(file);
        let numbers = ATTRIBUTES.map(|(attribute, ..)| file(attribute));
        Device { name, texts, numbers }
    }

    /// What cannot be read is left out: a device that is down has neither carrier nor speed.
    fn read(&mut self, scratch: &mut Scratch, keep_open: bool) -> Shown {
        let mut text = |source: &mut Source| {
            let text = source.read(scratch).map(|text| text.trim().to_owned()).unwrap_or_default();
            if !keep_open {
                source.close();
            }
            text
        };
        let texts = self.texts.each_mut().map(&mut text);
        let values = self.numbers.each_mut().map(|source| {
            let text = text(source);
            match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            }
        });
        Shown { texts, values }
    }
}

impl Shown {
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
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        self.look_for_devices()?;
        let keep_open = self.devices.len() <= MAX_KEPT_OPEN;
        let shown: Vec<(&str, Shown)> = self
            .devices
            .iter_mut()
            .map(|device| {
                let shown = device.read(scratch, keep_open);
                (device.name.as_str(), shown)
            })
            .collect();
        let mut up = page.family("node_network_up", "Value is 1 if operstate is 'up', 0 otherwise.", Kind::Gauge);
        for (device, Shown { texts: [operstate, ..], .. }) in &shown {
            up.sample(&[("device", device)], f64::from(u8::from(operstate == "up")));
        }
        let mut info = page.family(
            "node_network_info",
            "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
            Kind::Gauge,
        );
        for (device, shown) in &shown {
            let [operstate, address, broadcast, duplex, ifalias] = &shown.texts;
            info.sample(
                &[
                    ("address", address),
                    ("adminstate", shown.adminstate()),
                    ("broadcast", broadcast),
                    ("device", device),
                    ("duplex", duplex),
                    ("ifalias", ifalias),
                    ("operstate", operstate),
                ],
                1.0,
            );
        }
        for (at, (attribute, key, kind)) in ATTRIBUTES.into_iter().enumerate() {
            let name = format!("node_network_{key}");
            let mut family = page.family(&name, &format!("Network device property: {key}"), kind);
            for (device, shown) in &shown {
                let Some(mut value) = shown.values[at] else { continue };
                if attribute == SPEED {
                    if value < 0 && self.settings.ignore_invalid_speed {
                        continue;
                    }
                    value = value * 1_000_000 / 8; // from Mbit/s
                }
                family.sample(&[("device", device)], value as f64);
            }
        }
        Ok(())
    }
}
