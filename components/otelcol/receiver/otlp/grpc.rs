//! The gRPC server.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sdk_component::Problem;
use sdk_otel::output::Outputs;
use sdk_protocols_grpc::server::{Config, Headers, Service};
use sdk_protocols_grpc::{Code, Status};
use sdk_protocols_otlp::response::SUCCESS_PROTO;
use sdk_signals::{Origin, OtlpSignal};

use super::arguments::{Arguments, ServerParameters};
use super::counters::Counters;
use super::intake::{Fault, Intake};
use super::listener::{Protocol, Server, limit};

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
    let defaults = Config::default();
    let config = Config {
        message_limit: grpc.max_recv_msg_size.to_usize().filter(|size| *size > 0).unwrap_or(defaults.message_limit),
        // As good as without a limit when it is 0, but not without one.
        max_streams: u32::try_from(grpc.max_concurrent_streams).ok().filter(|n| *n > 0).unwrap_or(defaults.max_streams),
        idle: limit(max_connection_idle),
        age: limit(max_connection_age),
        age_grace: limit(max_connection_age_grace),
        ping_after: limit(time).unwrap_or(defaults.ping_after),
        ping_timeout: limit(timeout).unwrap_or(defaults.ping_timeout),
    };
    let service = Arc::new(Grpc {
        intake: Intake { outputs: outputs.clone(), auth, include_metadata: grpc.include_metadata },
        signals,
        counters: counters.clone(),
    });
    Ok(Some(Server {
        name: "gRPC",
        endpoint: grpc.endpoint.clone(),
        tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
        protocol: Protocol::Grpc { config, service },
    }))
}

pub(super) struct Grpc {
    intake: Intake,
    signals: Vec<OtlpSignal>,
    counters: Counters,
}

/// The service for one connection.
pub(super) struct Connected {
    grpc: Arc<Grpc>,
    peer: IpAddr,
    /// Of calls of which nothing else is known.
    origin: Arc<Origin>,
}

// === impl Connected ===

impl Connected {
    pub(super) fn new(grpc: Arc<Grpc>, peer: IpAddr) -> Connected {
        let origin = Arc::new(Origin { peer: Some(peer), ..Origin::default() });
        Connected { grpc, peer, origin }
    }
}

impl Service for Connected {
    type Admission = (OtlpSignal, Arc<Origin>);

    fn admit(&self, path: &str, headers: &Headers) -> Result<Self::Admission, Status> {
        let Grpc { intake, signals, .. } = &*self.grpc;
        let Some(signal) = signals.iter().copied().find(|signal| signal.grpc_path() == path) else {
            return Err(Status::new(Code::Unimplemented, format!("unknown service or method {path}")));
        };
        if intake.needs_headers() {
            let headers: HeaderMap = headers.to_map();
            return Ok((signal, intake.origin(&headers, self.peer)?));
        }
        Ok((signal, self.origin.clone()))
    }

    async fn call(self: Arc<Self>, (signal, origin): Self::Admission, message: Bytes) -> Result<Bytes, Status> {
        let Grpc { intake, counters, .. } = &*self.grpc;
        match intake.take(signal, message, origin, counters.grpc()).await {
            Ok(()) => Ok(Bytes::from_static(SUCCESS_PROTO)),
            Err(Fault::Refused(status)) => Err(status),
            Err(Fault::Malformed(why)) => {
                Err(Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}")))
            }
        }
    }
}
