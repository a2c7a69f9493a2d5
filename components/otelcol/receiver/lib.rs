//! otelcol.receiver.*.

pub mod filelog;
pub mod loki;
pub mod otlp;
pub mod prometheus;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<filelog::Filelog>(),
    Definition::of::<loki::Loki>(),
    Definition::of::<otlp::Otlp>(),
    Definition::of::<prometheus::Prometheus>(),
];
