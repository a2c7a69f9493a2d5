//! Temperatures of the host's zones, and how hard its cooling devices work.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{attribute, number, numbered_if_any};

pub(crate) struct ThermalZone {
    root: PathBuf,
}

impl ThermalZone {
    pub fn new(paths: &Paths) -> ThermalZone {
        ThermalZone { root: paths.sysfs.join("class/thermal") }
    }
}

impl Collector for ThermalZone {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let zones = numbered_if_any(&self.root, "thermal_zone")?;
        let mut temperatures = page.family("node_thermal_zone_temp", "Zone temperature in Celsius", Kind::Gauge);
        for (zone, folder) in zones {
            // A zone whose sensor is asleep cannot be read.
            let (Some(kind), Some(thousandths)) = (attribute(&folder, "type"), number(&folder, "temp")) else {
                continue;
            };
            temperatures.sample(&[("type", &kind), ("zone", &zone.to_string())], thousandths / 1000.0);
        }
        let devices = numbered_if_any(&self.root, "cooling_device")?;
        for (state, name, help) in [
            ("cur_state", "node_cooling_device_cur_state", "Current throttle state of the cooling device"),
            ("max_state", "node_cooling_device_max_state", "Maximum throttle state of the cooling device"),
        ] {
            let mut family = page.family(name, help, Kind::Gauge);
            for (device, folder) in &devices {
                if let (Some(kind), Some(state)) = (attribute(folder, "type"), number(folder, state)) {
                    family.sample(&[("name", &device.to_string()), ("type", &kind)], state);
                }
            }
        }
        Ok(())
    }
}
