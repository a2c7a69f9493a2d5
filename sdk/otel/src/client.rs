//! The `client` blocks: gRPC and HTTP.

mod grpc;
mod http;

pub use self::grpc::{Balancer, GrpcClient, GrpcSettings, KeepaliveClient};
pub use self::http::{CompressionParams, Cookies, HttpClient, HttpReply, HttpSender};

use language_eval::Word;
use sdk_protocols_compression::Coding;

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Compression {
    /// gzip
    Gzip,
    /// zlib
    Zlib,
    /// The same as zlib.
    Deflate,
    /// Snappy
    Snappy,
    /// Zstandard
    Zstd,
    /// Not at all.
    #[word(alias = "")]
    None,
}

// === impl Compression ===

impl Compression {
    /// The coding of an HTTP body, and the name of it.
    #[must_use]
    pub fn of_http(self) -> (Coding, Option<&'static str>) {
        match self {
            Compression::Gzip => (Coding::Gzip, Some("gzip")),
            Compression::Zlib => (Coding::Zlib, Some("zlib")),
            Compression::Deflate => (Coding::Zlib, Some("deflate")),
            Compression::Snappy => (Coding::SnappyBlock, Some("snappy")),
            Compression::Zstd => (Coding::Zstd, Some("zstd")),
            Compression::None => (Coding::Identity, None),
        }
    }

    /// The coding of a gRPC message; gRPC has no zlib or deflate in the Collector.
    #[must_use]
    pub fn of_grpc(self) -> Option<Coding> {
        Some(match self {
            Compression::Gzip => Coding::Gzip,
            Compression::Snappy => Coding::SnappyFramed,
            Compression::Zstd => Coding::Zstd,
            Compression::None => Coding::Identity,
            Compression::Zlib | Compression::Deflate => return None,
        })
    }
}
