//! otelcol.processor.*.

pub mod attributes;
pub mod batch;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<attributes::Attributes>(), Definition::of::<batch::Batch>()];
