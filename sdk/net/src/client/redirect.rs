//! Answers that send us on.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION,
    REFERER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use url::Url;

use super::{Client, SendError, shown};

/// Who is sent on so often asks no more, as in Go.
pub(super) const MOST_REQUESTS: usize = 10;

impl Client {
    /// The request that an answer sends us on with, made as Go makes it; None if it does not. A request that would have to leave
    /// its body behind is not made: what is asked at the other place would be answered as if that had arrived.
    pub(super) fn sent_on(
        &self,
        request: &Request<Bytes>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Request<Bytes>>, SendError> {
        let is_bare = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
                !matches!(*request.method(), Method::GET | Method::HEAD)
            }
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
            _ => return Ok(None),
        };
        let location = headers.get(LOCATION).filter(|_| self.config.follow_redirects);
        let Some(next) = location.and_then(|location| elsewhere(request, location, is_bare)) else { return Ok(None) };
        if next.body().len() < request.body().len() {
            let (url, to) = (shown(request.uri()), shown(next.uri()));
            return Err(SendError::Moved { url, status: status.as_u16(), to });
        }
        Ok(Some(next))
    }
}

/// The same request for the place that is named; none if that is no place.
fn elsewhere(request: &Request<Bytes>, location: &HeaderValue, is_bare: bool) -> Option<Request<Bytes>> {
    let mut from = Url::parse(&request.uri().to_string()).ok()?;
    let to = from.join(std::str::from_utf8(location.as_bytes()).ok()?).ok()?;
    let mut next = request.clone();
    *next.uri_mut() = to.as_str().parse().ok()?;
    if is_bare {
        *next.method_mut() = Method::GET;
        *next.body_mut() = Bytes::new();
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
            next.headers_mut().remove(name);
        }
    }
    // As Go has it, the same machine may see them on another port, and a server that leads on to TLS does.
    if from.host() != to.host() {
        for name in [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION] {
            next.headers_mut().remove(name);
        }
    }
    next.headers_mut().remove(REFERER);
    // What was asked for over TLS is nobody else's business.
    if from.scheme() == to.scheme() || to.scheme() == "https" {
        let _ = (from.set_username(""), from.set_password(None));
        next.headers_mut().insert(REFERER, HeaderValue::from_str(from.as_str()).ok()?);
    }
    Some(next)
}
