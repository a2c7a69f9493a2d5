//! prometheus.*.

mod echo;
mod forward;
mod relabel;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<echo::Echo>(), Definition::of::<relabel::Relabel>()];
