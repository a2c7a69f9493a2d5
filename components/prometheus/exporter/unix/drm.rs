//! `/sys/class/drm`: graphics cards of AMD.

use std::path::PathBuf;

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::{attribute, numbered, unsigned_if_any};

pub(crate) struct Drm {
    root: PathBuf,
}

/// File, family, help.
const FAMILIES: [(&str, &str, &str); 7] = [
    ("gpu_busy_percent", "node_drm_gpu_busy_percent", "How busy the GPU is as a percentage."),
    (
        "mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "The size of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_gtt_used",
        "node_drm_memory_gtt_used_bytes",
        "The used amount of the graphics translation table (GTT) block in bytes.",
    ),
    ("mem_info_vram_total", "node_drm_memory_vram_size_bytes", "The size of VRAM in bytes."),
    ("mem_info_vram_used", "node_drm_memory_vram_used_bytes", "The used amount of VRAM in bytes."),
    ("mem_info_vis_vram_total", "node_drm_memory_vis_vram_size_bytes", "The size of visible VRAM in bytes."),
    ("mem_info_vis_vram_used", "node_drm_memory_vis_vram_used_bytes", "The used amount of visible VRAM in bytes."),
];

impl Drm {
    pub fn new(paths: &Paths) -> Drm {
        Drm { root: paths.sysfs.join("class/drm") }
    }
}

impl Collector for Drm {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        for (number, folder) in numbered(&self.root, "card").unwrap_or_default() {
            let device = folder.join("device");
            let path = device.join("uevent");
            let event = match std::fs::read_to_string(&path) {
                Ok(event) => event,
                Err(error) if error.raw_os_error() == Some(libc::ENODATA) => continue,
                Err(error) => return Err(Failure::reading(&path, &error)),
            };
            if !event.contains("DRIVER=amdgpu") {
                continue;
            }
            let card = format!("card{number}");
            let text = |name: &str| attribute(&device, name).unwrap_or_default();
            page.family("node_drm_card_info", "Card information", Kind::Gauge).sample(
                &[
                    ("card", &card),
                    ("memory_vendor", &text("mem_info_vram_vendor")),
                    ("power_performance_level", &text("power_dpm_force_performance_level")),
                    ("unique_id", &text("unique_id")),
                    ("vendor", "amd"),
                ],
                1.0,
            );
            for (file, name, help) in FAMILIES {
                let value = unsigned_if_any(&device.join(file))?.unwrap_or_default();
                page.family(name, help, Kind::Gauge).sample(&[("card", &card)], value as f64);
            }
        }
        Ok(())
    }
}
