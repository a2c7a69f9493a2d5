//! What component tests are written with.

pub mod collector;
pub mod component;
pub mod folder;
pub mod hostile;
pub mod kubernetes;
pub mod mutate;
pub mod oracle;
pub mod otlp;
pub mod patience;
pub mod pipeline;
pub mod push;
pub mod schema;
pub mod sink;
pub mod spans;
pub mod table;
pub mod wire;
