//! One request from outside: whether it may pass, its body up to a bound, and the routes' answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::routes::text;
use crate::service::State;

/// The largest request body, the API's and the components' alike.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn answer(request: Request<Incoming>, state: Arc<State>) -> Response<Full<Bytes>> {
    if let Some(refused) = state.refuse(request.uri().path(), request.headers()) {
        return refused.map(Full::new);
    }
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_REQUEST_BYTES).collect()).await;
    let response = match body {
        Ok(Ok(body)) => state.answer(Request::from_parts(parts, body.to_bytes())).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            text(StatusCode::PAYLOAD_TOO_LARGE, format!("the request is larger than {MAX_REQUEST_BYTES} bytes\n"))
        }
        Ok(Err(error)) => text(StatusCode::BAD_REQUEST, format!("cannot read the request: {error}\n")),
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"),
    };
    response.map(Full::new)
}
