//! otelcol.connector.*.

mod aggregating;
mod distribution;
pub mod host_info;
#[cfg(test)]
mod hostile_tests;
mod series;
pub mod servicegraph;
mod span;
pub mod spanlogs;
pub mod spanmetrics;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<host_info::Component>(),
    Definition::of::<servicegraph::Component>(),
    Definition::of::<spanlogs::SpanLogs>(),
    Definition::of::<spanmetrics::Component>(),
];
