//! The HTTP server: a batch on one path, as Thrift.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use sdk_protocols_grpc::Body;
use sdk_signals::{Origin, OtlpSignal, Refused};

use super::{HTTP, thrift};
use crate::counters::Counters;
use crate::http_server::{Answers, BadBody, Front, answer};
use crate::intake::Fault;

/// What answers the requests.
pub(super) struct Batches {
    pub(super) counters: Counters,
}

// === impl Batches ===

impl Answers for Batches {
    async fn answer(&self, front: &Front, head: Parts, body: Incoming, origin: Arc<Origin>) -> Response<Body> {
        if head.uri.path() != "/api/traces" {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        if head.method != Method::POST {
            let mut response = Response::new(Body::from(Bytes::new()));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
        let refuse = |status, why: &str| text(status, format!("{}\n", escaped(why)));
        let unread = |status, why| {
            self.counters.of(HTTP).malformed();
            refuse(status, &format!("Unable to process request body: {why}"))
        };
        let body = match front.body(&head.headers, body).await {
            Ok(body) => body,
            Err(BadBody { status, why }) => return unread(status, why),
        };
        if let Err(why) = is_thrift(&head.headers) {
            return refuse(StatusCode::BAD_REQUEST, &why);
        }
        let payload = match thrift::of_body(&body) {
            Ok(payload) => payload,
            Err(why) => return unread(StatusCode::BAD_REQUEST, why),
        };
        match front.take(OtlpSignal::Traces, payload, origin, self.counters.of(HTTP)).await {
            Ok(()) => {
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            Err(Fault::Malformed(why)) => refuse(StatusCode::BAD_REQUEST, &why),
            Err(Fault::Refused(Refused { reason, .. })) => {
                refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("Cannot submit Jaeger batch: {reason}"))
            }
        }
    }
}

/// Whether the body is what it should be.
fn is_thrift(headers: &HeaderMap) -> Result<(), String> {
    let kind = headers.get(CONTENT_TYPE).map_or(Ok(""), |kind| kind.to_str());
    let kind = kind.map_err(|_| "Cannot parse content type: not a text".to_owned())?;
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &kind[..] {
        "" => Err("Cannot parse content type: mime: no media type".to_owned()),
        word if !word.contains('/') => {
            Err("Cannot parse content type: mime: expected slash after first token".to_owned())
        }
        "application/x-thrift" | "application/vnd.apache.thrift.binary" => Ok(()),
        other => Err(format!("Unsupported content type: {other}")),
    }
}

/// A text in which a browser sees no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", body.into())
}
