//! `otelcol.receiver.jaeger`: takes spans of Jaeger as its collector and its agent did, and hands them on as OTLP.

mod agent;
mod arguments;
mod http;
mod model;
mod proto;
mod thrift;
mod translate;

use std::sync::Arc;

use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::output::Output;
use sdk_protocols_thrift::Encoding;
use sdk_signals::OtlpSignal;

use crate::grpc_server::Method;
use crate::listener::Server;
use crate::serving::{self, Serving, Site, kept};
use agent::Agent;
pub use arguments::{Arguments, Grpc, Protocols, ThriftBinary, ThriftCompact, ThriftHttp, UdpSettings};

/// The ways in, as the metrics name them.
const TRANSPORTS: [&str; 4] = ["grpc", "collector_http", "udp_thrift_binary", "udp_thrift_compact"];
/// Their places among the counters.
const GRPC: usize = 0;
const HTTP: usize = 1;
const BINARY: usize = 2;
const COMPACT: usize = 3;

/// The component.
pub struct Jaeger(Serving<Servers>);

/// What listens.
#[derive(Default)]
struct Servers {
    grpc: Option<Arc<Server>>,
    http: Option<Arc<Server>>,
    binary: Option<Arc<Agent>>,
    compact: Option<Arc<Agent>>,
}

// === impl Jaeger ===

impl Component for Jaeger {
    const NAME: &'static str = "otelcol.receiver.jaeger";
    type Arguments = Arguments;
    type Exports = ();

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        Serving::build(context, arguments).map(Jaeger)
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        self.0.update(arguments)
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let (serving, health) = (&self.0, self.0.healths());
        tokio::join!(
            serving.run(|servers| servers.grpc.clone(), health.of("gRPC"), &stop),
            serving.run(|servers| servers.http.clone(), health.of("HTTP"), &stop),
            serving.run(|servers| servers.binary.clone(), health.of("binary UDP"), &stop),
            serving.run(|servers| servers.compact.clone(), health.of("compact UDP"), &stop),
        );
        Ok(())
    }
}

// === impl Servers ===

impl serving::Servers for Servers {
    type Arguments = Arguments;
    const KIND: &'static str = "jaeger";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces];
    const TRANSPORTS: &'static [&'static str] = &TRANSPORTS;

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn make(site: &Site, arguments: &Arguments, running: Option<(&Arguments, &Servers)>) -> Result<Servers, Problem> {
        if arguments.output.traces.is_empty() {
            return Ok(Servers::default());
        }
        let Protocols { grpc, thrift_http, thrift_binary, thrift_compact } = &arguments.protocols;
        let running = running.map(|(current, servers)| (&current.protocols, servers));
        Ok(Servers {
            grpc: kept(running.map(|(of, servers)| (&of.grpc, &servers.grpc)), grpc, || {
                let server = |grpc: &Grpc| {
                    let post_spans = Method {
                        path: "/jaeger.api_v2.CollectorService/PostSpans",
                        signal: OtlpSignal::Traces,
                        read: proto::read,
                        answer: b"",
                    };
                    grpc.settings.server("grpc", &grpc.endpoint, site, vec![post_spans], GRPC)
                };
                grpc.as_ref().map(server).transpose()
            })?,
            http: kept(running.map(|(of, servers)| (&of.thrift_http, &servers.http)), thrift_http, || {
                let server = |http: &ThriftHttp| {
                    let batches = http::Batches { counters: site.counters.clone() };
                    http.settings.server("thrift_http", &http.endpoint, site, batches)
                };
                thrift_http.as_ref().map(server).transpose()
            })?,
            binary: kept(running.map(|(of, servers)| (&of.thrift_binary, &servers.binary)), thrift_binary, || {
                let agent =
                    |udp: &ThriftBinary| Agent::new(site, &udp.endpoint, &udp.settings, Encoding::Binary, BINARY);
                Ok(thrift_binary.as_ref().map(agent))
            })?,
            compact: kept(running.map(|(of, servers)| (&of.thrift_compact, &servers.compact)), thrift_compact, || {
                let agent =
                    |udp: &ThriftCompact| Agent::new(site, &udp.endpoint, &udp.settings, Encoding::Compact, COMPACT);
                Ok(thrift_compact.as_ref().map(agent))
            })?,
        })
    }
}

#[cfg(test)]
mod tests;
