//! What component tests are written with.

pub mod oracle;
pub mod sink;
pub mod wire;
