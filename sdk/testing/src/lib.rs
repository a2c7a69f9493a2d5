//! What component tests are written with.

pub mod oracle;
