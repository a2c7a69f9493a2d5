//! `otelcol.receiver.zipkin`: takes spans of Zipkin over HTTP, in both versions of its format and all their encodings, and hands them on as OTLP.
//!
//! As the Collector, it looks at no method, and at the path only to tell the versions apart.

mod json;
mod model;
mod proto;
mod thrift;
mod translate;
mod v1;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::{Output, Outputs};
use sdk_protocols_grpc::Body;
use sdk_protocols_otlp::model::Message as _;
use sdk_signals::{Origin, OtlpSignal};
use tokio::sync::watch;

use crate::counters::Counters;
use crate::http_server::{Answers, Front, HttpSettings, answer, check_endpoint};
use crate::intake::Fault;
use crate::listener::{self, Server};

/// Takes spans of Zipkin and hands them on.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Makes numbers and truth values of tags that look like them.
    #[attr(optional)]
    pub parse_string_tags: bool,
    /// `host:port` to listen on.
    #[attr(default = "0.0.0.0:9411".to_owned())]
    pub endpoint: String,
    /// How it listens.
    #[squash]
    pub settings: HttpSettings,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Where to send what is received.
    #[block(required)]
    pub output: Output,
}

/// The component.
pub struct Zipkin {
    context: Context,
    outputs: Outputs,
    /// The server to run; a changed one is started anew.
    server: watch::Sender<Arc<Option<Arc<Server>>>>,
    counters: Counters,
    /// The arguments in use, to see what an update changes.
    current: Arc<Mutex<Arguments>>,
}

/// What answers the requests.
struct Spans {
    parse_string_tags: bool,
    counters: Counters,
}

/// What a request holds. The number is its place among the counters.
#[derive(Clone, Copy)]
enum Form {
    V1Thrift,
    V1Json,
    V2Json,
    V2Proto,
}

/// The forms as the metrics name them, in the order of [`Form`].
const TRANSPORTS: [&str; 4] = ["http_v1_thrift", "http_v1_json", "http_v2_json", "http_v2_proto"];

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        check_endpoint(&self.endpoint)
    }
}

// === impl Zipkin ===

impl Component for Zipkin {
    const NAME: &'static str = "otelcol.receiver.zipkin";
    type Arguments = Arguments;
    type Exports = ();

    fn build(context: &Context, arguments: Arguments) -> Result<Self, Problem> {
        let outputs = Outputs::new(context, &arguments.output);
        let name = format!("zipkin/{}", context.id());
        let counters = Counters::new(context.metrics(), &name, &[OtlpSignal::Traces], &TRANSPORTS);
        let server = server(&arguments, &outputs, &counters)?;
        Ok(Zipkin {
            context: context.clone(),
            outputs,
            server: watch::Sender::new(Arc::new(server)),
            counters,
            current: Arc::new(Mutex::new(arguments)),
        })
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        let same = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            current.output.traces.is_empty() == arguments.output.traces.is_empty()
                && current.endpoint == arguments.endpoint
                && current.settings == arguments.settings
                && current.parse_string_tags == arguments.parse_string_tags
        };
        let server = if same {
            self.server.borrow().clone()
        } else {
            Arc::new(server(&arguments, &self.outputs, &self.counters)?)
        };
        let (outputs, sender, current) = (self.outputs.clone(), self.server.clone(), self.current.clone());
        Ok(Update::then(move || {
            outputs.replace(&arguments.output);
            sender.send_replace(server);
            *current.lock().unwrap_or_else(PoisonError::into_inner) = arguments;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let health = listener::Healths::new(&self.context).of("HTTP");
        listener::run(&self.context, self.server.subscribe(), Option::clone, health, &stop).await;
        Ok(())
    }
}

/// The server, if anybody listens to it.
fn server(arguments: &Arguments, outputs: &Outputs, counters: &Counters) -> Result<Option<Arc<Server>>, Problem> {
    if arguments.output.traces.is_empty() {
        return Ok(None);
    }
    let spans = Spans { parse_string_tags: arguments.parse_string_tags, counters: counters.clone() };
    arguments.settings.server("auth", &arguments.endpoint, outputs, spans).map(|server| Some(Arc::new(server)))
}

// === impl Spans ===

impl Answers for Spans {
    async fn answer(&self, front: &Front, head: Parts, body: Incoming, origin: Arc<Origin>) -> Response<Body> {
        let form = Form::of(head.uri.path(), &head.headers);
        let payload = match front.body(&head.headers, body).await {
            Ok(body) => form.read(&body, self.parse_string_tags),
            Err(bad) => Err(bad.why),
        };
        let payload = match payload {
            Ok(payload) => payload,
            Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        };
        match front.take(OtlpSignal::Traces, payload, origin, self.counters.of(form as usize)).await {
            Ok(()) => {
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            Err(Fault::Malformed(why)) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
            Err(Fault::Refused(refused)) if refused.retryable => {
                text(StatusCode::INTERNAL_SERVER_ERROR, "\"Internal Server Error\"")
            }
            Err(Fault::Refused(_)) => text(StatusCode::BAD_REQUEST, "\"Bad Request\""),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", body.into())
}

// === impl Form ===

impl Form {
    fn of(path: &str, headers: &HeaderMap) -> Form {
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        match (path.contains("api/v1/spans"), kind) {
            (true, b"application/x-thrift") => Form::V1Thrift,
            (true, _) => Form::V1Json,
            (false, b"application/x-protobuf") => Form::V2Proto,
            (false, _) => Form::V2Json,
        }
    }

    /// The OTLP payload that a body means.
    fn read(self, body: &Bytes, parse_string_tags: bool) -> Result<Bytes, String> {
        let spans = match self {
            Form::V1Thrift => thrift::read(body)?,
            Form::V1Json => v1::read(body, parse_string_tags)?,
            Form::V2Json => translate::translate(json::read(body)?, parse_string_tags)?,
            Form::V2Proto => translate::translate(proto::read(body)?, parse_string_tags)?,
        };
        Ok(spans.encode().into())
    }
}

#[cfg(test)]
mod tests;
