//! otelcol.receiver.*.

pub mod loki;
pub mod otlp;
pub mod prometheus;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] =
    &[Definition::of::<loki::Loki>(), Definition::of::<otlp::Otlp>(), Definition::of::<prometheus::Prometheus>()];
