//! prometheus.exporter.*.

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[];
