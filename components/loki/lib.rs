//! loki.*.

mod echo;
mod source;
mod write;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<echo::Echo>(),
    Definition::of::<source::docker::Docker>(),
    Definition::of::<source::file::File>(),
    Definition::of::<write::Write>(),
];
