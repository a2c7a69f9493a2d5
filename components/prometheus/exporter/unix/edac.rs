//! Errors of the memory that were corrected, and those that were not.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch, read_number};
use super::listing::numbered;

pub(crate) struct Edac {
    root: PathBuf,
}

impl Edac {
    pub fn new(paths: &Paths) -> Edac {
        Edac { root: paths.sysfs.join("devices/system/edac/mc") }
    }
}

impl Collector for Edac {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        // A host without such memory is a host without errors.
        let controllers = numbered(&self.root, "mc").unwrap_or_default();
        for (count, of_none, total, by_row, words) in [
            (
                "ce_count",
                "ce_noinfo_count",
                "node_edac_correctable_errors_total",
                "node_edac_csrow_correctable_errors_total",
                "correctable",
            ),
            (
                "ue_count",
                "ue_noinfo_count",
                "node_edac_uncorrectable_errors_total",
                "node_edac_csrow_uncorrectable_errors_total",
                "uncorrectable",
            ),
        ] {
            let mut family = page.family(total, &format!("Total {words} memory errors."), Kind::Counter);
            for (controller, folder) in &controllers {
                family.sample(&[("controller", &controller.to_string())], read(folder, count)?);
            }
            let mut family =
                page.family(by_row, &format!("Total {words} memory errors for this csrow."), Kind::Counter);
            for (controller, folder) in &controllers {
                let controller = controller.to_string();
                family.sample(&[("controller", &controller), ("csrow", "unknown")], read(folder, of_none)?);
                for (row, folder) in numbered(folder, "csrow").unwrap_or_default() {
                    family.sample(&[("controller", &controller), ("csrow", &row.to_string())], read(&folder, count)?);
                }
            }
        }
        Ok(())
    }
}

fn read(folder: &Path, name: &str) -> Result<f64, Failure> {
    let path = folder.join(name);
    read_number(&path).map_err(|error| Failure::reading(&path, &error))
}
