//! `otelcol.receiver.zipkin`: takes spans of Zipkin over HTTP, in both versions of its format and all their encodings, and hands them on as OTLP.
//!
//! As the Collector, it looks at no method, and at the path only to tell the versions apart.

mod json;
mod model;
mod proto;
mod thrift;
mod translate;
mod v1;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_grpc::Body;
use sdk_protocols_otlp::model::Message as _;
use sdk_signals::{Origin, OtlpSignal};

use crate::counters::Counters;
use crate::http_server::{Answers, Front, HttpSettings, answer, check_endpoint};
use crate::intake::Fault;
use crate::listener::Server;
use crate::serving::{self, Serving, Site, kept};

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
pub struct Zipkin(Serving<Servers>);

/// What listens.
struct Servers(Option<Arc<Server>>);

/// What answers the requests.
struct Spans {
    parse_string_tags: bool,
    counters: Counters,
}

/// What a request holds. The number is its place among the transports.
#[derive(Clone, Copy)]
enum Form {
    V1Thrift,
    V1Json,
    V2Json,
    V2Proto,
}

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
        Serving::build(context, arguments).map(Zipkin)
    }

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        self.0.update(arguments)
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.0.run(|servers| servers.0.clone(), self.0.healths().of("HTTP"), &stop).await;
        Ok(())
    }
}

// === impl Servers ===

impl serving::Servers for Servers {
    type Arguments = Arguments;
    const KIND: &'static str = "zipkin";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces];
    const TRANSPORTS: &'static [&'static str] = &["http_v1_thrift", "http_v1_json", "http_v2_json", "http_v2_proto"];

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    fn make(site: &Site, arguments: &Arguments, running: Option<(&Arguments, &Servers)>) -> Result<Servers, Problem> {
        let about = |of: &Arguments| (of.endpoint.clone(), of.settings.clone(), of.parse_string_tags);
        let running = running.map(|(current, servers)| (about(current), &servers.0));
        kept(running, about(arguments), || server(arguments, site)).map(Servers)
    }
}

/// The server, if anybody listens to it.
fn server(arguments: &Arguments, site: &Site) -> Result<Option<Server>, Problem> {
    if arguments.output.traces.is_empty() {
        return Ok(None);
    }
    let spans = Spans { parse_string_tags: arguments.parse_string_tags, counters: site.counters.clone() };
    arguments.settings.server("auth", &arguments.endpoint, site, spans).map(Some)
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
            Err(why) => {
                self.counters.of(form as usize).malformed();
                return text(StatusCode::BAD_REQUEST, format!("{why}\n"));
            }
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
