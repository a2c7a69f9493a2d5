//! The gRPC server.

use std::sync::Arc;

use sdk_component::Problem;
use sdk_otel::output::Outputs;
use sdk_protocols_grpc::server::Config;
use sdk_protocols_otlp::response::SUCCESS_PROTO;
use sdk_signals::OtlpSignal;

use super::GRPC;
use super::arguments::{Arguments, ServerParameters};
use crate::counters::Counters;
use crate::grpc_server::{Grpc, Method};
use crate::intake::Intake;
use crate::listener::{Protocol, Server, limit};

/// The server that the arguments ask for, if they do and anybody listens to it.
pub(super) fn server(arguments: &Arguments, outputs: &Outputs, counters: &Counters) -> Result<Option<Server>, Problem> {
    let Some(grpc) = &arguments.grpc else { return Ok(None) };
    let method = |signal: OtlpSignal| Method { path: signal.grpc_path(), signal, read: Ok, answer: SUCCESS_PROTO };
    let methods: Vec<Method> =
        OtlpSignal::ALL.into_iter().filter(|s| !arguments.output.of(*s).is_empty()).map(method).collect();
    if methods.is_empty() {
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
        methods,
        counters: counters.clone(),
        transport: GRPC,
    });
    Ok(Some(Server {
        name: "gRPC",
        endpoint: grpc.endpoint.clone(),
        tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
        protocol: Protocol::Grpc { config, service },
    }))
}
