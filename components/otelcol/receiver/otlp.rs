//! `otelcol.receiver.otlp`: takes OTLP over gRPC and HTTP.
//!
//! A request stays the bytes that came: it is expanded, checked, counted and handed on. It is answered when the pipeline
//! has taken it, and refused with the protocol's retryable code when the pipeline refuses.

mod arguments;
mod grpc;
mod http;

use std::sync::Arc;

use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::output::Output;
use sdk_signals::OtlpSignal;

use crate::listener::Server;
use crate::serving::{self, Serving, Site, kept};
pub use arguments::{Arguments, GrpcServer, HttpServer};

/// The places of the two among the counters.
const GRPC: usize = 0;
const HTTP: usize = 1;

/// The component.
pub struct Otlp(Serving<Servers>);

/// What listens.
struct Servers {
    grpc: Option<Arc<Server>>,
    http: Option<Arc<Server>>,
}

// === impl Otlp ===

impl Component for Otlp {
    const NAME: &'static str = "otelcol.receiver.otlp";
    type Arguments = Arguments;
    type Exports = ();

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        Serving::build(context, arguments).map(Otlp)
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        self.0.update(arguments)
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let (serving, health) = (&self.0, self.0.healths());
        tokio::join!(
            serving.run(|servers| servers.grpc.clone(), health.of("gRPC"), &stop),
            serving.run(|servers| servers.http.clone(), health.of("HTTP"), &stop),
        );
        Ok(())
    }
}

// === impl Servers ===

impl serving::Servers for Servers {
    type Arguments = Arguments;
    const KIND: &'static str = "otlp";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs];
    const TRANSPORTS: &'static [&'static str] = &["grpc", "http"];

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn make(site: &Site, arguments: &Arguments, running: Option<(&Arguments, &Servers)>) -> Result<Servers, Problem> {
        let grpc = running.map(|(current, servers)| (&current.grpc, &servers.grpc));
        let http = running.map(|(current, servers)| (&current.http, &servers.http));
        Ok(Servers {
            grpc: kept(grpc, &arguments.grpc, || grpc::server(arguments, site))?,
            http: kept(http, &arguments.http, || http::server(arguments, site))?,
        })
    }
}

#[cfg(test)]
mod tests;
