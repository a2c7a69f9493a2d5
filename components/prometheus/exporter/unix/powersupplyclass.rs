//! Batteries, chargers and power adapters.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::filter::Pattern;
use super::listing::{attribute, number};

pub(crate) struct PowerSupplyClass {
    root: PathBuf,
    ignored: Pattern,
}

/// The kernel counts in millionths of volts, amperes and so on, and in tenths of degrees.
const MICRO: f64 = 1e6;
const TENTHS: f64 = 10.0;

/// The attribute, the end of the family's name, what the number is divided by.
const NUMBERS: [(&str, &str, f64); 49] = [
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("cycle_count", "cyclecount", 1.0),
    ("online", "online", 1.0),
    ("present", "present", 1.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("current_boot", "current_boot", MICRO),
    ("current_max", "current_max", MICRO),
    ("current_now", "current_ampere", MICRO),
    ("energy_empty", "energy_empty", MICRO),
    ("energy_empty_design", "energy_empty_design", MICRO),
    ("energy_full", "energy_full", MICRO),
    ("energy_full_design", "energy_full_design", MICRO),
    ("energy_now", "energy_watthour", MICRO),
    ("voltage_boot", "voltage_boot", MICRO),
    ("voltage_max", "voltage_max", MICRO),
    ("voltage_max_design", "voltage_max_design", MICRO),
    ("voltage_min", "voltage_min", MICRO),
    ("voltage_min_design", "voltage_min_design", MICRO),
    ("voltage_now", "voltage_volt", MICRO),
    ("voltage_ocv", "voltage_ocv", MICRO),
    ("charge_control_limit", "charge_control_limit", MICRO),
    ("charge_control_limit_max", "charge_control_limit_max", MICRO),
    ("charge_counter", "charge_counter", MICRO),
    ("charge_empty", "charge_empty", MICRO),
    ("charge_empty_design", "charge_empty_design", MICRO),
    ("charge_full", "charge_full", MICRO),
    ("charge_full_design", "charge_full_design", MICRO),
    ("charge_now", "charge_ampere", MICRO),
    ("charge_term_current", "charge_term_current", MICRO),
    ("constant_charge_current", "constant_charge_current", MICRO),
    ("constant_charge_current_max", "constant_charge_current_max", MICRO),
    ("constant_charge_voltage", "constant_charge_voltage", MICRO),
    ("constant_charge_voltage_max", "constant_charge_voltage_max", MICRO),
    ("precharge_current", "precharge_current", MICRO),
    ("input_current_limit", "input_current_limit", MICRO),
    ("power_now", "power_watt", MICRO),
    ("temp", "temp_celsius", TENTHS),
    ("temp_alert_max", "temp_alert_max_celsius", TENTHS),
    ("temp_alert_min", "temp_alert_min_celsius", TENTHS),
    ("temp_ambient", "temp_ambient_celsius", TENTHS),
    ("temp_ambient_max", "temp_ambient_max_celsius", TENTHS),
    ("temp_ambient_min", "temp_ambient_min_celsius", TENTHS),
    ("temp_max", "temp_max_celsius", TENTHS),
    ("temp_min", "temp_min_celsius", TENTHS),
];

/// Labels of the info family besides the supply's name, which are their attributes' names as well.
const LABELS_BEFORE_NAME: [&str; 5] = ["capacity_level", "charge_type", "health", "manufacturer", "model_name"];
const LABELS_AFTER_NAME: [&str; 6] = ["scope", "serial_number", "status", "technology", "type", "usb_type"];

impl PowerSupplyClass {
    pub fn new(paths: &Paths, ignored: Pattern) -> PowerSupplyClass {
        PowerSupplyClass { root: paths.sysfs.join("class/power_supply"), ignored }
    }
}

impl Collector for PowerSupplyClass {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let entries = std::fs::read_dir(&self.root).map_err(|error| Failure::absent_or(&self.root, &error))?;
        let mut supplies: Vec<(String, PathBuf)> = entries
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .filter(|(name, _)| !self.ignored.is_match(name))
            .collect();
        supplies.sort();
        for (file, name, unit) in NUMBERS {
            let help = format!("{name} value of /sys/class/power_supply/<power_supply>.");
            let mut family = page.family(&format!("node_power_supply_{name}"), &help, Kind::Gauge);
            for (supply, folder) in &supplies {
                if let Some(value) = number(folder, file) {
                    family.sample(&[("power_supply", supply)], value / unit);
                }
            }
        }
        let help = "info of /sys/class/power_supply/<power_supply>.";
        let mut info = page.family("node_power_supply_info", help, Kind::Gauge);
        for (supply, folder) in &supplies {
            let told = |name: &'static str| Some((name, attribute(folder, name).filter(|text| !text.is_empty())?));
            let mut texts: Vec<(&str, String)> = LABELS_BEFORE_NAME.into_iter().filter_map(told).collect();
            texts.push(("power_supply", supply.clone()));
            texts.extend(LABELS_AFTER_NAME.into_iter().filter_map(told));
            let labels: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
            info.sample(&labels, 1.0);
        }
        Ok(())
    }
}
