//! The gRPC server.

use sdk_component::Problem;
use sdk_protocols_otlp::response::SUCCESS_PROTO;
use sdk_signals::OtlpSignal;

use super::GRPC;
use super::arguments::Arguments;
use crate::grpc_server::Method;
use crate::listener::Server;
use crate::serving::Site;

/// The server that the arguments ask for, if they do and anybody listens to it.
pub(super) fn server(arguments: &Arguments, site: &Site) -> Result<Option<Server>, Problem> {
    let Some(grpc) = &arguments.grpc else { return Ok(None) };
    let method = |signal: OtlpSignal| Method { path: signal.grpc_path(), signal, read: Ok, answer: SUCCESS_PROTO };
    let methods: Vec<Method> =
        OtlpSignal::ALL.into_iter().filter(|s| !arguments.output.of(*s).is_empty()).map(method).collect();
    if methods.is_empty() {
        return Ok(None);
    }
    grpc.settings.server("grpc", &grpc.endpoint, site, methods, GRPC).map(Some)
}
