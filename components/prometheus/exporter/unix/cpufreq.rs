//! How fast each CPU runs, and may run.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{attribute, number, numbered};

pub(crate) struct Cpufreq {
    root: PathBuf,
}

/// The attribute in kHz, the family, its help.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Current CPU thread frequency in hertz."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz."),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz."),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz", "Minimum scaled CPU thread frequency in hertz."),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz", "Maximum scaled CPU thread frequency in hertz."),
];

impl Cpufreq {
    pub fn new(paths: &Paths) -> Cpufreq {
        Cpufreq { root: paths.sysfs.join("devices/system/cpu") }
    }
}

impl Collector for Cpufreq {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let cpus = numbered(&self.root, "cpu").map_err(|error| Failure::reading(&self.root, &error))?;
        let cpus: Vec<(String, PathBuf)> = cpus
            .into_iter()
            .map(|(cpu, folder)| (cpu.to_string(), folder.join("cpufreq")))
            .filter(|(_, folder)| folder.is_dir())
            .collect();
        for (name, family, help) in FREQUENCIES {
            let mut family = page.family(family, help, Kind::Gauge);
            for (cpu, folder) in &cpus {
                if let Some(kilohertz) = number(folder, name) {
                    family.sample(&[("cpu", cpu)], kilohertz * 1000.0);
                }
            }
        }
        let mut governors =
            page.family("node_cpu_scaling_governor", "Current enabled CPU frequency governor.", Kind::Gauge);
        for (cpu, folder) in &cpus {
            let Some(current) = attribute(folder, "scaling_governor").filter(|name| !name.is_empty()) else { continue };
            let available = attribute(folder, "scaling_available_governors").unwrap_or_default();
            for governor in available.split_ascii_whitespace() {
                let chosen = f64::from(u8::from(governor == current));
                governors.sample(&[("cpu", cpu), ("governor", governor)], chosen);
            }
        }
        Ok(())
    }
}
