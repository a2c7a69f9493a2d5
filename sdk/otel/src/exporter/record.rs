//! What a queue keeps beside a payload: the signal, of its origin what the authenticator will ask for, and the number of
//! whoever waits for the answer.

use bytes::Bytes;
use sdk_signals::{Origin, OtlpSignal};

/// Stands between the name of the signal and the origin.
const SEPARATOR: u8 = b'\n';

/// Stands before the number of whoever waits; neither a name nor JSON holds it.
const WAITING: u8 = 0;

type Pairs = (Vec<(String, Vec<String>)>, Vec<(String, String)>);

pub(super) fn meta(signal: OtlpSignal, origin: Option<&Origin>) -> Bytes {
    let name = signal.name().as_bytes();
    let Some(Origin { metadata, auth, .. }) = origin else { return Bytes::from_static(name) };
    let mut meta = [name, &[SEPARATOR]].concat();
    // Texts can always be written.
    meta.extend(serde_json::to_vec(&(metadata, auth)).unwrap_or_default());
    meta.into()
}

/// The same, of a request whose sender waits for the answer.
pub(super) fn waiting(meta: &[u8], number: u64) -> Bytes {
    [meta, &[WAITING], &number.to_be_bytes()].concat().into()
}

/// What [`meta`] wrote, and the number if somebody waits.
pub(super) fn waits(meta: &[u8]) -> (&[u8], Option<u64>) {
    match meta.split_last_chunk::<8>() {
        Some(([before @ .., WAITING], number)) => (before, Some(u64::from_be_bytes(*number))),
        _ => (meta, None),
    }
}

pub(super) fn origin(meta: &[u8]) -> Option<Origin> {
    let begin = meta.iter().position(|byte| *byte == SEPARATOR)? + 1;
    let (metadata, auth): Pairs = serde_json::from_slice(&meta[begin..]).ok()?;
    Some(Origin { peer: None, metadata, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_a_queue() {
        let header = ("x-scope-orgid".to_owned(), vec!["a\nb".to_owned(), "c".to_owned()]);
        let kept = Origin { peer: None, metadata: vec![header], auth: vec![("username".to_owned(), "u".to_owned())] };
        assert_eq!(origin(&meta(OtlpSignal::Logs, Some(&kept))), Some(kept.clone()));
        assert_eq!(meta(OtlpSignal::Logs, None), "logs");
        assert_eq!(origin(b"logs"), None);
        for meta in [meta(OtlpSignal::Metrics, None), meta(OtlpSignal::Logs, Some(&kept))] {
            assert_eq!(waits(&meta), (&meta[..], None));
            assert_eq!(waits(&waiting(&meta, 7)), (&meta[..], Some(7)));
        }
    }
}
