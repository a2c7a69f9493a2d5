//! As much of HTTP/2 (RFC 9113) as unary calls need.

pub(crate) mod frame;
pub(crate) mod hpack;
mod huffman;
