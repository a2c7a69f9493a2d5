//! otelcol.processor.*.

pub mod attributes;
pub mod batch;
pub mod processing;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<attributes::Component>(), Definition::of::<batch::Batch>()];
