//! The gRPC server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sdk_component::Problem;
use sdk_otel::output::Outputs;
use sdk_protocols_grpc::server::{refusal, unary};
use sdk_protocols_grpc::{Body, Code, Status};
use sdk_protocols_otlp::response::SUCCESS_PROTO;
use sdk_signals::OtlpSignal;

use super::arguments::{Arguments, ServerParameters};
use super::counters::Counters;
use super::intake::{Fault, Intake};
use super::listener::{Limits, Protocol, Server, Service, limit};

/// What a client may send before it waits for us, per request and per connection.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 24 << 20;
/// Large frames mean fewer of them; a client decides.
const FRAME: u32 = 1 << 20;
/// `max_recv_msg_size` when it is 0.
const MESSAGE_LIMIT: usize = 4 << 20;
/// `max_concurrent_streams` when it is 0: as good as without a limit, but not one.
const STREAMS: u32 = 1000;

/// The server that the arguments ask for, if they do and anybody listens to it.
pub(super) fn server(arguments: &Arguments, outputs: &Outputs, counters: &Counters) -> Result<Option<Server>, Problem> {
    let Some(grpc) = &arguments.grpc else { return Ok(None) };
    let signals: Vec<OtlpSignal> =
        OtlpSignal::ALL.into_iter().filter(|s| !arguments.output.of(*s).is_empty()).collect();
    if signals.is_empty() {
        return Ok(None);
    }
    let auth = grpc.auth.as_ref().map(|auth| auth.server()).transpose().map_err(|error| Problem::at("grpc", error))?;
    let tls = grpc.tls.as_ref().map(|tls| tls.config(&[b"h2"])).transpose();
    let ServerParameters { max_connection_idle, max_connection_age, max_connection_age_grace, time, timeout } =
        grpc.keepalive.server_parameters.clone();
    let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(u32::try_from(grpc.max_concurrent_streams).ok().filter(|n| *n > 0).unwrap_or(STREAMS))
        .keep_alive_interval(Some(limit(time).unwrap_or(Duration::from_secs(2 * 60 * 60))))
        .keep_alive_timeout(limit(timeout).unwrap_or(Duration::from_secs(20)));
    Ok(Some(Server {
        name: "gRPC",
        endpoint: grpc.endpoint.clone(),
        tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
        protocol: Protocol::Http2(http2),
        limits: Limits {
            idle: limit(max_connection_idle),
            age: limit(max_connection_age),
            age_grace: limit(max_connection_age_grace),
        },
        service: Arc::new(Grpc {
            intake: Intake { outputs: outputs.clone(), auth, include_metadata: grpc.include_metadata },
            signals,
            message_limit: grpc.max_recv_msg_size.to_usize().filter(|size| *size > 0).unwrap_or(MESSAGE_LIMIT),
            counters: counters.clone(),
        }),
    }))
}

struct Grpc {
    intake: Intake,
    signals: Vec<OtlpSignal>,
    message_limit: usize,
    counters: Counters,
}

// === impl Grpc ===

impl Service for Grpc {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let path = request.uri().path();
        let Some(signal) = self.signals.iter().copied().find(|signal| signal.grpc_path() == path) else {
            let message = format!("unknown service or method {path}");
            return refusal(&Status::new(Code::Unimplemented, message));
        };
        let origin = match self.intake.origin(request.headers(), peer) {
            Ok(origin) => origin,
            Err(status) => return refusal(&status),
        };
        unary(request, self.message_limit, |message| async move {
            match self.intake.take(signal, message, origin, self.counters.grpc()).await {
                Ok(()) => Ok(Bytes::from_static(SUCCESS_PROTO)),
                Err(Fault::Refused(status)) => Err(status),
                Err(Fault::Malformed(why)) => {
                    Err(Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}")))
                }
            }
        })
        .await
    }
}
