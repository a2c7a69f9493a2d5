//! prometheus.exporter.*.

pub mod unix;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[];
