//! The kernel's merging of pages of memory that are the same.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, read_number};

pub(crate) struct Ksmd {
    root: PathBuf,
}

/// File, family, type, and what a unit is.
const FILES: [(&str, &str, Kind, f64); 9] = [
    ("full_scans", "full_scans_total", Kind::Counter, 1.0),
    ("merge_across_nodes", "merge_across_nodes", Kind::Gauge, 1.0),
    ("pages_shared", "pages_shared", Kind::Gauge, 1.0),
    ("pages_sharing", "pages_sharing", Kind::Gauge, 1.0),
    ("pages_to_scan", "pages_to_scan", Kind::Gauge, 1.0),
    ("pages_unshared", "pages_unshared", Kind::Gauge, 1.0),
    ("pages_volatile", "pages_volatile", Kind::Gauge, 1.0),
    ("run", "run", Kind::Gauge, 1.0),
    ("sleep_millisecs", "sleep_seconds", Kind::Gauge, 1000.0),
];

impl Ksmd {
    pub fn new(paths: &Paths) -> Ksmd {
        Ksmd { root: paths.sysfs.join("kernel/mm/ksm") }
    }
}

impl Collector for Ksmd {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (file, name, kind, in_one) in FILES {
            let path = self.root.join(file);
            let value = read_number(&path).map_err(|error| Failure::reading(&path, &error))?;
            page.family(&format!("node_ksmd_{name}"), &format!("ksmd '{file}' file."), kind)
                .sample(&[], value / in_one);
        }
        Ok(())
    }
}
