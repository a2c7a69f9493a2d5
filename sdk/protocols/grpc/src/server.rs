//! The answering side: one unary call.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use sdk_protocols_compression::Coding;

use crate::{Body, Code, Status, message, status};

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip,zstd,snappy,deflate");

/// Answers a unary call: reads its message of at most `limit` bytes (as sent and as decompressed), hands it to `handle`
/// and sends what that answers. A client's deadline cancels `handle`.
pub async fn unary<F>(request: Request<Incoming>, limit: usize, handle: impl FnOnce(Bytes) -> F) -> Response<Body>
where
    F: Future<Output = Result<Bytes, Status>>,
{
    let (head, body) = request.into_parts();
    if head.method != Method::POST || !is_grpc(&head.headers) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let name = head.headers.get(ENCODING).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
    let Some(coding) = Coding::of_grpc(name) else {
        let message = format!("grpc: Decompressor is not installed for grpc-encoding {name:?}");
        return refusal(&Status::new(Code::Unimplemented, message));
    };
    let deadline = head.headers.get(TIMEOUT).and_then(|timeout| parse_timeout(timeout.to_str().ok()?));
    let call = async {
        let (message, _) = message::read(body, coding, limit).await?;
        let message = message.ok_or_else(|| Status::new(Code::Internal, "unary call without a message"))?;
        handle(message).await
    };
    let answer = match deadline {
        None => call.await,
        Some(deadline) => match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded")),
        },
    };
    match answer {
        Err(status) => refusal(&status),
        Ok(reply) => {
            let body = Body::of([message::prefix(false, reply.len()), reply]).trailed(status::ok());
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            response
        }
    }
}

/// A call that fails without a message.
#[must_use]
pub fn refusal(refused: &Status) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if refused.code == Code::Unimplemented {
        headers.insert(ACCEPT_ENCODING, ENCODINGS);
    }
    status::put(refused, headers);
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_a_unit() {
        assert_eq!(parse_timeout("10S"), Some(Duration::from_secs(10)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "10", "123456789S", "1é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }
}
