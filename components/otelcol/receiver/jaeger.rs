//! `otelcol.receiver.jaeger`: takes spans of Jaeger as its collector and its agent did, and hands them on as OTLP.

mod agent;
mod arguments;
mod http;
mod model;
mod proto;
mod thrift;
mod translate;

use std::sync::{Arc, Mutex, PoisonError};

use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::output::Outputs;
use sdk_protocols_thrift::Encoding;
use sdk_signals::OtlpSignal;
use tokio::sync::watch;

use crate::counters::Counters;
use crate::grpc_server::Method;
use crate::listener::{self, Server};
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
pub struct Jaeger {
    context: Context,
    outputs: Outputs,
    /// The servers to run; a changed one is started anew.
    servers: watch::Sender<Arc<Servers>>,
    counters: Counters,
    /// The arguments in use, to see what an update changes.
    current: Arc<Mutex<Arguments>>,
}

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
        let outputs = Outputs::new(context, &arguments.output);
        let name = format!("jaeger/{}", context.id());
        let counters = Counters::new(context.metrics(), &name, &[OtlpSignal::Traces], &TRANSPORTS);
        let servers = Servers::new(context, &arguments, &outputs, &counters, None)?;
        Ok(Jaeger {
            context: context.clone(),
            outputs,
            servers: watch::Sender::new(Arc::new(servers)),
            counters,
            current: Arc::new(Mutex::new(arguments)),
        })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let running = self.servers.borrow().clone();
        let servers = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let running = Some((&*current, &*running))
                .filter(|(current, _)| current.output.traces.is_empty() == arguments.output.traces.is_empty());
            Servers::new(&self.context, &arguments, &self.outputs, &self.counters, running)?
        };
        let (outputs, sender, current) = (self.outputs.clone(), self.servers.clone(), self.current.clone());
        Ok(Update::then(move || {
            outputs.replace(&arguments.output);
            sender.send_replace(Arc::new(servers));
            *current.lock().unwrap_or_else(PoisonError::into_inner) = arguments;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let health = listener::Healths::new(&self.context);
        let (context, servers) = (&self.context, || self.servers.subscribe());
        tokio::join!(
            listener::run(context, servers(), |servers| servers.grpc.clone(), health.of("gRPC"), &stop),
            listener::run(context, servers(), |servers| servers.http.clone(), health.of("HTTP"), &stop),
            listener::run(context, servers(), |servers| servers.binary.clone(), health.of("binary UDP"), &stop),
            listener::run(context, servers(), |servers| servers.compact.clone(), health.of("compact UDP"), &stop),
        );
        Ok(())
    }
}

// === impl Servers ===

impl Servers {
    /// What the arguments ask for, if anybody listens to it; what runs already with these arguments goes on.
    fn new(
        context: &Context,
        arguments: &Arguments,
        outputs: &Outputs,
        counters: &Counters,
        running: Option<(&Arguments, &Servers)>,
    ) -> Result<Servers, Problem> {
        let mut servers = Servers::default();
        if arguments.output.traces.is_empty() {
            return Ok(servers);
        }
        let Protocols { grpc, thrift_http, thrift_binary, thrift_compact } = &arguments.protocols;
        let kept = |same: fn(&Protocols, &Protocols) -> bool| {
            running.filter(|(current, _)| same(&current.protocols, &arguments.protocols)).map(|(_, servers)| servers)
        };
        if let Some(running) = kept(|a, b| a.grpc == b.grpc) {
            servers.grpc = running.grpc.clone();
        } else if let Some(grpc) = grpc {
            let post_spans = Method {
                path: "/jaeger.api_v2.CollectorService/PostSpans",
                signal: OtlpSignal::Traces,
                read: proto::read,
                answer: b"",
            };
            let server = grpc.settings.server("grpc", &grpc.endpoint, outputs, vec![post_spans], counters, GRPC)?;
            servers.grpc = Some(Arc::new(server));
        }
        if let Some(running) = kept(|a, b| a.thrift_http == b.thrift_http) {
            servers.http = running.http.clone();
        } else if let Some(http) = thrift_http {
            let batches = http::Batches { counters: counters.clone() };
            servers.http = Some(Arc::new(http.settings.server("thrift_http", &http.endpoint, outputs, batches)?));
        }
        let agent = |endpoint: &str, settings: &UdpSettings, encoding, transport| {
            Some(Arc::new(Agent::new(context, endpoint, settings, encoding, outputs, counters, transport)))
        };
        if let Some(running) = kept(|a, b| a.thrift_binary == b.thrift_binary) {
            servers.binary = running.binary.clone();
        } else if let Some(udp) = thrift_binary {
            servers.binary = agent(&udp.endpoint, &udp.settings, Encoding::Binary, BINARY);
        }
        if let Some(running) = kept(|a, b| a.thrift_compact == b.thrift_compact) {
            servers.compact = running.compact.clone();
        } else if let Some(udp) = thrift_compact {
            servers.compact = agent(&udp.endpoint, &udp.settings, Encoding::Compact, COMPACT);
        }
        Ok(servers)
    }
}

#[cfg(test)]
mod tests;
