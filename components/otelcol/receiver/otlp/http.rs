//! The HTTP server: protobuf and JSON on three paths.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sdk_component::Problem;
use sdk_otel::output::Outputs;
use sdk_protocols_compression::{Coding, ExpandError};
use sdk_protocols_grpc::{Body, Code, Status};
use sdk_protocols_otlp::json::from_json;
use sdk_protocols_otlp::response::{SUCCESS_JSON, SUCCESS_PROTO};
use sdk_signals::OtlpSignal;

use super::arguments::{Arguments, HttpServer};
use super::cors::CorsPolicy;
use super::counters::Counters;
use super::intake::{Fault, Intake};
use super::listener::{Protocol, Server, Service, limit};

/// `max_request_body_size` when it is 0.
const BODY_LIMIT: usize = 20 << 20;

/// The server that the arguments ask for, if they do and anybody listens to it.
pub(super) fn server(arguments: &Arguments, outputs: &Outputs, counters: &Counters) -> Result<Option<Server>, Problem> {
    let Some(http) = &arguments.http else { return Ok(None) };
    let paths: Vec<(String, OtlpSignal)> = OtlpSignal::ALL
        .into_iter()
        .filter(|signal| !arguments.output.of(*signal).is_empty())
        .map(|signal| (path_of(http, signal), signal))
        .collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let auth = http.auth.as_ref().map(|auth| auth.server()).transpose().map_err(|error| Problem::at("http", error))?;
    let tls = http.tls.as_ref().map(|tls| tls.config(&[b"h2", b"http/1.1"])).transpose();
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limit(http.read_header_timeout))
        .keep_alive(http.keep_alives_enabled.unwrap_or(true));
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(24 << 20);
    Ok(Some(Server {
        name: "HTTP",
        endpoint: http.endpoint.clone(),
        tls: tls.map_err(|error| Problem::environment(format!("failed to load TLS config: {error}")))?,
        protocol: Protocol::Http {
            builder,
            idle: limit(http.idle_timeout),
            service: Arc::new(Http {
                intake: Intake { outputs: outputs.clone(), auth, include_metadata: http.include_metadata },
                paths,
                body_limit: http.max_request_body_size.to_usize().filter(|size| *size > 0).unwrap_or(BODY_LIMIT),
                codings: http.compression_algorithms.clone(),
                cors: CorsPolicy::new(&http.cors),
                read_timeout: limit(http.read_timeout),
                write_timeout: limit(http.write_timeout),
                counters: counters.clone(),
            }),
        },
    }))
}

fn path_of(http: &HttpServer, signal: OtlpSignal) -> String {
    let path = match signal {
        OtlpSignal::Traces => &http.traces_url_path,
        OtlpSignal::Metrics => &http.metrics_url_path,
        OtlpSignal::Logs => &http.logs_url_path,
    };
    if path.starts_with('/') { path.clone() } else { format!("/{path}") }
}

struct Http {
    intake: Intake,
    paths: Vec<(String, OtlpSignal)>,
    body_limit: usize,
    codings: Vec<String>,
    cors: Option<CorsPolicy>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    counters: Counters,
}

/// How the request, and so its answer, is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Proto,
    Json,
}

// === impl Http ===

impl Service for Http {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let Some(cors) = &self.cors else { return self.route(request, peer).await };
        if let Some(answer) = cors.preflight(&request) {
            return answer;
        }
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let mut response = self.route(request, peer).await;
        cors.decorate(origin.as_ref(), response.headers_mut());
        response
    }
}

impl Http {
    async fn route(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        let origin = match self.intake.origin(&head.headers, peer) {
            Ok(origin) => origin,
            Err(status) => return unauthorized(&status),
        };
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
        let body = match self.body(&head.headers, body).await {
            Ok(body) => body,
            Err(why) => return failure(encoding, StatusCode::BAD_REQUEST, &Status::new(Code::InvalidArgument, why)),
        };
        let payload = match encoding {
            Encoding::Proto => body,
            Encoding::Json => match from_json(*signal, &body) {
                Ok(payload) => payload.into(),
                Err(error) => {
                    let status = Status::new(Code::InvalidArgument, error.to_string());
                    return failure(encoding, StatusCode::BAD_REQUEST, &status);
                }
            },
        };
        let taking = self.intake.take(*signal, payload, origin, self.counters.http());
        let taken = match self.write_timeout {
            None => taking.await,
            Some(longest) => tokio::time::timeout(longest, taking).await.unwrap_or_else(|_| {
                Err(Fault::Refused(Status::new(Code::Unavailable, "the pipeline did not take the request in time")))
            }),
        };
        match taken {
            Ok(()) => success(encoding),
            Err(Fault::Malformed(why)) => {
                failure(encoding, StatusCode::BAD_REQUEST, &Status::new(Code::InvalidArgument, why))
            }
            Err(Fault::Refused(status)) => {
                let http = StatusCode::from_u16(status.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                failure(encoding, http, &status)
            }
        }
    }

    /// The body, expanded; both forms are bounded.
    async fn body(&self, headers: &HeaderMap, body: Incoming) -> Result<Bytes, String> {
        let name = headers.get(CONTENT_ENCODING).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
        let coding = Coding::of_http(name)
            .filter(|_| name == "identity" || self.codings.iter().any(|allowed| allowed == name))
            .ok_or_else(|| format!("unsupported Content-Encoding: {name}"))?;
        let collecting = collect(headers, body, self.body_limit);
        let body = match self.read_timeout {
            None => collecting.await?,
            Some(longest) => tokio::time::timeout(longest, collecting)
                .await
                .map_err(|_| "the body did not arrive in time".to_owned())??,
        };
        if coding == Coding::Identity {
            return Ok(body);
        }
        match coding.expand(&body, self.body_limit) {
            Ok(expanded) => Ok(expanded.into()),
            Err(ExpandError::TooLarge { .. }) => Err("http: request body too large".to_owned()),
            Err(ExpandError::Damaged(error)) => Err(format!("cannot decompress: {error}")),
        }
    }
}

/// Reads a body of at most `limit` bytes; copies only what comes in several frames, once.
async fn collect(headers: &HeaderMap, mut body: Incoming, limit: usize) -> Result<Bytes, String> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let too_large = || "http: request body too large".to_owned();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("cannot read the body: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(first) => {
                if rest.is_empty() {
                    rest.reserve(announced.unwrap_or(first.len() * 4));
                    rest.extend_from_slice(first);
                }
                rest.extend_from_slice(&data);
            }
        }
        if rest.len().max(first.as_ref().map_or(0, Bytes::len)) > limit {
            return Err(too_large());
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.into() })
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

fn unauthorized(status: &Status) -> Response<Body> {
    let mut response = answer(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", status.message.clone().into());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    response
}

fn plain(status: StatusCode, kind: &'static str, text: &'static str) -> Response<Body> {
    answer(status, kind, Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
