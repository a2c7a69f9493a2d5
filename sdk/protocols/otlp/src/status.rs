//! `google.rpc.Status`: the body of a refused export, in both encodings, with the delay that a `RetryInfo` asks for.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::walk::Message;
use crate::wire::{Fields, put_bytes, put_message, put_tag, put_varint};

/// The type of the detail that holds a delay.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The codes of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are gRPC's")]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Canceled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code of this number; `Unknown` for one that gRPC does not define.
    #[must_use]
    pub fn of(number: u64) -> Code {
        usize::try_from(number).ok().and_then(|i| Code::ALL.get(i)).copied().unwrap_or(Code::Unknown)
    }

    /// Whether a client may send the same again (OTLP specification, "Failures"). `ResourceExhausted` only with a delay.
    #[must_use]
    pub fn retryable(self, retry_delay: Option<Duration>) -> bool {
        match self {
            Code::Canceled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => retry_delay.is_some(),
            _ => false,
        }
    }

    /// What an HTTP status other than success means.
    #[must_use]
    pub fn of_http(status: u16) -> Code {
        match status {
            400 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 => Code::ResourceExhausted,
            502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::Canceled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => 503,
            Code::ResourceExhausted => 429,
            Code::InvalidArgument => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::Unimplemented => 404,
            _ => 500,
        }
    }
}

/// Whether a client may send the same again after this HTTP status (OTLP specification, "Failures").
#[must_use]
pub const fn http_retryable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// A `google.rpc.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// What happened, for a person.
    pub message: String,
    /// How long to wait before the next try, from a `RetryInfo` among the details.
    pub retry_delay: Option<Duration>,
}

impl Status {
    /// A status without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Status { code, message: message.into(), retry_delay: None }
    }

    /// The status with a delay before the next try.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Status { retry_delay: Some(delay), ..self }
    }

    /// As protobuf.
    #[must_use]
    pub fn to_proto(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len() + 96);
        if self.code != Code::Ok {
            put_tag(&mut out, 1, 0);
            put_varint(&mut out, self.code as u64);
        }
        if !self.message.is_empty() {
            put_bytes(&mut out, 2, self.message.as_bytes());
        }
        if let Some(delay) = self.retry_delay {
            put_message(&mut out, 3, |any| {
                put_bytes(any, 1, RETRY_INFO.as_bytes());
                put_message(any, 2, |info| put_message(info, 1, |duration| put_duration(duration, delay)));
            });
        }
        out
    }

    /// As JSON, in the protobuf mapping.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = serde_json::Map::new();
        if self.code != Code::Ok {
            body.insert("code".into(), Json::from(self.code as u8));
        }
        if !self.message.is_empty() {
            body.insert("message".into(), Json::from(self.message.as_str()));
        }
        if let Some(delay) = self.retry_delay {
            let seconds = format!("{}s", delay.as_secs_f64());
            body.insert("details".into(), json!([{ "@type": RETRY_INFO, "retryDelay": seconds }]));
        }
        Json::Object(body).to_string().into_bytes()
    }

    /// Reads protobuf. Bytes that are none give a status of code `Unknown` without a message: what a server sends in
    /// place of a status is not worth an error of its own.
    #[must_use]
    pub fn from_proto(bytes: &[u8]) -> Status {
        let status = Message::whole(bytes);
        let retry_delay = status
            .messages(3)
            .filter(|detail| detail.bytes(1) == RETRY_INFO.as_bytes())
            .find_map(|detail| retry_delay(detail.bytes(2)));
        let code = if bytes.is_empty() { Code::Unknown } else { Code::of(status.number(1)) };
        Status { code, message: status.text(2).into_owned(), retry_delay }
    }

    /// Reads JSON; `None` when it is none.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Status> {
        let body: Json = serde_json::from_slice(bytes).ok()?;
        let retry_delay = body.get("details").and_then(Json::as_array).into_iter().flatten().find_map(|detail| {
            let delay = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?;
            Duration::try_from_secs_f64(delay.parse().ok()?).ok()
        });
        Some(Status {
            code: Code::of(body.get("code").and_then(Json::as_u64).unwrap_or(2)),
            message: body.get("message")?.as_str()?.to_owned(),
            retry_delay,
        })
    }
}

