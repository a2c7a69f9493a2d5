//! What the block holds.

use base_stdx::bytesize::ByteSize;
use language_eval::{Block, Invalid, Validate};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;

use crate::grpc_server::GrpcSettings;
use crate::http_server::{HttpSettings, check_endpoint};

/// Takes OTLP over gRPC and HTTP and hands it on. A server runs when its block is there, even an empty one.
#[derive(Clone, Debug, Block)]
pub struct Arguments {
    /// Takes OTLP over gRPC.
    #[block]
    pub grpc: Option<GrpcServer>,
    /// Takes OTLP over HTTP, as protobuf and JSON.
    #[block]
    pub http: Option<HttpServer>,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Where to send what is received.
    #[block(required)]
    pub output: Output,
}

/// The gRPC server.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct GrpcServer {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:4317".to_owned())]
    pub endpoint: String,
    /// Without effect: a message is read into a buffer of its own size.
    #[attr(default = ByteSize::kib(512))]
    pub read_buffer_size: ByteSize,
    /// How it listens.
    #[squash]
    pub settings: GrpcSettings,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct HttpServer {
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:4318".to_owned())]
    pub endpoint: String,
    /// How it listens.
    #[squash]
    pub settings: HttpSettings,
    /// The path for traces.
    #[attr(default = "/v1/traces".to_owned())]
    pub traces_url_path: String,
    /// The path for metrics.
    #[attr(default = "/v1/metrics".to_owned())]
    pub metrics_url_path: String,
    /// The path for logs.
    #[attr(default = "/v1/logs".to_owned())]
    pub logs_url_path: String,
}

// === validation ===

impl Validate for GrpcServer {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

impl Validate for HttpServer {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}
