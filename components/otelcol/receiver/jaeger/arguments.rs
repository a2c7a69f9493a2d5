//! What the block holds.

use base_stdx::bytesize::ByteSize;
use language_eval::{Block, Invalid, Validate};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;

use crate::grpc_server::GrpcSettings;
use crate::http_server::{HttpSettings, check_endpoint, check_size};

/// Takes spans of Jaeger and hands them on.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// What to listen for; at least one.
    #[block(required)]
    pub protocols: Protocols,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Where to send what is received.
    #[block(required)]
    pub output: Output,
}

/// What to listen for. Each runs when its block is there, even an empty one.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Protocols {
    /// Takes what agents and clients post to a collector over gRPC.
    #[block]
    pub grpc: Option<Grpc>,
    /// Takes what clients post to a collector over HTTP: Thrift in its binary encoding.
    #[block]
    pub thrift_http: Option<ThriftHttp>,
    /// Takes what clients send to an agent over UDP: Thrift in its binary encoding.
    #[block]
    pub thrift_binary: Option<ThriftBinary>,
    /// Takes what clients send to an agent over UDP: Thrift in its compact encoding.
    #[block]
    pub thrift_compact: Option<ThriftCompact>,
}

/// The gRPC server.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Grpc {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:14250".to_owned())]
    pub endpoint: String,
    /// Without effect: a message is read into a buffer of its own size.
    #[attr(default = ByteSize(0))]
    pub read_buffer_size: ByteSize,
    /// How it listens.
    #[squash]
    pub settings: GrpcSettings,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct ThriftHttp {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:14268".to_owned())]
    pub endpoint: String,
    /// How it listens.
    #[squash]
    pub settings: HttpSettings,
}

/// The agent for the binary encoding.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct ThriftBinary {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:6832".to_owned())]
    pub endpoint: String,
    /// How it listens.
    #[squash]
    pub settings: UdpSettings,
}

/// The agent for the compact encoding.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct ThriftCompact {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:6831".to_owned())]
    pub endpoint: String,
    /// How it listens.
    #[squash]
    pub settings: UdpSettings,
}

/// How an agent listens, apart from where.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct UdpSettings {
    /// Datagrams that may wait while the pipeline takes others; further ones are dropped, and counted.
    #[attr(default = 1000)]
    pub queue_size: i64,
    /// A larger datagram is dropped, and counted.
    #[attr(default = ByteSize::kib(65))]
    pub max_packet_size: ByteSize,
    /// Datagrams that are handed on at the same time.
    #[attr(default = 10)]
    pub workers: i64,
    /// What the kernel keeps of datagrams that are not read yet; 0 is what it keeps anyway.
    #[attr(default = ByteSize(0))]
    pub socket_buffer_size: ByteSize,
}

// === validation ===

impl Validate for Protocols {
    fn validate(&self) -> Result<(), Invalid> {
        let Protocols { grpc, thrift_http, thrift_binary, thrift_compact } = self;
        if grpc.is_none() && thrift_http.is_none() && thrift_binary.is_none() && thrift_compact.is_none() {
            return Err(Invalid::block("at least one protocol must be enabled")
                .with_hint("write grpc, thrift_http, thrift_binary or thrift_compact, even as an empty block"));
        }
        Ok(())
    }
}

impl Validate for Grpc {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

impl Validate for ThriftHttp {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

impl Validate for ThriftBinary {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

impl Validate for ThriftCompact {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

impl Validate for UdpSettings {
    fn validate(&self) -> Result<(), Invalid> {
        if self.queue_size < 0 {
            return Err(Invalid::field("queue_size", "must not be negative"));
        }
        if self.workers < 1 {
            return Err(Invalid::field("workers", "must be greater than 0"));
        }
        if self.max_packet_size.0 < 1 {
            return Err(Invalid::field("max_packet_size", "must be greater than 0"));
        }
        check_size("socket_buffer_size", self.socket_buffer_size)
    }
}
