//! What the block holds.

use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use language_eval::{Block, Invalid, Validate};
use sdk_otel::auth::AuthHandler;
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::not_yet;
use sdk_otel::output::Output;
use sdk_otel::tls::TlsServer;

use crate::http_server::{HttpSettings, check_endpoint, check_size};

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
    /// `tcp`, `tcp4` or `tcp6`.
    #[attr(default = "tcp".to_owned())]
    pub transport: String,
    /// TLS.
    #[block]
    pub tls: Option<TlsServer>,
    /// The largest message, as sent and as decompressed; 0 is 4MiB.
    #[attr(default = ByteSize(0))]
    pub max_recv_msg_size: ByteSize,
    /// Requests under way on one connection; 0 is 1000.
    #[attr(optional)]
    pub max_concurrent_streams: i64,
    /// Without effect: a message is read into a buffer of its own size.
    #[attr(default = ByteSize::kib(512))]
    pub read_buffer_size: ByteSize,
    /// Without effect: answers are small.
    #[attr(default = ByteSize(0))]
    pub write_buffer_size: ByteSize,
    /// How long connections live.
    #[block(optional)]
    pub keepalive: Keepalive,
    /// Who may send.
    #[attr]
    pub auth: Option<AuthHandler>,
    /// Lets later components see the headers of requests.
    #[attr(optional)]
    pub include_metadata: bool,
}

/// How long connections live.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Keepalive {
    /// What the server does.
    #[block(optional)]
    pub server_parameters: ServerParameters,
    /// What clients may do. No client is ever disconnected for its pings, so every policy is kept.
    #[block(optional)]
    pub enforcement_policy: EnforcementPolicy,
}

/// What the server does to connections. 0 is: never, or for `time` 2h and for `timeout` 20s.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct ServerParameters {
    /// Closes a connection that had no request for so long.
    #[attr(default = GoDuration::ZERO)]
    pub max_connection_idle: GoDuration,
    /// Closes a connection of this age.
    #[attr(default = GoDuration::ZERO)]
    pub max_connection_age: GoDuration,
    /// How long requests may go on after that.
    #[attr(default = GoDuration::ZERO)]
    pub max_connection_age_grace: GoDuration,
    /// Pings a client after so long without traffic.
    #[attr(default = GoDuration::ZERO)]
    pub time: GoDuration,
    /// How long the answer to a ping may take.
    #[attr(default = GoDuration::ZERO)]
    pub timeout: GoDuration,
}

/// What clients may do.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct EnforcementPolicy {
    /// Time between pings that is fine.
    #[attr(default = GoDuration::ZERO)]
    pub min_time: GoDuration,
    /// Whether pings are fine while no request is under way.
    #[attr(optional)]
    pub permit_without_stream: bool,
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
        check_endpoint(&self.endpoint)?;
        check_size("max_recv_msg_size", self.max_recv_msg_size)?;
        if self.max_concurrent_streams < 0 {
            return Err(Invalid::field("max_concurrent_streams", "must not be negative"));
        }
        match &self.transport[..] {
            "tcp" | "tcp4" | "tcp6" => Ok(()),
            "unix" => Err(not_yet("transport").with_hint("unix sockets are not supported yet; use tcp")),
            other => Err(Invalid::field("transport", format!("invalid transport type {other:?}"))),
        }
    }
}

impl Validate for HttpServer {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}
