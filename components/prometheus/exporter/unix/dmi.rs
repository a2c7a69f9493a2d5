//! What the firmware tells of the machine. It does not change, so it is read once.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::attribute;

pub(crate) struct Dmi {
    root: PathBuf,
    /// The labels that the firmware tells.
    known: Option<Vec<(&'static str, String)>>,
}

/// The label, and the attribute's file where it is called something else.
const LABELS: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

impl Dmi {
    pub fn new(paths: &Paths) -> Dmi {
        Dmi { root: paths.sysfs.join("class/dmi/id"), known: None }
    }
}

impl Collector for Dmi {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let known = self.known.get_or_insert_with(|| {
            let labels = LABELS.into_iter();
            labels.filter_map(|(label, file)| Some((label, attribute(&self.root, file)?))).collect()
        });
        if known.is_empty() {
            return Err(Failure::NoData);
        }
        let labels: Vec<(&str, &str)> = known.iter().map(|(label, value)| (*label, value.as_str())).collect();
        page.family(
            "node_dmi_info",
            "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, \
             board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, \
             chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, \
             product_sku, product_uuid, product_version, system_vendor if provided by DMI.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
        Ok(())
    }
}
