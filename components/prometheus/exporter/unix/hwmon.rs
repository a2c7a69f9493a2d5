//! The host's sensors: temperatures, fans, voltages, currents, power.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::DeviceFilter;
use super::listing::{attribute, numbered_if_any};

pub(crate) struct Hwmon {
    root: PathBuf,
    chips: DeviceFilter,
}

/// Files of other kinds are not sensors'.
const KINDS: [&str; 13] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// One number of a sensor, under the family that shows it.
struct Reading {
    help: String,
    kind: Kind,
    chip: String,
    sensor: String,
    value: f64,
}

/// A sensor's file: `temp1_crit_alarm` is the property `crit_alarm` of the sensor `temp1`, whose kind is `temp`.
struct SensorFile<'a> {
    kind: &'a str,
    sensor: String,
    property: &'a str,
}

impl Hwmon {
    pub fn new(paths: &Paths, chips: DeviceFilter) -> Hwmon {
        Hwmon { root: paths.sysfs.join("class/hwmon"), chips }
    }
}

impl Collector for Hwmon {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut readings: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
        let (mut names, mut labels) = (Vec::new(), Vec::new());
        for (_, folder) in numbered_if_any(&self.root, "hwmon")? {
            let Some(chip) = chip(&folder) else { continue };
            if self.chips.ignores(&chip) {
                continue;
            }
            if let Some(name) = attribute(&folder, "name").map(|name| clean(&name)).filter(|name| !name.is_empty()) {
                names.push((chip.clone(), name));
            }
            for ((kind, sensor), properties) in sensors(&folder) {
                if let Some(label) = properties.get("label") {
                    labels.push((chip.clone(), sensor.clone(), label.clone()));
                }
                for (property, text) in properties.iter().filter(|(property, _)| *property != "label") {
                    let Ok(value) = text.parse::<f64>() else { continue };
                    let (family, help, metric, factor) = shown(&kind, property, properties.contains_key(""));
                    let (chip, sensor) = (chip.clone(), sensor.clone());
                    let reading = Reading { help, kind: metric, chip, sensor, value: scaled(value, factor) };
                    readings.entry(family).or_default().push(reading);
                }
            }
        }
        for (family, readings) in &readings {
            for Reading { help, kind, chip, sensor, value } in readings {
                page.family(family, help, *kind).sample(&[("chip", chip), ("sensor", sensor)], *value);
            }
        }
        let mut family = page.family("node_hwmon_sensor_label", "Label for given chip and sensor", Kind::Gauge);
        for (chip, sensor, label) in &labels {
            family.sample(&[("chip", chip), ("label", label), ("sensor", sensor)], 1.0);
        }
        let mut family =
            page.family("node_hwmon_chip_names", "Annotation metric for human-readable chip names", Kind::Gauge);
        for (chip, name) in &names {
            family.sample(&[("chip", chip), ("chip_name", name)], 1.0);
        }
        Ok(())
    }
}

/// How a number becomes one in the family's unit.
#[derive(Clone, Copy)]
enum Factor {
    One,
    Thousandth,
    Millionth,
}

fn scaled(value: f64, factor: Factor) -> f64 {
    match factor {
        Factor::One => value,
        Factor::Thousandth => value * 0.001,
        Factor::Millionth => value / 1_000_000.0,
    }
}

