//! Which flaws the CPUs have, and whether the kernel works around them.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::entries;

pub(crate) struct CpuVulnerabilities {
    root: PathBuf,
}

/// What files begin with; anything else is unknown.
const STATES: [&str; 4] = ["not affected", "vulnerable", "mitigation", UNKNOWN];
const UNKNOWN: &str = "unknown";

impl CpuVulnerabilities {
    pub fn new(paths: &Paths) -> CpuVulnerabilities {
        CpuVulnerabilities { root: paths.sysfs.join("devices/system/cpu/vulnerabilities") }
    }
}

impl Collector for CpuVulnerabilities {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut family = page.family(
            "node_cpu_vulnerabilities_info",
            "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the \
             vulnerability. The same state is stored as a string in the label",
            Kind::Gauge,
        );
        for (name, path) in entries(&self.root).unwrap_or_default() {
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
            let text = text.trim().to_lowercase();
            let state = STATES.into_iter().find(|state| text.starts_with(state)).unwrap_or(UNKNOWN);
            family.sample(&[("codename", &name), ("state", state)], 1.0);
        }
        Ok(())
    }
}
