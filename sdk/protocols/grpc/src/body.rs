//! A body that is ready: some segments, then perhaps trailers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// Segments of bytes, sent one after another without being joined, and trailers.
#[derive(Debug, Default)]
pub struct Body {
    segments: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Body {
        Body::default()
    }

    /// These segments.
    #[must_use]
    pub fn of(segments: impl IntoIterator<Item = Bytes>) -> Body {
        Body { segments: segments.into_iter().filter(|segment| !segment.is_empty()).collect(), trailers: None }
    }

    /// With trailers behind it.
    #[must_use]
    pub fn trailed(self, trailers: HeaderMap) -> Body {
        Body { trailers: Some(trailers), ..self }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::of([bytes])
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.segments.pop_front().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.segments.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.segments.iter().map(|segment| segment.len() as u64).sum())
    }
}
