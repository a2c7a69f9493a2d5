//! `otelcol.exporter.otlp`: sends OTLP over gRPC.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::duration::GoDuration;
use http::HeaderMap;
use language_eval::{Block, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::auth::ClientAuth;
use sdk_otel::client::{GrpcClient, GrpcSettings};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::exporter::{Exporter, SendError, Sending, Settings, Transport};
use sdk_otel::queue::SendingQueue;
use sdk_otel::retry::RetryOnFailure;
use sdk_protocols_grpc::{Channel, Code, Reply, Status};
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_queue::Body;
use sdk_signals::{Origin, OtelConsumer, OtlpSignal};

/// Sends metrics, logs and traces over OTLP gRPC.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How long one try may take; 0 is forever.
    #[attr(default = GoDuration::from_secs(5))]
    pub timeout: GoDuration,
    /// What waits in front of the remote end.
    #[block(optional)]
    pub sending_queue: SendingQueue,
    /// What happens to requests that fail.
    #[block(optional)]
    pub retry_on_failure: RetryOnFailure,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Where to send, and how.
    #[block(required)]
    pub client: GrpcClient,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct OtlpExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct Otlp {
    context: Context,
    exporter: Exporter,
    /// Why nothing is sent, whatever the remote end says.
    fault: Arc<Mutex<Option<String>>>,
}

/// Requests over one connection.
pub(crate) struct Grpc {
    channel: Channel,
    /// As it is shown.
    endpoint: String,
    timeout: Option<Duration>,
    auth: Option<Arc<dyn ClientAuth>>,
    /// Why nothing is sent: credentials that everybody could read.
    fault: Option<String>,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.timeout.0 < 0 {
            return Err(Invalid::field("timeout", "'timeout' must be non-negative"));
        }
        Ok(())
    }
}

// === impl Otlp ===

impl Component for Otlp {
    const NAME: &'static str = "otelcol.exporter.otlp";
    type Arguments = Arguments;
    type Exports = OtlpExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let fault = arguments.client.settings.credentials_in_clear(&arguments.client.endpoint);
        let exporter = Exporter::new(context, "otlp", settings(arguments)?);
        context.publish(&OtlpExports { input: exporter.input() });
        Ok(Otlp { context: context.clone(), exporter, fault: Arc::new(Mutex::new(fault)) })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let fault = arguments.client.settings.credentials_in_clear(&arguments.client.endpoint);
        let (exporter, settings) = (self.exporter.clone(), settings(arguments)?);
        let (context, current) = (self.context.clone(), self.fault.clone());
        Ok(Update::then(move || {
            exporter.replace(settings);
            say(&context, &fault);
            *current.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        say(&self.context, &self.fault.lock().unwrap_or_else(PoisonError::into_inner));
        self.exporter.run(stop).await;
        Ok(())
    }
}

fn say(context: &Context, fault: &Option<String>) {
    match fault {
        None => context.healthy("started"),
        Some(fault) => {
            tracing::error!(error = fault, "cannot send");
            context.unhealthy(fault);
        }
    }
}

pub(crate) fn settings(arguments: Arguments) -> Result<Settings, Problem> {
    let transport = Grpc::new(&arguments.client.settings, &arguments.client.endpoint, arguments.timeout)?;
    Ok(Settings { transport: Box::new(transport), queue: arguments.sending_queue, retry: arguments.retry_on_failure })
}

// === impl Grpc ===

impl Grpc {
    /// To this endpoint, over a connection of its own.
    pub(crate) fn new(client: &GrpcSettings, endpoint: &str, timeout: GoDuration) -> Result<Grpc, Problem> {
        let auth = client.auth.as_ref().map(|auth| auth.client()).transpose();
        Ok(Grpc {
            channel: client.channel(endpoint, crate::USER_AGENT)?,
            timeout: timeout.to_std().filter(|timeout| !timeout.is_zero()),
            auth: auth.map_err(|error| Problem::at("client", error))?,
            fault: client.credentials_in_clear(endpoint),
            endpoint: endpoint.rsplit_once('@').map_or(endpoint, |(_, host)| host).to_owned(),
        })
    }
}

impl Transport for Grpc {
    fn send<'a>(&'a self, signal: OtlpSignal, payload: Body, origin: Option<&'a Origin>) -> Sending<'a> {
        Box::pin(async move {
            let call = self.call(signal, payload, origin);
            let reply = match self.timeout {
                None => call.await?,
                Some(timeout) => match tokio::time::timeout(timeout, call).await {
                    Ok(reply) => reply?,
                    Err(_) => {
                        let message = format!("no answer within {}", GoDuration(timeout.as_nanos() as i64));
                        Err(Status::new(Code::DeadlineExceeded, message))
                    }
                },
            };
            match reply {
                Ok(reply) => Ok(PartialSuccess::from_proto(&reply.message)),
                Err(status) => Err(SendError {
                    message: format!("rpc error: code = {:?} desc = {}", status.code, status.message),
                    retryable: status.code.retryable(status.retry_delay),
                    retry_after: status.retry_delay,
                    code: Some(status.code),
                }),
            }
        })
    }

    fn endpoint(&self, _: OtlpSignal) -> Option<&str> {
        Some(&self.endpoint)
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        self.auth.as_ref()?.remember(origin)
    }
}

impl Grpc {
    /// One request; a second one if the server does not know us by the first and there is something else to show.
    ///
    /// # Errors
    /// There is nothing to show, or it must not be shown.
    async fn call(
        &self,
        signal: OtlpSignal,
        payload: Body,
        origin: Option<&Origin>,
    ) -> Result<Result<Reply, Status>, SendError> {
        if let Some(fault) = &self.fault {
            return Err(SendError::retryable(fault));
        }
        let unary = |headers| self.channel.unary(signal.grpc_path(), payload.clone().into(), headers);
        let Some(auth) = &self.auth else { return Ok(unary(HeaderMap::new()).await) };
        let mut again = true;
        loop {
            let mut headers = HeaderMap::new();
            auth.authenticate(origin, &mut headers).await.map_err(SendError::retryable)?;
            match unary(headers.clone()).await {
                Err(status)
                    if status.code == Code::Unauthenticated
                        && std::mem::take(&mut again)
                        && auth.rejected(&headers) => {}
                reply => return Ok(reply),
            }
        }
    }
}

#[cfg(test)]
mod tests;
