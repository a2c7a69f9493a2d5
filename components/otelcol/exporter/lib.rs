//! otelcol.exporter.*.

pub mod otlp;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<otlp::Otlp>()];
