//! What a queue keeps beside a payload: the signal, and of its origin what the authenticator will ask for.

use bytes::Bytes;
use sdk_signals::{Origin, OtlpSignal};

/// Stands between the name of the signal and the origin.
const SEPARATOR: u8 = b'\n';

type Pairs = (Vec<(String, Vec<String>)>, Vec<(String, String)>);

pub(super) fn meta(signal: OtlpSignal, origin: Option<&Origin>) -> Bytes {
    let name = signal.name().as_bytes();
    let Some(Origin { metadata, auth, .. }) = origin else { return Bytes::from_static(name) };
    let mut meta = [name, &[SEPARATOR]].concat();
    // Texts can always be written.
    meta.extend(serde_json::to_vec(&(metadata, auth)).unwrap_or_default());
    meta.into()
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
        assert_eq!(origin(&meta(OtlpSignal::Logs, Some(&kept))), Some(kept));
        assert_eq!(meta(OtlpSignal::Logs, None), "logs");
        assert_eq!(origin(b"logs"), None);
    }
}
