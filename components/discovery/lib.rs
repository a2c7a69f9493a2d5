//! discovery.*.
