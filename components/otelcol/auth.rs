//! otelcol.auth.*: who may send to a receiver, and who an exporter is.

pub mod basic;
pub mod bearer;
pub mod headers;
pub mod oauth2;

#[cfg(test)]
mod testing;
