//! A gRPC server whose methods take telemetry: OTLP's own, or one that is translated into it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base_stdx::{bytesize::ByteSize, duration::GoDuration};
use bytes::Bytes;
use http::HeaderMap;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_otel::auth::AuthHandler;
use sdk_otel::not_yet;
use sdk_otel::tls::TlsServer;
use sdk_protocols_grpc::server::{Config, Headers, Service};
use sdk_protocols_grpc::{Code, Status};
use sdk_signals::{Origin, OtlpSignal};

use crate::counters::Counters;
use crate::http_server::check_size;
use crate::intake::{Fault, Intake, status};
use crate::listener::{Protocol, Server, limit};
use crate::serving::Site;

/// How a gRPC server listens, apart from where.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct GrpcSettings {
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

/// One method.
pub(crate) struct Method {
    pub(crate) path: &'static str,
    pub(crate) signal: OtlpSignal,
    /// Makes an OTLP payload of a message; the error says what is wrong with it.
    pub(crate) read: fn(Bytes) -> Result<Bytes, String>,
    /// What says that it was taken.
    pub(crate) answer: &'static [u8],
}

/// What all connections of a server share.
pub(crate) struct Grpc {
    pub(crate) intake: Intake,
    pub(crate) methods: Vec<Method>,
    pub(crate) counters: Counters,
    /// Which of the counters.
    pub(crate) transport: usize,
}

/// The service for one connection.
pub(crate) struct Connected {
    grpc: Arc<Grpc>,
    peer: IpAddr,
    /// Of calls of which nothing else is known.
    origin: Arc<Origin>,
}

// === validation ===

impl Validate for GrpcSettings {
    fn validate(&self) -> Result<(), Invalid> {
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

// === impl GrpcSettings ===

impl GrpcSettings {
    /// A server on `endpoint` with these methods; `at` is where the arguments stand.
    pub(crate) fn server(
        &self,
        at: &'static str,
        endpoint: &str,
        site: &Site,
        methods: Vec<Method>,
        transport: usize,
    ) -> Result<Server, Problem> {
        let auth = self.auth.as_ref().map(|auth| auth.server()).transpose().map_err(|error| Problem::at(at, error))?;
        let tls = self.tls.as_ref().map(|tls| tls.config(&[b"h2"])).transpose();
        let ServerParameters { max_connection_idle, max_connection_age, max_connection_age_grace, time, timeout } =
            self.keepalive.server_parameters.clone();
        let defaults = Config::default();
        let max_streams = u32::try_from(self.max_concurrent_streams).ok().filter(|n| *n > 0);
        let config = Config {
            message_limit: self.max_recv_msg_size.to_usize().filter(|size| *size > 0).unwrap_or(defaults.message_limit),
            // As good as without a limit when it is 0, but not without one.
            max_streams: max_streams.unwrap_or(defaults.max_streams),
            idle: limit(max_connection_idle),
            age: limit(max_connection_age),
            age_grace: limit(max_connection_age_grace),
            ping_after: limit(time).unwrap_or(defaults.ping_after),
            ping_timeout: limit(timeout).unwrap_or(defaults.ping_timeout),
        };
        let service = Arc::new(Grpc {
            intake: Intake { outputs: site.outputs.clone(), auth, include_metadata: self.include_metadata },
            methods,
            counters: site.counters.clone(),
            transport,
        });
        Ok(Server {
            name: "gRPC",
            endpoint: endpoint.to_owned(),
            tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
            protocol: Protocol::Grpc { config, service },
        })
    }
}

// === impl Connected ===

impl Connected {
    pub(crate) fn new(grpc: Arc<Grpc>, peer: IpAddr) -> Connected {
        let origin = Arc::new(Origin { peer: Some(peer), ..Origin::default() });
        Connected { grpc, peer, origin }
    }
}

impl Service for Connected {
    /// The place of the method in the list, and who asks.
    type Admission = (usize, Arc<Origin>);

    fn admit(&self, path: &str, headers: &Headers) -> Result<Self::Admission, Status> {
        let Grpc { intake, methods, .. } = &*self.grpc;
        let Some(method) = methods.iter().position(|method| method.path == path) else {
            return Err(Status::new(Code::Unimplemented, format!("unknown service or method {path}")));
        };
        if intake.needs_headers() {
            let headers: HeaderMap = headers.to_map();
            return Ok((method, intake.origin(&headers, self.peer)?));
        }
        Ok((method, self.origin.clone()))
    }

    async fn call(self: Arc<Self>, (method, origin): Self::Admission, message: Bytes) -> Result<Bytes, Status> {
        let Grpc { intake, methods, counters, transport } = &*self.grpc;
        let Method { signal, read, answer, .. } = &methods[method];
        let taken = match read(message) {
            Ok(payload) => intake.take(*signal, payload, origin, counters.of(*transport)).await,
            Err(why) => {
                counters.of(*transport).malformed();
                Err(Fault::Malformed(why))
            }
        };
        match taken {
            Ok(()) => Ok(Bytes::from_static(answer)),
            Err(Fault::Refused(refused)) => Err(match (refused.retryable, status(refused)) {
                // A backend said so over HTTP, where it may be tried again; over gRPC it must not be without a delay
                // (OTLP specification, "OTLP/gRPC Throttling").
                (true, status) if !status.code.retryable(status.retry_delay) => status.retry_after(Duration::ZERO),
                (_, status) => status,
            }),
            Err(Fault::Malformed(why)) => {
                Err(Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}")))
            }
        }
    }
}
