//! `/proc/net/stat`: the caches of the network's tables, by CPU.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::entries;

pub(crate) struct Lnstat {
    root: PathBuf,
}

impl Lnstat {
    pub fn new(paths: &Paths) -> Lnstat {
        Lnstat { root: paths.procfs.join("net/stat") }
    }
}

impl Collector for Lnstat {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (subsystem, path) in entries(&self.root).unwrap_or_default() {
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
            let mut lines = text.lines();
            let columns: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
            for (cpu, line) in lines.enumerate() {
                let cpu = cpu.to_string();
                for (at, number) in line.split_whitespace().enumerate() {
                    let column = columns.get(at).ok_or_else(|| Failure::malformed(&path, line))?;
                    let value = u64::from_str_radix(number, 16).map_err(|_| Failure::malformed(&path, number))?;
                    let name = format!("node_lnstat_{column}_total");
                    page.family(&name, "linux network cache stats", Kind::Counter)
                        .sample(&[("cpu", &cpu), ("subsystem", &subsystem)], value as f64);
                }
            }
        }
        Ok(())
    }
}
