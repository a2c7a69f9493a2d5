//! Relabelling rules as Prometheus has them.
