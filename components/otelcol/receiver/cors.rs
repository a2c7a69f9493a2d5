//! Which pages of other origins may send (Fetch standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sdk_protocols_grpc::Body;

use crate::http_server::Cors;

/// Allowed whatever the configuration says.
const ALWAYS_ALLOWED: [&str; 4] = ["accept", "accept-language", "content-type", "content-language"];

pub(crate) struct CorsPolicy {
    origins: Vec<String>,
    headers: Vec<String>,
    exposed: Option<HeaderValue>,
    max_age: i64,
}

// === impl CorsPolicy ===

impl CorsPolicy {
    /// The policy, if there is one.
    pub(crate) fn new(cors: &Cors) -> Option<CorsPolicy> {
        if cors.allowed_origins.is_empty() {
            return None;
        }
        let lower = |list: &[String]| list.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
        let mut headers = lower(&cors.allowed_headers);
        if headers.is_empty() {
            headers.push("x-requested-with".to_owned());
        }
        headers.extend(ALWAYS_ALLOWED.map(str::to_owned));
        let exposed =
            (!cors.exposed_headers.is_empty()).then(|| HeaderValue::from_str(&cors.exposed_headers.join(", ")));
        Some(CorsPolicy {
            origins: lower(&cors.allowed_origins),
            headers,
            exposed: exposed.and_then(Result::ok),
            max_age: cors.max_age,
        })
    }

    /// The answer to a browser that asks before it sends.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let headers = request.headers();
        let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.append(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        let Some(origin) = headers.get(ORIGIN).filter(|origin| self.allows(origin)) else { return Some(response) };
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = wanted.and_then(|wanted| wanted.to_str().ok()).unwrap_or_default();
        let known =
            |name: &str| self.headers.iter().any(|allowed| allowed == "*" || *allowed == name.to_ascii_lowercase());
        if method != "POST" || !names.split(',').map(str::trim).filter(|name| !name.is_empty()).all(known) {
            return Some(response);
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        if let Some(wanted) = wanted {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if self.max_age > 0 {
            answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age));
        }
        Some(response)
    }

    /// What the answer to a real request says of it.
    pub(crate) fn decorate(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(exposed) = &self.exposed {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        self.origins.iter().any(|allowed| match allowed.split_once('*') {
            None => *allowed == origin,
            Some((head, tail)) => {
                origin.len() >= head.len() + tail.len() && origin.starts_with(head) && origin.ends_with(tail)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str], headers: &[&str]) -> CorsPolicy {
        CorsPolicy::new(&Cors {
            allowed_origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            allowed_headers: headers.iter().map(|h| (*h).to_owned()).collect(),
            max_age: 7,
            ..Cors::default()
        })
        .unwrap()
    }

    fn ask(policy: &CorsPolicy, origin: &str, headers: &str) -> HeaderMap {
        let request = Request::options("/v1/traces")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", headers)
            .body(())
            .unwrap();
        policy.preflight(&request).unwrap().headers().clone()
    }

    #[test]
    fn an_origin_may_hold_one_star() {
        let policy = policy(&["https://*.example.com", "http://localhost"], &[]);
        for (origin, allowed) in [
            ("https://a.example.com", true),
            ("HTTPS://A.example.com", true),
            ("https://.example.co", false),
            ("https://example.com", false),
            ("http://localhost", true),
            ("http://localhost:1", false),
        ] {
            let answer = ask(&policy, origin, "content-type");
            assert_eq!(answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin}");
        }
    }

    #[test]
    fn headers_are_allowed_by_name_or_by_star() {
        let named = policy(&["*"], &["X-Token"]);
        assert!(ask(&named, "https://a", "x-token, content-type").contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        assert!(!ask(&named, "https://a", "x-other").contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        let any = policy(&["*"], &["*"]);
        let answer = ask(&any, "https://a", "x-other");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "x-other");
        assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "7");
    }
}
