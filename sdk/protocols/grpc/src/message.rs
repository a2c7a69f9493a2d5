//! The one message of a unary body: a flag, a length, the bytes.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sdk_protocols_compression::{Coding, ExpandError};

use crate::{Code, Status};

/// Flag and length.
const PREFIX: usize = 5;

/// The prefix of a message of `length` bytes.
pub(crate) fn prefix(compressed: bool, length: usize) -> Bytes {
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(compressed.into());
    prefix.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    prefix.freeze()
}

/// Reads the message of a unary body, at most `limit` bytes as sent and as decompressed, and the trailers behind it.
/// A body without any message is `None`.
pub(crate) async fn read(
    mut body: Incoming,
    coding: Coding,
    limit: usize,
) -> Result<(Option<Bytes>, Option<HeaderMap>), Status> {
    let mut prefix = Vec::with_capacity(PREFIX);
    let mut wanted = 0;
    let mut message = Gathered::Nothing;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::new(Code::Canceled, format!("request ended early: {error}")))?;
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if prefix.len() < PREFIX {
            prefix.extend_from_slice(&data.split_to(data.len().min(PREFIX - prefix.len())));
            if prefix.len() < PREFIX {
                continue;
            }
            wanted = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            if wanted > limit {
                return Err(too_large(wanted, limit));
            }
        }
        message.add(data, wanted);
        if message.len() > wanted {
            return Err(Status::new(Code::Unimplemented, "more than one message in a unary call"));
        }
    }
    if prefix.is_empty() {
        return Ok((None, trailers));
    }
    if prefix.len() < PREFIX || message.len() < wanted {
        return Err(Status::new(Code::Internal, "message ended early"));
    }
    let bytes = message.finish();
    let bytes = match (prefix[0], coding) {
        (0, _) => bytes,
        (1, Coding::Identity) => {
            return Err(Status::new(Code::Internal, "compressed message without grpc-encoding"));
        }
        (1, coding) => coding
            .expand(&bytes, limit)
            .map_err(|error| match error {
                ExpandError::TooLarge { limit } => Status::new(
                    Code::ResourceExhausted,
                    format!("message after decompression larger than max {limit} bytes"),
                ),
                ExpandError::Damaged(error) => Status::new(Code::Internal, format!("cannot decompress: {error}")),
            })?
            .into(),
        (flag, _) => return Err(Status::new(Code::Internal, format!("unknown message flag {flag}"))),
    };
    Ok((Some(bytes), trailers))
}

/// What has come of a message. Only what is cut over several frames is copied together, once, into a buffer of the
/// length that the prefix tells.
enum Gathered {
    Nothing,
    Whole(Bytes),
    Parts(BytesMut),
}

impl Gathered {
    fn add(&mut self, data: Bytes, wanted: usize) {
        match self {
            _ if data.is_empty() => {}
            Gathered::Nothing => *self = Gathered::Whole(data),
            Gathered::Whole(first) => {
                let mut parts = BytesMut::with_capacity(wanted.max(first.len() + data.len()));
                parts.extend_from_slice(first);
                parts.extend_from_slice(&data);
                *self = Gathered::Parts(parts);
            }
            Gathered::Parts(parts) => parts.extend_from_slice(&data),
        }
    }

    fn len(&self) -> usize {
        match self {
            Gathered::Nothing => 0,
            Gathered::Whole(bytes) => bytes.len(),
            Gathered::Parts(parts) => parts.len(),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Gathered::Nothing => Bytes::new(),
            Gathered::Whole(bytes) => bytes,
            Gathered::Parts(parts) => parts.freeze(),
        }
    }
}

fn too_large(length: usize, limit: usize) -> Status {
    Status::new(Code::ResourceExhausted, format!("received message larger than max ({length} vs. {limit})"))
}
