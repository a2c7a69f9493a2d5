//! Whether SELinux is there, and how strict it is.

use std::path::PathBuf;

use base_metrics::FamilyWriter;

use super::collector::{Collector, Failure, Paths, Scratch, read_number};

pub(crate) struct Selinux {
    enforce: PathBuf,
    config: PathBuf,
}

impl Selinux {
    pub fn new(paths: &Paths) -> Selinux {
        Selinux { enforce: paths.sysfs.join("fs/selinux/enforce"), config: paths.rootfs.join("etc/selinux/config") }
    }
}

impl Collector for Selinux {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        const ENABLED: (&str, &str) = ("node_selinux_enabled", "SELinux is enabled, 1 is true, 0 is false");
        let Ok(current) = read_number(&self.enforce) else {
            page.gauge(ENABLED.0, ENABLED.1, 0.0);
            return Ok(());
        };
        page.gauge(ENABLED.0, ENABLED.1, 1.0);
        let config = std::fs::read_to_string(&self.config).unwrap_or_default();
        let configured = match config.lines().find_map(|line| line.trim().strip_prefix("SELINUX=")) {
            Some("enforcing") => 1.0,
            Some("permissive") => 0.0,
            _ => -1.0,
        };
        page.gauge("node_selinux_config_mode", "Configured SELinux enforcement mode", configured);
        page.gauge("node_selinux_current_mode", "Current SELinux enforcement mode", current);
        Ok(())
    }
}
