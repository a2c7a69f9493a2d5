//! prometheus.exporter.*.

pub mod process;
#[path = "self.rs"]
pub mod self_;
mod serve;
mod targets;
pub mod unix;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] =
    &[Definition::of::<process::Process>(), Definition::of::<self_::SelfExporter>(), Definition::of::<unix::Unix>()];
