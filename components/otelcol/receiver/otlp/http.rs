//! The HTTP server: protobuf and JSON on three paths.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use sdk_component::Problem;
use sdk_protocols_grpc::{Body, Code, Status};
use sdk_protocols_otlp::json::from_json;
use sdk_protocols_otlp::response::{SUCCESS_JSON, SUCCESS_PROTO};
use sdk_signals::{Origin, OtlpSignal};

use super::HTTP;
use super::arguments::{Arguments, HttpServer};
use crate::counters::Counters;
use crate::http_server::{Answers, BadBody, Front, answer};
use crate::intake::{Fault, status};
use crate::listener::Server;
use crate::serving::Site;

/// The server that the arguments ask for, if they do and anybody listens to it.
pub(super) fn server(arguments: &Arguments, site: &Site) -> Result<Option<Server>, Problem> {
    let Some(http) = &arguments.http else { return Ok(None) };
    let paths: Vec<(String, OtlpSignal)> = OtlpSignal::ALL
        .into_iter()
        .filter(|signal| !arguments.output.of(*signal).is_empty())
        .map(|signal| (path_of(http, signal), signal))
        .collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let otlp = Otlp { paths, counters: site.counters.clone() };
    http.settings.server("http", &http.endpoint, site, otlp).map(Some)
}

fn path_of(http: &HttpServer, signal: OtlpSignal) -> String {
    let path = match signal {
        OtlpSignal::Traces => &http.traces_url_path,
        OtlpSignal::Metrics => &http.metrics_url_path,
        OtlpSignal::Logs => &http.logs_url_path,
    };
    if path.starts_with('/') { path.clone() } else { format!("/{path}") }
}

struct Otlp {
    paths: Vec<(String, OtlpSignal)>,
    counters: Counters,
}

/// How the request, and so its answer, is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Proto,
    Json,
}

// === impl Otlp ===

impl Answers for Otlp {
    async fn answer(&self, front: &Front, head: Parts, body: Incoming, origin: Arc<Origin>) -> Response<Body> {
        let path = head.uri.path();
        let Some((_, signal)) = self.paths.iter().find(|(known, _)| known == path) else {
            return plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n");
        };
        if head.method != Method::POST {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed, supported: [POST]");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let Some(encoding) = encoding(&head.headers) else {
            return plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "text/plain",
                "415 unsupported media type, supported: [application/json, application/x-protobuf]",
            );
        };
        let body = match front.body(&head.headers, body).await {
            Ok(body) => body,
            Err(BadBody { status, why }) => {
                self.counters.of(HTTP).malformed();
                return failure(encoding, status, &Status::new(Code::InvalidArgument, why));
            }
        };
        let payload = match encoding {
            Encoding::Proto => body,
            Encoding::Json => match from_json(*signal, &body) {
                Ok(payload) => payload.into(),
                Err(error) => {
                    self.counters.of(HTTP).malformed();
                    let status = Status::new(Code::InvalidArgument, error.to_string());
                    return failure(encoding, StatusCode::BAD_REQUEST, &status);
                }
            },
        };
        match front.take(*signal, payload, origin, self.counters.of(HTTP)).await {
            Ok(()) => success(encoding),
            Err(Fault::Malformed(why)) => {
                failure(encoding, StatusCode::BAD_REQUEST, &Status::new(Code::InvalidArgument, why))
            }
            Err(Fault::Refused(refused)) => {
                let status = status(refused);
                let http = StatusCode::from_u16(status.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                failure(encoding, http, &status)
            }
        }
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Encoding::Proto),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn success(encoding: Encoding) -> Response<Body> {
    match encoding {
        Encoding::Proto => answer(StatusCode::OK, "application/x-protobuf", Bytes::from_static(SUCCESS_PROTO)),
        Encoding::Json => answer(StatusCode::OK, "application/json", Bytes::from_static(SUCCESS_JSON)),
    }
}

fn failure(encoding: Encoding, http: StatusCode, status: &Status) -> Response<Body> {
    let mut response = match encoding {
        Encoding::Proto => answer(http, "application/x-protobuf", status.to_proto().into()),
        Encoding::Json => answer(http, "application/json", status.to_json().into()),
    };
    if let Some(delay) = status.retry_delay
        && matches!(http, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(delay.as_secs_f64().ceil() as u64));
    }
    response
}

fn plain(status: StatusCode, kind: &'static str, text: &'static str) -> Response<Body> {
    answer(status, kind, Bytes::from_static(text.as_bytes()))
}
