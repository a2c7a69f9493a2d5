//! prometheus.exporter.*.

#[path = "self.rs"]
pub mod self_;
mod targets;
pub mod unix;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<self_::SelfExporter>(), Definition::of::<unix::Unix>()];
