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
    // Only what is cut over several frames is copied together, once, into a buffer of the length that the prefix tells.
    let mut first = Bytes::new();
    let mut message: Option<BytesMut> = None;
    let mut trailers = None;
    let mut wanted = usize::MAX;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::new(Code::Canceled, format!("request ended early: {error}")))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if data.is_empty() {
            continue;
        }
        if let Some(message) = &mut message {
            if message.len() + data.len() > wanted {
                return Err(Status::new(Code::Unimplemented, "more than one message in a unary call"));
            }
            message.extend_from_slice(&data);
            continue;
        }
        first = if first.is_empty() { data } else { [&first[..], &data[..]].concat().into() };
        if first.len() < PREFIX {
            continue;
        }
        wanted = PREFIX + u32::from_be_bytes([first[1], first[2], first[3], first[4]]) as usize;
        if wanted - PREFIX > limit {
            return Err(too_large(wanted - PREFIX, limit));
        }
        if first.len() > wanted {
            return Err(Status::new(Code::Unimplemented, "more than one message in a unary call"));
        }
        let mut buffer = BytesMut::new();
        if first.len() < wanted {
            buffer.reserve(wanted);
            buffer.extend_from_slice(&first);
            message = Some(buffer);
        }
    }
    let whole = message.map_or(first, BytesMut::freeze);
    if whole.is_empty() {
        return Ok((None, trailers));
    }
    if whole.len() != wanted {
        return Err(Status::new(Code::Internal, "message ended early"));
    }
    let bytes = whole.slice(PREFIX..);
    let bytes = match (whole[0], coding) {
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

fn too_large(length: usize, limit: usize) -> Status {
    Status::new(Code::ResourceExhausted, format!("received message larger than max ({length} vs. {limit})"))
}
