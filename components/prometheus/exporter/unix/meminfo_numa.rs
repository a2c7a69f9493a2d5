//! Memory by node, where CPUs are nearer to some of it.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, number};
use super::listing::numbered;

pub(crate) struct MeminfoNuma {
    root: PathBuf,
}

const KIB: f64 = 1024.0;

impl MeminfoNuma {
    pub fn new(paths: &Paths) -> MeminfoNuma {
        MeminfoNuma { root: paths.sysfs.join("devices/system/node") }
    }
}

impl Collector for MeminfoNuma {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut show = |field: &str, kind: Kind, node: &str, value: f64| {
            let help = format!("Memory information field {field}.");
            page.family(&format!("node_memory_numa_{field}"), &help, kind).sample(&[("node", node)], value);
        };
        for (node, folder) in numbered(&self.root, "node").unwrap_or_default() {
            let path = folder.join("meminfo");
            for line in read(&path)?.lines().filter(|line| !line.trim().is_empty()) {
                // `Node 0 Active(anon):     707872 kB`
                let words: Vec<&str> = line.split_whitespace().collect();
                let (node, field, value) = match words[..] {
                    [_, node, field, value] => (node, field, number(value, &path)?),
                    [_, node, field, value, "kB"] => (node, field, number(value, &path)? * KIB),
                    _ => return Err(Failure::malformed(&path, line)),
                };
                let field = field.trim_end_matches(':').replace('(', "_").replace(')', "");
                show(&field, Kind::Gauge, node, value);
            }
            let path = folder.join("numastat");
            for line in read(&path)?.lines().filter(|line| !line.trim().is_empty()) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [field, value] = words[..] else { return Err(Failure::malformed(&path, line)) };
                show(&format!("{field}_total"), Kind::Counter, &node.to_string(), number(value, &path)?);
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::reading(path, &error))
}
