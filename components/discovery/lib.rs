//! discovery.*.

mod docker;
mod look;
mod relabel;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<docker::Docker>(), Definition::of::<relabel::Relabel>()];
