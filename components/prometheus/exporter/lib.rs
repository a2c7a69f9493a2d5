//! prometheus.exporter.*.

pub mod unix;
