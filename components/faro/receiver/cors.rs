//! Which pages may send (Fetch standard, "CORS protocol").

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// What a page may set.
const HEADERS: [&str; 6] =
    ["content-type", "content-encoding", "traceparent", "x-api-key", "x-faro-session-id", "x-scope-orgid"];
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];

/// Whose pages may send.
pub(super) struct Cors {
    /// In lower case, each with at most one star.
    origins: Vec<String>,
}

impl Cors {
    /// None where no origins are given: browsers then ask in vain.
    pub fn new(origins: &[String]) -> Option<Cors> {
        let origins: Vec<String> = origins.iter().map(|origin| origin.to_lowercase()).collect();
        (!origins.is_empty()).then_some(Cors { origins })
    }

    /// The answer to a browser that asks before it sends.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|wanted| !wanted.is_empty())?;
        if method != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| !asked.is_empty());
        let names = asked.map_or("", |asked| asked.to_str().unwrap_or("?"));
        let known = |name: &str| HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        if let Some(origin) = self.allowed(headers)
            && METHODS.iter().any(|method| wanted == method)
            && names.split(',').map(str::trim).filter(|name| !name.is_empty()).all(known)
        {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
            if let Some(asked) = asked {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        Some(response)
    }

    /// What the answer to a request says of it.
    pub fn decorate(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.insert(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(request) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }

    /// What to say to the origin of a request, if its pages may send.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN).filter(|origin| !origin.is_empty())?;
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_lowercase();
        let fits = |allowed: &String| match allowed.split_once('*') {
            None => *allowed == text,
            Some((head, tail)) => {
                text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
            }
        };
        self.origins.iter().any(fits).then(|| origin.clone())
    }
}