fn put_duration(out: &mut Vec<u8>, delay: Duration) {
    for (number, value) in [(1, delay.as_secs()), (2, u64::from(delay.subsec_nanos()))] {
        if value > 0 {
            put_tag(out, number, 0);
            put_varint(out, value);
        }
    }
}

/// The delay of a `RetryInfo`, 0 if it has none; `None` when the bytes are no `RetryInfo`.
fn retry_delay(info: &[u8]) -> Option<Duration> {
    let whole = |bytes| {
        let mut fields = Fields::of(bytes);
        while fields.try_next().ok()?.is_some() {}
        Some(Message::whole(bytes))
    };
    let info = whole(info)?;
    if info.last(1).is_some_and(|field| field.wire() != 2) {
        return None;
    }
    Some(duration(&whole(info.bytes(1))?))
}

/// Servers may send nonsense; a negative delay is none, and nothing waits longer than a day.
fn duration(message: &Message<'_>) -> Duration {
    const LONGEST: u64 = 24 * 60 * 60;
    let (seconds, nanos) = (message.number(1) as i64, message.number(2) as i64);
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LONGEST);
    Duration::new(seconds, u32::try_from(nanos).unwrap_or(0).min(999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_both_encodings() {
        for status in [
            Status::new(Code::InvalidArgument, "proto: illegal wireType 7"),
            Status::new(Code::ResourceExhausted, "busy").retry_after(Duration::from_millis(1500)),
            Status::new(Code::Unavailable, ""),
        ] {
            assert_eq!(Status::from_proto(&status.to_proto()), status);
            if !status.message.is_empty() {
                assert_eq!(Status::from_json(&status.to_json()), Some(status));
            }
        }
    }

    #[test]
    fn what_the_collector_answers_reads_the_same() {
        let status = Status::new(Code::InvalidArgument, "proto: illegal wireType 7");
        assert_eq!(status.to_proto(), b"\x08\x03\x12\x19proto: illegal wireType 7");
        assert_eq!(status.to_json(), br#"{"code":3,"message":"proto: illegal wireType 7"}"#);
    }

    #[test]
    fn the_delay_of_a_server_is_bounded() {
        let mut info = Vec::new();
        put_message(&mut info, 1, |out| {
            put_tag(out, 1, 0);
            put_varint(out, u64::MAX);
            put_tag(out, 2, 0);
            put_varint(out, u64::MAX);
        });
        let mut status = Vec::new();
        put_message(&mut status, 3, |any| {
            put_bytes(any, 1, RETRY_INFO.as_bytes());
            put_bytes(any, 2, &info);
        });
        assert_eq!(Status::from_proto(&status).retry_delay, Some(Duration::ZERO));
    }

    #[test]
    fn a_retry_info_that_is_none_is_not_there() {
        for (info, delay) in [
            (&b""[..], Some(Duration::ZERO)),
            (b"\x0a\x02\x08\x07", Some(Duration::from_secs(7))),
            (b"\x0a\x02\x08", None),
            (b"\x0a\x02\x08\x87", None),
            (b"\x08\x07", None),
            (b"garbage", None),
        ] {
            let mut status = Vec::new();
            put_message(&mut status, 3, |any| {
                put_bytes(any, 1, RETRY_INFO.as_bytes());
                put_bytes(any, 2, info);
            });
            assert_eq!(Status::from_proto(&status).retry_delay, delay, "{info:?}");
        }
    }

    #[test]
    fn only_the_codes_of_the_specification_may_be_retried() {
        let retryable: Vec<u8> = Code::ALL.into_iter().filter(|c| c.retryable(None)).map(|c| c as u8).collect();
        assert_eq!(retryable, [1, 4, 10, 11, 14, 15]);
        assert!(Code::ResourceExhausted.retryable(Some(Duration::ZERO)));
        assert!(!Code::Internal.retryable(Some(Duration::ZERO)));
        let http: Vec<u16> = (100..600).filter(|s| http_retryable(*s)).collect();
        assert_eq!(http, [429, 502, 503, 504]);
    }
}
