//! prometheus.exporter.*.
