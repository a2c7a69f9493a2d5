//! otelcol.exporter.*.

pub mod debug;
pub mod file;
pub mod loadbalancing;
pub mod loki;
pub mod otlp;
pub mod otlphttp;
pub mod prometheus;

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod retry_tests;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<debug::Debug>(),
    Definition::of::<file::File>(),
    Definition::of::<loadbalancing::LoadBalancing>(),
    Definition::of::<loki::Loki>(),
    Definition::of::<otlp::Otlp>(),
    Definition::of::<otlphttp::OtlpHttp>(),
    Definition::of::<prometheus::Prometheus>(),
];

/// How requests name their sender.
const USER_AGENT: &str = concat!("Ferroalloy/", env!("CARGO_PKG_VERSION"));
