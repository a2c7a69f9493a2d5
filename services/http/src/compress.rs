//! gzip, for clients that ask for it.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

/// Shorter bodies fit one packet anyway.
const MIN_BYTES: usize = 1024;

/// Compresses the body if it pays and the client takes it.
pub(crate) fn compress(request_headers: &HeaderMap, response: http::Response<Bytes>) -> http::Response<Bytes> {
    let (mut parts, body) = response.into_parts();
    if body.len() < MIN_BYTES || parts.headers.contains_key(CONTENT_ENCODING) || !takes_gzip(request_headers) {
        return http::Response::from_parts(parts, body);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(compressed) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            http::Response::from_parts(parts, compressed.into())
        }
        Err(_) => http::Response::from_parts(parts, body),
    }
}

/// `gzip` (or `*`) is listed and its weight is not zero (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(accept: &str, body: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        let response = compress(&headers, http::Response::new(Bytes::from_static(body.as_bytes())));
        response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn long_bodies_are_compressed_for_those_who_take_it() {
        let long: &'static str = "metric 1\n".repeat(200).leak();
        assert_eq!(encoding("deflate, gzip;q=0.5", long).as_deref(), Some("gzip"));
        assert_eq!(encoding("gzip;q=0", long), None);
        assert_eq!(encoding("identity", long), None);
        assert_eq!(encoding("gzip", "short"), None);
    }
}
