//! A status in headers or trailers.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Code, Status};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Binary headers are base64, with or without padding (gRPC over HTTP/2, "Custom-Metadata").
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest message that is sent: headers have bounds everywhere.
const LONGEST_MESSAGE: usize = 2048;

/// What a status is on the wire.
pub(crate) fn headers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(STATUS, HeaderValue::from(status.code as u16));
    if !status.message.is_empty()
        && let Ok(message) = HeaderValue::from_str(&percent_encode(&status.message))
    {
        headers.insert(MESSAGE, message);
    }
    if status.retry_delay.is_some()
        && let Ok(details) = HeaderValue::from_str(&BINARY.encode(status.to_proto()))
    {
        headers.insert(DETAILS, details);
    }
    headers
}

/// The status in these headers, if there is one.
pub(crate) fn get(headers: &HeaderMap) -> Option<Status> {
    let code = Code::of(headers.get(STATUS)?.to_str().ok()?.parse().unwrap_or(2));
    let message = headers.get(MESSAGE).map(|message| percent_decode(message.as_bytes())).unwrap_or_default();
    let details = headers.get(DETAILS).and_then(|details| BINARY.decode(details.as_bytes()).ok());
    let retry_delay = details.and_then(|details| Status::from_proto(&details).retry_delay);
    Some(Status { code, message, retry_delay })
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes().take(LONGEST_MESSAGE) {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let escaped = (*byte == b'%').then(|| std::str::from_utf8(tail.get(..2)?).ok()).flatten();
        if let Some(value) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(value);
            rest = &tail[2..];
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_status_survives_its_headers() {
        let status =
            Status::new(Code::ResourceExhausted, "queue is full: 100 %\nü").retry_after(Duration::from_secs(7));
        assert_eq!(get(&headers(&status)), Some(status));
        assert_eq!(get(&HeaderMap::new()), None);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(percent_decode(b"100%"), "100%");
        assert_eq!(percent_decode(b"%zz%4"), "%zz%4");
    }
}
