//! The web API under `/api/v0/web`, with Alloy's JSON, and one plain page at `/` until a richer interface comes.
//!
//! [`handler`] makes both out of the running graph; `services/http` serves it under the UI's path prefix. Everything is
//! made anew for each request: what is shown is what is.

mod api;
mod json;
mod livedebugging;
mod page;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use sdk_component::HttpHandler;
use sdk_component::host::Host;

pub use livedebugging::LiveDebugging;

/// What the answers need to know of the process.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--cluster.node-name`; the host's name when empty.
    pub node_name: String,
    /// Where the HTTP server listens, with the real port.
    pub address: String,
    /// Whether the configuration allows to look at data.
    pub live_debugging: LiveDebugging,
}

/// Answers requests whose path is what stands behind the UI's prefix, with one slash in front.
pub fn handler(host: Arc<dyn Host>, options: Options) -> HttpHandler {
    let options = Arc::new(options);
    Arc::new(move |request| {
        let (host, options) = (host.clone(), options.clone());
        Box::pin(async move {
            let path = request.uri().path();
            match path.strip_prefix("/api/v0/web/") {
                Some(rest) => api::answer(host, &options, rest, request.uri().query().unwrap_or_default()),
                None if path == "/" => page::answer(&*host),
                None => not_found(),
            }
        })
    })
}

fn not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}
