//! Unary gRPC over HTTP/2 of our own: one message in, one message out, both bytes.
//!
//! What tonic and h2 add (codecs, a service tree, a task and a buffered channel for each call) is for typed messages and
//! streams; here a request is five bytes, a payload that somebody else encoded, and a status. So a payload is copied at most
//! once on the way in and not at all on the way out, and a call that is taken at once wakes nobody.
//!
//! - [`server::serve`] answers the calls of one connection;
//! - [`client::Channel`] keeps one connection and sends calls over it.

pub mod body;
pub mod client;
mod http2;
mod message;
pub mod server;
mod status;

pub use body::Body;
pub use client::{Channel, ChannelConfig, Connect, Reply, Stream};
pub use sdk_protocols_otlp::status::{Code, Status};
