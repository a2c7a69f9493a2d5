//! `otelcol.receiver.otlp`: takes OTLP over gRPC and HTTP.
//!
//! A request stays the bytes that came: it is expanded, checked, counted and handed on. It is answered when the pipeline
//! has taken it, and refused with the protocol's retryable code when the pipeline refuses.

mod arguments;
mod grpc;
mod http;

use std::sync::{Arc, Mutex, PoisonError};

use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::output::Outputs;
use sdk_signals::OtlpSignal;
use tokio::sync::watch;

use crate::counters::Counters;
use crate::listener::{self, Server};
pub use arguments::{Arguments, GrpcServer, HttpServer};

/// The places of the two among the counters.
const GRPC: usize = 0;
const HTTP: usize = 1;

/// The component.
pub struct Otlp {
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
}

// === impl Otlp ===

impl Component for Otlp {
    const NAME: &'static str = "otelcol.receiver.otlp";
    type Arguments = Arguments;
    type Exports = ();

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let outputs = Outputs::new(context, &arguments.output);
        let counters = Counters::new(
            context.metrics(),
            &format!("otlp/{}", context.id()),
            &[OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs],
            &["grpc", "http"],
        );
        let servers = Servers {
            grpc: grpc::server(&arguments, &outputs, &counters)?.map(Arc::new),
            http: http::server(&arguments, &outputs, &counters)?.map(Arc::new),
        };
        Ok(Otlp {
            context: context.clone(),
            outputs,
            servers: watch::Sender::new(Arc::new(servers)),
            counters,
            current: Arc::new(Mutex::new(arguments)),
        })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (same_grpc, same_http) = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let listens = |arguments: &Arguments| {
                [&arguments.output.traces, &arguments.output.metrics, &arguments.output.logs]
                    .map(|list| !list.is_empty())
            };
            let same_signals = listens(&current) == listens(&arguments);
            (same_signals && current.grpc == arguments.grpc, same_signals && current.http == arguments.http)
        };
        let running = self.servers.borrow().clone();
        let servers = Servers {
            grpc: if same_grpc {
                running.grpc.clone()
            } else {
                grpc::server(&arguments, &self.outputs, &self.counters)?.map(Arc::new)
            },
            http: if same_http {
                running.http.clone()
            } else {
                http::server(&arguments, &self.outputs, &self.counters)?.map(Arc::new)
            },
        };
        let (outputs, sender) = (self.outputs.clone(), self.servers.clone());
        let current = self.current.clone();
        Ok(Update::then(move || {
            outputs.replace(&arguments.output);
            sender.send_replace(Arc::new(servers));
            *current.lock().unwrap_or_else(PoisonError::into_inner) = arguments;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let health = listener::Healths::new(&self.context);
        tokio::join!(
            listener::run(
                &self.context,
                self.servers.subscribe(),
                |servers| servers.grpc.clone(),
                health.of("gRPC"),
                &stop
            ),
            listener::run(
                &self.context,
                self.servers.subscribe(),
                |servers| servers.http.clone(),
                health.of("HTTP"),
                &stop
            ),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
