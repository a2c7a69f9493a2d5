//! prometheus.exporter.*.

pub mod blackbox;
mod build_info;
pub mod cadvisor;
pub mod process;
#[path = "self.rs"]
pub mod self_;
mod serve;
mod statfs;
mod targets;
pub mod unix;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<blackbox::Blackbox>(),
    Definition::of::<cadvisor::Cadvisor>(),
    Definition::of::<process::Process>(),
    Definition::of::<self_::SelfExporter>(),
    Definition::of::<unix::Unix>(),
];
