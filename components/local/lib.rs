//! local.*.

mod file;
mod file_match;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<file::File>(), Definition::of::<file_match::FileMatch>()];
