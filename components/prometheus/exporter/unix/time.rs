//! The host's clock, its zone and its clock sources.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};
use jiff::{Timestamp, tz::TimeZone};

use super::collector::{Collector, Failure, Paths, Scratch};

pub(crate) struct Time {
    clocksources: PathBuf,
    zone: Option<TimeZone>,
}

impl Time {
    /// The clock of the host, in the zone of the host.
    pub fn new(paths: &Paths) -> Time {
        Time { clocksources: paths.sysfs.join("devices/system/clocksource"), zone: None }
    }

    #[cfg(test)]
    pub fn in_zone(paths: &Paths, zone: &str) -> Time {
        Time { zone: Some(TimeZone::get(zone).unwrap()), ..Time::new(paths) }
    }
}

impl Collector for Time {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let now = base_sys::clock::now_ns();
        page.gauge("node_time_seconds", "System time in seconds since epoch (1970).", now as f64 / 1e9);
        let zone = self.zone.clone().unwrap_or_else(TimeZone::system);
        let offset = zone.to_offset_info(Timestamp::from_nanosecond(now.into()).unwrap_or(Timestamp::UNIX_EPOCH));
        page.family("node_time_zone_offset_seconds", "System time zone offset in seconds.", Kind::Gauge)
            .sample(&[("time_zone", offset.abbreviation())], f64::from(offset.offset().seconds()));

        let mut devices: Vec<String> = std::fs::read_dir(&self.clocksources)
            .map_err(|error| Failure::reading(&self.clocksources, &error))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("clocksource"))
            .collect();
        devices.sort();
        let read = |device: &str, attribute: &str| {
            let path = self.clocksources.join(device).join(attribute);
            std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))
        };
        let mut available = page.family(
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
            Kind::Gauge,
        );
        for (index, device) in devices.iter().enumerate() {
            for clocksource in read(device, "available_clocksource")?.split_ascii_whitespace() {
                available.sample(&[("clocksource", clocksource), ("device", &index.to_string())], 1.0);
            }
        }
        let mut current = page.family(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            Kind::Gauge,
        );
        for (index, device) in devices.iter().enumerate() {
            let clocksource = read(device, "current_clocksource")?;
            current.sample(&[("clocksource", clocksource.trim()), ("device", &index.to_string())], 1.0);
        }
        Ok(())
    }
}
