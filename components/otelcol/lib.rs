//! otelcol.auth.* and the rest of otelcol.*.

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[];
