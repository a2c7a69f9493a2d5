//! One request from outside: whether it may pass, its body up to a bound, and the routes' answer, which may go on.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use sdk_component::{BodyStream, BoxFuture};
use tokio::sync::mpsc;

use crate::routes::text;
use crate::service::State;

/// The largest request body, the API's and the components' alike.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The body of an answer: some bytes, and perhaps more to come.
pub(crate) struct Answer {
    bytes: Option<Bytes>,
    more: Option<More>,
}

/// What comes after the bytes, until there is no more or the server stops.
struct More {
    chunks: mpsc::Receiver<Bytes>,
    stopping: BoxFuture<'static, ()>,
}

pub(crate) async fn answer(request: Request<Incoming>, state: Arc<State>) -> Response<Answer> {
    if let Some(refused) = state.refuse(request.uri().path(), request.headers()) {
        return Answer::of(refused, &state);
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
    Answer::of(response, &state)
}

// === impl Answer ===

impl Answer {
    fn of(mut response: Response<Bytes>, state: &Arc<State>) -> Response<Answer> {
        let chunks = response.extensions_mut().remove::<BodyStream>().and_then(|stream| stream.take());
        let more = chunks.map(|chunks| {
            let state = state.clone();
            More { chunks, stopping: Box::pin(async move { state.stopping().await }) }
        });
        response.map(|bytes| Answer { bytes: (!bytes.is_empty()).then_some(bytes), more })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(more) = &mut self.more else { return Poll::Ready(None) };
        let next = match more.stopping.as_mut().poll(cx) {
            Poll::Ready(()) => None,
            Poll::Pending => ready!(more.chunks.poll_recv(cx)),
        };
        if next.is_none() {
            self.more = None;
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.more.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.more, &self.bytes) {
            (Some(_), _) => SizeHint::default(),
            (None, bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
