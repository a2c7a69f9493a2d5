//! local.*.
