//! Prometheus remote write 1 and 2.
