//! How many control groups there are, by controller.

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, Source, number};

pub(crate) struct Cgroups {
    source: Source,
}

impl Cgroups {
    pub fn new(paths: &Paths) -> Cgroups {
        Cgroups { source: Source::records(paths.procfs.join("cgroups")) }
    }
}

impl Collector for Cgroups {
    fn collect(&mut self, scratch: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let path = self.source.path().to_owned();
        let text = self.source.read(scratch).map_err(|error| Failure::reading(&path, &error))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [controller, _, groups, enabled, ..] = words[..] else { return Err(Failure::malformed(&path, line)) };
            for (name, value) in [("node_cgroups_cgroups", groups), ("node_cgroups_enabled", enabled)] {
                page.family(name, "Current cgroup number of the subsystem.", Kind::Gauge)
                    .sample(&[("subsys_name", controller)], number(value, &path)?);
            }
        }
        Ok(())
    }
}
