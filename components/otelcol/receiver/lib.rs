//! otelcol.receiver.*.

pub mod filelog;
pub mod jaeger;
pub mod loki;
pub mod otlp;
pub mod prometheus;
pub mod zipkin;

mod attributes;
mod cors;
mod counters;
pub mod grpc_server;
pub mod http_server;
mod intake;
mod listener;
mod serving;
#[cfg(test)]
mod testing;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<filelog::Filelog>(),
    Definition::of::<jaeger::Jaeger>(),
    Definition::of::<loki::Loki>(),
    Definition::of::<otlp::Otlp>(),
    Definition::of::<prometheus::Prometheus>(),
    Definition::of::<zipkin::Zipkin>(),
];
