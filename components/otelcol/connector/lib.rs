//! otelcol.connector.*.

pub mod host_info;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<host_info::HostInfo>()];
