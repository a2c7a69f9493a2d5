//! What an answer begins with.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// An answer with more headers is none that we understand.
const MOST_HEADERS: usize = 2048;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub framing: Framing,
    /// Another request may follow.
    pub is_kept: bool,
}

/// Where a body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    ToTheEnd,
}

/// The head that this begins with, and its length; none while it is not there in full. Its end was looked for up to `looked`.
///
/// # Errors
/// This is not how an answer begins.
pub(super) fn parse(text: &[u8], looked: usize) -> Result<Option<(Head, usize)>, String> {
    let is_begun = text.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
    if is_begun && looked > 0 && !has_empty_line(&text[looked.saturating_sub(3)..]) {
        return Ok(None);
    }
    let lines = memchr::memchr_iter(b'\n', text).take(MOST_HEADERS).count();
    let mut room = vec![httparse::EMPTY_HEADER; lines];
    let mut answer = httparse::Response::new(&mut room);
    let parsed = lenient().parse_response(&mut answer, text);
    let parsed = parsed.map_err(|error| format!("the answer is not HTTP: {error}"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let wrong = |what: &str| format!("the answer is not HTTP: {what}");
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| wrong("invalid status"))?;
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for given in answer.headers.iter() {
        let name = HeaderName::from_bytes(given.name.as_bytes()).map_err(|_| wrong("invalid header name"))?;
        // A line may end within it.
        let mut value = Cow::Borrowed(given.value);
        if value.contains(&b'\n') {
            value.to_mut().iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
        }
        let value = HeaderValue::from_bytes(&value).map_err(|_| wrong("invalid header value"))?;
        headers.append(name, value);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("the server has switched to another protocol".to_owned());
    }
    let framing = framing(status, &headers)?;
    if answer.version == Some(0) && framing == Framing::Chunked {
        return Err(wrong("there are no chunks in HTTP/1.0"));
    }
    let is_kept = match answer.version {
        Some(0) => says(&headers, header::CONNECTION, "keep-alive"),
        _ => !says(&headers, header::CONNECTION, "close"),
    };
    let is_kept = is_kept && framing != Framing::ToTheEnd;
    Ok(Some((Head { status, headers, framing, is_kept }, length)))
}

/// Whether a line ends, and an empty one follows.
fn has_empty_line(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).any(|end| matches!(text[end + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// What Go takes, too: headers over several lines, a blank before the colon, and more than one around the status.
fn lenient() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    config
}

fn framing(status: StatusCode, headers: &HeaderMap) -> Result<Framing, String> {
    if status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Empty);
    }
    if let Some(last) = headers.get_all(header::TRANSFER_ENCODING).iter().next_back() {
        let last = last.to_str().ok().and_then(|codings| codings.rsplit(',').next()).unwrap_or_default();
        let is_chunked = last.trim().eq_ignore_ascii_case("chunked");
        return Ok(if is_chunked { Framing::Chunked } else { Framing::ToTheEnd });
    }
    let mut length = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for given in value.to_str().unwrap_or_default().split(',') {
            let given = given.trim();
            let number = given.parse::<u64>().ok().filter(|_| given.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.ok_or_else(|| format!("the answer is not HTTP: {given:?} is not its length"))?;
            if length.is_some_and(|before| before != number) {
                return Err("the answer is not HTTP: it has two lengths".to_owned());
            }
            length = Some(number);
        }
    }
    Ok(length.map_or(Framing::ToTheEnd, Framing::Length))
}

/// Whether a list of words has this one.
fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    let mut words = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    words.any(|given| given.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(u16, Framing, bool)>, String> {
        let parsed = parse(text.as_bytes(), 0)?;
        Ok(parsed.map(|(head, length)| {
            assert_eq!(&text[length..], text.split_once("\n\n").or(text.split_once("\r\n\r\n")).unwrap_or_default().1);
            (head.status.as_u16(), head.framing, head.is_kept)
        }))
    }

    #[test]
    fn heads_say_where_the_body_ends_and_whether_the_connection_stays() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, Framing::Length(5), true)),
            ("HTTP/1.1  200  OK\r\nContent-Length: 5\r\n\r\nhello", (200, Framing::Length(5), true)),
            ("HTTP/1.1 200\nContent-Length: 5, 5\n\nhello", (200, Framing::Length(5), true)),
            ("HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5\r\n\r\n", (200, Framing::Length(5), false)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", (200, Framing::Length(5), false)),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 5\r\n\r\n", (200, Framing::Length(5), true)),
            ("HTTP/1.1 200 OK\r\n\r\nhello", (200, Framing::ToTheEnd, false)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\ncontent-length: 5\r\n\r\n",
                (200, Framing::Chunked, true),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n", (200, Framing::ToTheEnd, false)),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", (204, Framing::Empty, true)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1", (100, Framing::Empty, true)),
            ("HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length : 5\r\n\r\nhello", (200, Framing::Length(5), true)),
        ] {
            assert_eq!(head(text), Ok(Some(expected)), "{text:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_head_comes() {
        let text = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n";
        for first in 0..text.len() {
            assert!(parse(&text[..first], 0).expect("so far it is one").is_none());
            assert!(parse(text, first).expect("it is one").is_some(), "{first}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for_and_what_is_no_answer_is_not() {
        for text in ["", "HT", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(head(text), Ok(None), "{text:?}");
        }
        for (text, reason) in [
            ("SSH-2.0-x\r\n", "the answer is not HTTP: invalid HTTP version"),
            ("HTTP/2 200\r\n\r\n", "the answer is not HTTP: invalid HTTP version"),
            ("HTTP/1.1 2x0 OK\r\n\r\n", "the answer is not HTTP: invalid response status"),
            ("HTTP/1.1 099 Low\r\n\r\n", "the answer is not HTTP: invalid status"),
            ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", "the answer is not HTTP: invalid header name"),
            ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n", "the answer is not HTTP: \"+5\" is not its length"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
                "the answer is not HTTP: it has two lengths",
            ),
            (
                "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "the answer is not HTTP: there are no chunks in HTTP/1.0",
            ),
            ("HTTP/1.1 101 Now\r\nupgrade: x\r\n\r\n", "the server has switched to another protocol"),
        ] {
            assert_eq!(head(text), Err(reason.to_owned()), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(head(&many), Err("the answer is not HTTP: too many headers".to_owned()));
    }
}
