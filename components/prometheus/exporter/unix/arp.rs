//! `/proc/net/arp`: neighbours by device.

use std::collections::BTreeMap;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source};
use super::filter::DeviceFilter;

pub(crate) struct Arp {
    source: Source,
    devices: DeviceFilter,
}

impl Arp {
    pub fn new(paths: &Paths, devices: DeviceFilter) -> Arp {
        Arp { source: Source::short_records(paths.procfs.join("net/arp")), devices }
    }
}

impl Collector for Arp {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let text = self.source.read(scratch);
        let text = text.map_err(|error| Failure::reading(self.source.path(), &error))?;
        let mut entries: BTreeMap<&str, u32> = BTreeMap::new();
        for line in text.lines().skip(1) {
            // IP address, HW type, flags, HW address, mask, device.
            if let Some(device) = line.split_ascii_whitespace().nth(5)
                && !self.devices.ignores(device)
            {
                *entries.entry(device).or_default() += 1;
            }
        }
        let mut family = page.family("node_arp_entries", "ARP entries by device", Kind::Gauge);
        for (device, count) in entries {
            family.sample(&[("device", device)], f64::from(count));
        }
        Ok(())
    }
}
