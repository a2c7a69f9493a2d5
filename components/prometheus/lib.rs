//! prometheus.*.
