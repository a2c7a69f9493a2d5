//! otelcol.auth.* and the rest of otelcol.*.

pub mod auth {
    //! otelcol.auth.*: who may send to a receiver, and who an exporter is.

    pub mod basic;
}

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<auth::basic::Basic>()];
