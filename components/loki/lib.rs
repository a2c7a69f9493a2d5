//! loki.*.
