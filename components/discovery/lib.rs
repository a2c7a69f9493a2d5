//! discovery.*.

mod relabel;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<relabel::Relabel>()];
