//! Reading a body that somebody else sends: bounded in bytes, in time, and in all that is read at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BODY_BUDGET, Call, busy, text};

/// A body of unknown length asks the budget for so much at a time.
const STEP: usize = 256 << 10;

/// Why a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is, or says that it is, larger than allowed: 413, unless the protocol says otherwise.
    #[error("the body of {bytes} bytes is larger than {limit} bytes")]
    TooLarge {
        /// What it said, or what had come when it was enough.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// It did not arrive in time: 408.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Other bodies fill the memory that there is for them: 503.
    #[error("too many bodies are on their way")]
    Busy,
    /// The connection broke: nobody sees the answer.
    #[error("cannot read the body: {0}")]
    Broken(String),
}

/// A body, with its share of the server's memory; give it back by dropping it once the request is answered.
pub struct Body {
    /// As it came over the wire.
    pub bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

/// How bodies of a server arrive.
pub(super) struct Arriving {
    pub limit: Duration,
    pub budget: Arc<Semaphore>,
    pub counted: Arc<AtomicU64>,
}

// === impl Call ===

impl Call {
    /// The body, of at most `limit` bytes; what it claims is looked at before anything is read.
    pub async fn body(&mut self, limit: usize) -> Result<Body, BodyError> {
        let arriving = tokio::time::timeout(self.arriving.limit, self.collect(limit));
        arriving.await.map_err(|_| BodyError::TooSlow)?
    }

    /// What the head says of the body's length.
    pub fn declared_length(&self) -> Option<usize> {
        self.head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    async fn collect(&mut self, limit: usize) -> Result<Body, BodyError> {
        let declared = self.declared_length();
        if let Some(bytes) = declared.filter(|bytes| *bytes > limit) {
            return Err(BodyError::TooLarge { bytes, limit });
        }
        let share = |bytes: usize| {
            // A body that is allowed to be larger than all that there is gets all that there is.
            let permits = u32::try_from(bytes.min(BODY_BUDGET)).map_err(|_| BodyError::Busy)?;
            self.arriving.budget.clone().try_acquire_many_owned(permits).map_err(|_| BodyError::Busy)
        };
        let mut held = share(declared.unwrap_or(STEP.min(limit)))?;
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        let mut length = 0;
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            self.arriving.counted.fetch_add(data.len() as u64, Ordering::Relaxed);
            if length > limit {
                return Err(BodyError::TooLarge { bytes: length, limit });
            }
            if length > held.num_permits() && held.num_permits() < BODY_BUDGET {
                held.merge(share((length - held.num_permits()).max(STEP))?);
            }
            match &first {
                None => first = Some(data),
                Some(first) => {
                    if rest.is_empty() {
                        rest.reserve(declared.unwrap_or(first.len() + data.len()));
                        rest.extend_from_slice(first);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        let bytes = if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() };
        Ok(Body { bytes, _share: held })
    }
}

// === impl BodyError ===

impl BodyError {
    /// What the sender is told.
    pub fn response(&self) -> Response<Bytes> {
        let sentence = self.to_string();
        match self {
            BodyError::TooLarge { .. } => text(StatusCode::PAYLOAD_TOO_LARGE, &sentence),
            BodyError::TooSlow => text(StatusCode::REQUEST_TIMEOUT, &sentence),
            BodyError::Busy => busy(&sentence),
            BodyError::Broken(_) => text(StatusCode::BAD_REQUEST, &sentence),
        }
    }
}
