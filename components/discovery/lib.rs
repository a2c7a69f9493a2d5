//! discovery.*.

mod docker;
mod kubernetes;
mod look;
mod relabel;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<docker::Docker>(),
    Definition::of::<kubernetes::Kubernetes>(),
    Definition::of::<relabel::Relabel>(),
];
