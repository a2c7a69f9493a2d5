//! Network devices bonded into one: how many there are, and how many are up.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};

pub(crate) struct Bonding {
    root: PathBuf,
}

impl Bonding {
    pub fn new(paths: &Paths) -> Bonding {
        Bonding { root: paths.sysfs.join("class/net") }
    }
}

impl Collector for Bonding {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.root.join("bonding_masters");
        let masters = std::fs::read_to_string(&path).map_err(|error| Failure::absent_or(&path, &error))?;
        let mut rows: Vec<(&str, u32, u32)> = Vec::new();
        for master in masters.split_ascii_whitespace() {
            let folder = self.root.join(master);
            let path = folder.join("bonding/slaves");
            let slaves = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
            let (mut configured, mut active) = (0, 0);
            for slave in slaves.split_ascii_whitespace() {
                // The link to a slave was renamed in Linux 3.9.
                let status = |link: &str| {
                    std::fs::read_to_string(folder.join(format!("{link}_{slave}/bonding_slave/mii_status")))
                };
                let status = status("lower").or_else(|_| status("slave"));
                let status = status.map_err(|error| Failure::reading(&folder, &error))?;
                configured += 1;
                active += u32::from(status.trim() == "up");
            }
            rows.push((master, configured, active));
        }
        let help = "Number of configured slaves per bonding interface.";
        let mut family = page.family("node_bonding_slaves", help, Kind::Gauge);
        for (master, configured, _) in &rows {
            family.sample(&[("master", master)], f64::from(*configured));
        }
        let help = "Number of active slaves per bonding interface.";
        let mut family = page.family("node_bonding_active", help, Kind::Gauge);
        for (master, _, active) in &rows {
            family.sample(&[("master", master)], f64::from(*active));
        }
        Ok(())
    }
}
