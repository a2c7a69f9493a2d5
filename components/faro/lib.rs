//! faro.*.

mod receiver;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[Definition::of::<receiver::Receiver>()];

/// What reads bytes from outside, for the fuzz targets.
pub use receiver::fuzz;
