//! `otelcol.exporter.otlphttp`: sends OTLP over HTTP.

use std::sync::Arc;

use language_eval::{Block, Exports, Invalid, Validate, Word};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_net::shown_url;
use sdk_otel::client::{HttpClient, HttpReply, HttpSender};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::exporter::{Exporter, SendError, Sending, Settings, Transport};
use sdk_otel::queue::SendingQueue;
use sdk_otel::retry::RetryOnFailure;
use sdk_protocols_otlp::json::to_json;
use sdk_protocols_otlp::response::PartialSuccess;
use sdk_protocols_otlp::status::{Code, Status, http_retryable};
use sdk_queue::Body;
use sdk_signals::{Origin, OtelConsumer, OtlpSignal};
use url::Url;

/// Sends metrics, logs and traces over OTLP HTTP.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Where to send, and how.
    #[block(required)]
    pub client: HttpClient,
    /// What waits in front of the remote end.
    #[block(optional)]
    pub sending_queue: SendingQueue,
    /// What happens to requests that fail.
    #[block(optional)]
    pub retry_on_failure: RetryOnFailure,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// The URL for traces, instead of `<endpoint>/v1/traces`.
    #[attr(optional)]
    pub traces_endpoint: String,
    /// The URL for metrics, instead of `<endpoint>/v1/metrics`.
    #[attr(optional)]
    pub metrics_endpoint: String,
    /// The URL for logs, instead of `<endpoint>/v1/logs`.
    #[attr(optional)]
    pub logs_endpoint: String,
    /// How requests are encoded.
    #[attr(default = Encoding::Proto)]
    pub encoding: Encoding,
}

/// How requests are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Encoding {
    /// As protobuf.
    Proto,
    /// As OTLP/JSON.
    Json,
}

/// What the component exports.
#[derive(Clone, Debug, Exports)]
pub struct OtlpHttpExports {
    /// Takes metrics, logs and traces.
    pub input: OtelConsumer,
}

/// The component.
pub struct OtlpHttp {
    context: Context,
    exporter: Exporter,
}

struct Http {
    sender: HttpSender,
    /// By signal.
    urls: [Option<Url>; 3],
    /// The same, as they may be shown.
    shown: [Option<String>; 3],
    encoding: Encoding,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        let own = [&self.traces_endpoint, &self.metrics_endpoint, &self.logs_endpoint];
        if self.client.endpoint.is_empty() && own.into_iter().all(String::is_empty) {
            return Err(Invalid::block("at least one endpoint must be specified"));
        }
        for (field, signal) in [
            ("traces_endpoint", OtlpSignal::Traces),
            ("metrics_endpoint", OtlpSignal::Metrics),
            ("logs_endpoint", OtlpSignal::Logs),
        ] {
            let field = if self.own(signal).is_empty() { "client" } else { field };
            self.url(signal).map_err(|message| Invalid::field(field, message))?;
        }
        Ok(())
    }
}

impl Arguments {
    fn own(&self, signal: OtlpSignal) -> &str {
        match signal {
            OtlpSignal::Traces => &self.traces_endpoint,
            OtlpSignal::Metrics => &self.metrics_endpoint,
            OtlpSignal::Logs => &self.logs_endpoint,
        }
    }

    /// Where a signal goes; `None` when it has no endpoint.
    fn url(&self, signal: OtlpSignal) -> Result<Option<Url>, String> {
        let base = &self.client.endpoint;
        let text = match (self.own(signal), &base[..]) {
            ("", "") => return Ok(None),
            ("", base) => format!("{}/v1/{}", base.strip_suffix('/').unwrap_or(base), signal.name()),
            (own, _) => own.to_owned(),
        };
        let url: Url = text.parse().map_err(|error| format!("endpoint must be a valid URL: {error}"))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(Some(url)),
            _ => Err("endpoint must be a URL that begins with http:// or https://".to_owned()),
        }
    }
}

// === impl OtlpHttp ===

impl Component for OtlpHttp {
    const NAME: &'static str = "otelcol.exporter.otlphttp";
    type Arguments = Arguments;
    type Exports = OtlpHttpExports;

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let exporter = Exporter::new(context, "otlphttp", settings(arguments)?);
        context.publish(&OtlpHttpExports { input: exporter.input() });
        Ok(OtlpHttp { context: context.clone(), exporter })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let (exporter, settings) = (self.exporter.clone(), settings(arguments)?);
        Ok(Update::then(move || exporter.replace(settings)))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.context.healthy("started");
        self.exporter.run(stop).await;
        Ok(())
    }
}

pub(crate) fn settings(arguments: Arguments) -> Result<Settings, Problem> {
    let url = |signal| arguments.url(signal).map_err(|message| Problem::at("client", message));
    let urls = [url(OtlpSignal::Traces)?, url(OtlpSignal::Metrics)?, url(OtlpSignal::Logs)?];
    let secure = urls.iter().flatten().any(|url| url.scheme() == "https") || !arguments.client.proxy_url.is_empty();
    let transport = Http {
        sender: HttpSender::new(arguments.client, crate::USER_AGENT, secure)?,
        shown: urls.clone().map(|url| url.map(|url| shown_url(url.as_str()))),
        urls,
        encoding: arguments.encoding,
    };
    Ok(Settings { transport: Box::new(transport), queue: arguments.sending_queue, retry: arguments.retry_on_failure })
}

// === impl Http ===

impl Transport for Http {
    fn send<'a>(&'a self, signal: OtlpSignal, payload: Body, origin: Option<&'a Origin>) -> Sending<'a> {
        Box::pin(async move {
            let Some(url) = &self.urls[signal as usize] else {
                return Err(SendError::permanent(format!("no endpoint for {}", signal.name())));
            };
            let (kind, body) = match self.encoding {
                Encoding::Proto => ("application/x-protobuf", payload.joined()),
                Encoding::Json => ("application/json", to_json(signal, &payload.joined()).into()),
            };
            let reply = self.sender.post(url, kind, body, origin).await.map_err(SendError::retryable)?;
            if reply.status.is_success() {
                return Ok(match is_json(&reply) {
                    true => PartialSuccess::from_json(signal, &reply.body),
                    false => PartialSuccess::from_proto(&reply.body),
                });
            }
            Err(refusal(&reply))
        })
    }

    fn endpoint(&self, signal: OtlpSignal) -> Option<&str> {
        self.shown[signal as usize].as_deref()
    }

    fn remember(&self, origin: &Origin) -> Option<Origin> {
        self.sender.auth()?.remember(origin)
    }
}

fn refusal(reply: &HttpReply) -> SendError {
    let status = match is_json(reply) {
        true => Status::from_json(&reply.body).map(|status| status.message),
        false => Some(Status::from_proto(&reply.body).message),
    };
    let why = status.filter(|message| !message.is_empty()).map(|message| format!(": {message}")).unwrap_or_default();
    let code = reply.status.as_u16();
    SendError {
        message: format!("HTTP status {}{why}", reply.status),
        retryable: http_retryable(code),
        retry_after: if matches!(code, 429 | 503) { reply.retry_after() } else { None },
        code: Some(Code::of_http(code)),
    }
}

fn is_json(reply: &HttpReply) -> bool {
    let kind = reply.headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

#[cfg(test)]
mod tests;
