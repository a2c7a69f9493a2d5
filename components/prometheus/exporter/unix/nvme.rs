//! What NVMe drives tell of themselves.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{attribute, numbered_if_any};

pub(crate) struct Nvme {
    root: PathBuf,
}

impl Nvme {
    pub fn new(paths: &Paths) -> Nvme {
        Nvme { root: paths.sysfs.join("class/nvme") }
    }
}

impl Collector for Nvme {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut family = page.family(
            "node_nvme_info",
            "Non-numeric data from /sys/class/nvme/<device>, value is always 1.",
            Kind::Gauge,
        );
        for (number, folder) in numbered_if_any(&self.root, "nvme")? {
            let text = |name: &str| attribute(&folder, name).unwrap_or_default();
            family.sample(
                &[
                    ("device", &format!("nvme{number}")),
                    ("firmware_revision", &text("firmware_rev")),
                    ("model", &text("model")),
                    ("serial", &text("serial")),
                    ("state", &text("state")),
                ],
                1.0,
            );
        }
        Ok(())
    }
}
