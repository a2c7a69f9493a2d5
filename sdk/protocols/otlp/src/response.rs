//! The answers to an export: the empty success in both encodings, and partial success.

use std::fmt;

use serde_json::Value as Json;

use crate::Signal;
use crate::walk::Message;

/// `Export*ServiceResponse` with an empty `partial_success`, as the Collector answers.
pub const SUCCESS_PROTO: &[u8] = b"\n\0";
/// The same in JSON.
pub const SUCCESS_JSON: &[u8] = br#"{"partialSuccess":{}}"#;

/// What a server did not take of a request that it otherwise accepted. It must not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialSuccess {
    /// Items that the server threw away; 0 with a message is a warning.
    pub rejected: u64,
    /// Why, for a person.
    pub message: String,
}

impl fmt::Display for PartialSuccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rejected: {}", self.rejected, self.message)
    }
}

impl PartialSuccess {
    /// Reads the partial success out of an `Export*ServiceResponse`; `None` when everything was taken without a word.
    /// Field numbers are the same for all signals.
    #[must_use]
    pub fn from_proto(response: &[u8]) -> Option<PartialSuccess> {
        let partial = Message::whole(response).message(1);
        let rejected = u64::try_from(partial.number(1) as i64).unwrap_or(0);
        PartialSuccess { rejected, message: partial.text(2).into_owned() }.worth_telling()
    }

    /// Reads it out of the JSON form.
    #[must_use]
    pub fn from_json(signal: Signal, response: &[u8]) -> Option<PartialSuccess> {
        let body: Json = serde_json::from_slice(response).ok()?;
        let partial = body.get("partialSuccess")?;
        let rejected = partial.get(match signal {
            Signal::Traces => "rejectedSpans",
            Signal::Metrics => "rejectedDataPoints",
            Signal::Logs => "rejectedLogRecords",
        });
        let rejected = rejected.and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok())).unwrap_or(0);
        let message = partial.get("errorMessage").and_then(Json::as_str).unwrap_or_default().to_owned();
        PartialSuccess { rejected, message }.worth_telling()
    }

    /// As an `Export*ServiceResponse`.
    #[must_use]
    pub fn to_proto(&self) -> Vec<u8> {
        let mut out = Vec::new();
        crate::wire::put_message(&mut out, 1, |partial| {
            if self.rejected > 0 {
                crate::wire::put_tag(partial, 1, 0);
                crate::wire::put_varint(partial, self.rejected);
            }
            if !self.message.is_empty() {
                crate::wire::put_bytes(partial, 2, self.message.as_bytes());
            }
        });
        out
    }

    fn worth_telling(self) -> Option<Self> {
        (self != PartialSuccess::default()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_is_read_in_both_encodings() {
        let partial = PartialSuccess { rejected: 3, message: "too old".into() };
        assert_eq!(PartialSuccess::from_proto(&partial.to_proto()), Some(partial.clone()));
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#;
        assert_eq!(PartialSuccess::from_json(Signal::Logs, json), Some(partial));
    }

    #[test]
    fn a_plain_success_says_nothing() {
        assert_eq!(PartialSuccess::from_proto(SUCCESS_PROTO), None);
        assert_eq!(PartialSuccess::from_proto(b""), None);
        assert_eq!(PartialSuccess::from_proto(b"\xff\xff"), None);
        assert_eq!(PartialSuccess::from_json(Signal::Traces, SUCCESS_JSON), None);
    }
}
