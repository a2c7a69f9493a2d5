//! What is shown, under the names that cAdvisor has for it.

mod containers;
mod machine;

use base_metrics::{FamilyWriter, Kind as Type};

use super::kinds::Kinds;
use super::machine::Machine;
use super::measured::{Spec, Stats};
use crate::build_info;

/// One container on the page.
pub(super) struct Shown {
    /// Sorted by name; every container has the same names.
    pub labels: Vec<(String, String)>,
    /// In seconds since 1970.
    pub created: i64,
    pub spec: Spec,
    pub is_healthy: bool,
    pub stats: Stats,
}

/// Writes all of it. `now` is in milliseconds since 1970.
pub(super) fn write(
    page: &mut FamilyWriter<'_>,
    machine: &Machine,
    shown: &[Shown],
    kinds: Kinds,
    failed: bool,
    now: i64,
) {
    build(page, machine);
    machine::write(page, machine, kinds, now);
    containers::limits(page, shown, machine);
    containers::usage(page, shown, kinds, now);
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    page.gauge("container_scrape_error", help, f64::from(u8::from(failed)));
}

fn build(page: &mut FamilyWriter<'_>, machine: &Machine) {
    build_info::write(page, "cadvisor_build_info", "cadvisor");
    page.family(
        "cadvisor_version_info",
        "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & \
         cadvisor revision.",
        Type::Gauge,
    )
    .sample(
        &[
            ("cadvisorRevision", ""),
            ("cadvisorVersion", ""),
            ("dockerVersion", ""),
            ("kernelVersion", &machine.kernel),
            ("osVersion", &machine.system),
        ],
        1.0,
    );
}
