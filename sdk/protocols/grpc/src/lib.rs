//! Unary gRPC over hyper: one message in, one message out, both bytes.
//!
//! What tonic adds (codecs, a service tree, a buffered channel in front of each connection) is for typed messages; here
//! a request is five bytes, a payload that somebody else encoded, and a status. So a payload is copied at most once on the
//! way in and not at all on the way out.
//!
//! - [`server::unary`] answers one request that any hyper server accepted;
//! - [`client::Channel`] keeps one connection and sends requests over it.

pub mod body;
pub mod client;
mod message;
pub mod server;
mod status;

pub use body::Body;
pub use client::{Channel, ChannelConfig, Connect, Reply, Stream};
pub use sdk_protocols_otlp::status::{Code, Status};
