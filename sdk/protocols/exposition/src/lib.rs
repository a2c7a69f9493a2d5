//! Prometheus and OpenMetrics exposition: parse and encode.
