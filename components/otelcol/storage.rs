//! otelcol.storage.*: where others keep what must survive a restart.

pub mod file;
