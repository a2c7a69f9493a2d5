//! The page that an exporter serves.

use std::sync::{Arc, Mutex, PoisonError};

use base_sys::task;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use sdk_component::HttpHandler;

/// What words without a page are.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Answers `/metrics` with what `scrape` makes, one at a time and where it may block: on a disk, on a file system that is
/// gone.
pub(crate) fn serve<E: Send + 'static>(
    name: &'static str,
    exporter: Arc<Mutex<E>>,
    scrape: fn(&mut E) -> String,
) -> HttpHandler {
    Arc::new(move |request| {
        let exporter = exporter.clone();
        Box::pin(async move {
            if request.uri().path() != "/metrics" {
                return not_found();
            }
            let work = move || scrape(&mut exporter.lock().unwrap_or_else(PoisonError::into_inner));
            page_of(task::blocking(name, work).await.returned())
        })
    })
}

/// There is one page only.
pub(crate) fn not_found() -> Response<Bytes> {
    answer(StatusCode::NOT_FOUND, TEXT, "404 page not found\n")
}

/// The page, or that there is none.
pub(crate) fn page_of(text: Option<String>) -> Response<Bytes> {
    match text {
        Some(text) => answer(StatusCode::OK, base_metrics::CONTENT_TYPE, text),
        None => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "reading the host failed; the log says why\n"),
    }
}

/// An answer with a body.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
