//! loki.*.

mod echo;
mod write;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<echo::Echo>(), Definition::of::<write::Write>()];
