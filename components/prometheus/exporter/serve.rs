//! The page that an exporter serves.

use std::sync::{Arc, Mutex, PoisonError};

use base_sys::task;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use sdk_component::HttpHandler;

const TEXT: &str = "text/plain; charset=utf-8";

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
                return answer(StatusCode::NOT_FOUND, TEXT, "404 page not found\n");
            }
            let work = move || scrape(&mut exporter.lock().unwrap_or_else(PoisonError::into_inner));
            match task::blocking(name, work).await.returned() {
                Some(text) => answer(StatusCode::OK, base_metrics::CONTENT_TYPE, text),
                None => {
                    let why = "reading the host failed; the log says why\n";
                    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, why)
                }
            }
        })
    })
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
