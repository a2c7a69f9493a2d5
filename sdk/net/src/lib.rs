//! HTTP clients and servers from Alloy's own blocks.
//!
//! [`ClientConfig`] is the set of arguments that every component with an HTTP client shares (spec §3.12); [`Client`] is
//! what it makes. [`oauth2`] gets tokens; [`server`] accepts connections with limits.

pub mod client;
pub mod oauth2;
pub mod secret_file;
pub mod server;
pub mod tls;

pub use client::{
    Client, ClientConfig, Options, Repeated, Response, SendError, Streaming, address, address_doubt, check_address,
    shown_url, why_no_address,
};
pub use tls::TlsConfig;

/// What all clients call themselves. Servers that look for Alloy's name do not find it: we are not it.
pub const USER_AGENT: &str = concat!("Ferroalloy/", env!("CARGO_PKG_VERSION"));