/// The family, its help and type, and the unit, of a property of a kind of sensor. `has_bare` says that the sensor also
/// has a file without a property, which then has the family's plain name.
fn shown(kind: &str, property: &str, has_bare: bool) -> (String, String, Kind, Factor) {
    let gauge = |name: &str, help: String, factor| (name.to_owned(), help, Kind::Gauge, factor);
    match kind {
        "beep_enable" => return gauge("node_hwmon_beep_enabled", "Hardware beep enabled".to_owned(), Factor::One),
        "vrm" => {
            let help = "Hardware voltage regulator".to_owned();
            return gauge("node_hwmon_voltage_regulator_version", help, Factor::One);
        }
        "update_interval" => {
            let help = "Hardware monitor update interval".to_owned();
            return gauge("node_hwmon_update_interval_seconds", help, Factor::Thousandth);
        }
        _ => {}
    }
    let name = match property {
        "input" if !has_bare => format!("node_hwmon_{kind}"),
        "" => format!("node_hwmon_{kind}"),
        other => format!("node_hwmon_{kind}_{}", clean(other)),
    };
    let with = |unit: &str, help: &str, factor| gauge(&format!("{name}{unit}"), format!("{help} ({property})"), factor);
    match (kind, property) {
        (_, "fault" | "alarm") => gauge(&name, format!("Hardware sensor {property} status ({kind})"), Factor::One),
        (_, "beep") => {
            let help = "Hardware monitor sensor has beeping enabled".to_owned();
            gauge(&format!("{name}_enabled"), help, Factor::One)
        }
        ("in" | "cpu", _) => with("_volts", "Hardware monitor for voltage", Factor::Thousandth),
        ("temp", "") => {
            let help = "Hardware monitor for temperature (input)".to_owned();
            gauge(&format!("{name}_celsius"), help, Factor::Thousandth)
        }
        ("temp", other) if other != "type" => with("_celsius", "Hardware monitor for temperature", Factor::Thousandth),
        ("curr", _) => with("_amps", "Hardware monitor for current", Factor::Thousandth),
        ("energy", _) => {
            let help = format!("Hardware monitor for joules used so far ({property})");
            (format!("{name}_joule_total"), help, Kind::Counter, Factor::Millionth)
        }
        ("power", "accuracy") => {
            gauge(&name, "Hardware monitor power meter accuracy, as a ratio".to_owned(), Factor::Millionth)
        }
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            with("_seconds", "Hardware monitor power usage update interval", Factor::Thousandth)
        }
        ("power", _) => with("_watt", "Hardware monitor for power usage in watts", Factor::Millionth),
        ("humidity", _) => {
            let help = "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a \
                        percentage)";
            with("", help, Factor::Millionth)
        }
        ("fan", "input" | "min" | "max" | "target") => {
            with("_rpm", "Hardware monitor for fan revolutions per minute", Factor::One)
        }
        _ => gauge(&name, format!("Hardware monitor {kind} element {property}"), Factor::One),
    }
}

/// Every sensor's properties; older drivers keep their files in `device`.
fn sensors(folder: &Path) -> BTreeMap<(String, String), BTreeMap<String, String>> {
    let mut sensors: BTreeMap<(String, String), BTreeMap<String, String>> = BTreeMap::new();
    for folder in [folder.to_owned(), folder.join("device")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(SensorFile { kind, sensor, property }) = SensorFile::of(&name) else { continue };
            if let Some(text) = attribute(&folder, &name) {
                sensors.entry((kind.to_owned(), sensor)).or_default().insert(property.to_owned(), text);
            }
        }
    }
    sensors
}

impl SensorFile<'_> {
    fn of(name: &str) -> Option<SensorFile<'_>> {
        let kind_end = name.find(|character: char| character.is_ascii_digit());
        let Some(kind_end) = kind_end else {
            // A name without a number is a kind, such as `update_interval`, or a kind and a property.
            let whole = KINDS.into_iter().find(|kind| *kind == name);
            let kind = whole.map(|kind| &name[..kind.len()])?;
            return Some(SensorFile { kind, sensor: format!("{kind}0"), property: "" });
        };
        let (kind, rest) = name.split_at(kind_end);
        let number_end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(number_end);
        let property = if rest.is_empty() { "" } else { rest.strip_prefix('_')? };
        let number: u32 = number.parse().ok()?;
        KINDS.contains(&kind).then(|| SensorFile { kind, sensor: format!("{kind}{number}"), property })
    }
}

/// What identifies a chip whatever number it got at boot: the bus and the address of its device, or else its name.
fn chip(folder: &Path) -> Option<String> {
    if let Ok(device) = folder.join("device").canonicalize() {
        let name = |path: Option<&Path>| path.and_then(Path::file_name).map(|name| clean(&name.to_string_lossy()));
        let (device_name, bus) = (name(Some(&device)).unwrap_or_default(), name(device.parent()).unwrap_or_default());
        match (bus.is_empty(), device_name.is_empty()) {
            (false, false) => return Some(format!("{bus}_{device_name}")),
            (true, false) => return Some(device_name),
            _ => {}
        }
    }
    let named = attribute(folder, "name").map(|name| clean(&name)).filter(|name| !name.is_empty());
    let by_folder = || Some(clean(&folder.canonicalize().ok()?.file_name()?.to_string_lossy()));
    named.or_else(by_folder).filter(|name| !name.is_empty())
}

/// As part of a metric's name.
fn clean(name: &str) -> String {
    let lower = name.to_lowercase();
    let replaced: String = lower
        .chars()
        .map(|character| match character {
            'a'..='z' | '0'..='9' | ':' | '_' => character,
            _ => '_',
        })
        .collect();
    replaced.trim_matches('_').to_owned()
}
