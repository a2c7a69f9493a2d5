//! otelcol.receiver.*.

pub mod filelog;
pub mod loki;
pub mod otlp;
pub mod prometheus;
pub mod zipkin;

mod cors;
mod counters;
mod grpc_server;
pub mod http_server;
mod intake;
mod listener;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<filelog::Filelog>(),
    Definition::of::<loki::Loki>(),
    Definition::of::<otlp::Otlp>(),
    Definition::of::<prometheus::Prometheus>(),
    Definition::of::<zipkin::Zipkin>(),
];
