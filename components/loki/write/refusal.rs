//! A request that is refused because of some of its entries: which ones they are, and why.
//!
//! Loki answers 400 with a sentence about one of them. The request is sent again in halves, and those in halves, so that
//! what is good arrives and what is bad is counted with Loki's reason.

use bytes::Bytes;
use sdk_labels::Labels;
use sdk_protocols_loki::{Add, Push, decode, parse_labels};
use sdk_signals::LogEntry;

/// No request of ours becomes more when it is expanded.
const MAX_EXPANDED: usize = 1 << 30;

/// What Loki's sentences say, and the word that it has for it in its own metrics.
const REASONS: &[(&str, &str)] = &[
    ("entry too far behind", "too_far_behind"),
    ("out of order", "out_of_order"),
    ("timestamp too old", "greater_than_max_sample_age"),
    ("timestamp too new", "too_far_in_future"),
    ("max entry size", "line_too_long"),
    ("label names; limit", "max_label_names_per_series"),
    ("label name too long", "label_name_too_long"),
    ("label value too long", "label_value_too_long"),
    ("duplicate label name", "duplicate_label_names"),
    ("at least one label pair is required", "missing_labels"),
    ("error parsing labels", "invalid_labels"),
    ("structured metadata", "structured_metadata"),
];

/// The reason, if the answer is about entries and not about the request.
pub fn reason_of(answer: &str) -> Option<&'static str> {
    let answer = answer.to_ascii_lowercase();
    REASONS.iter().find(|(sentence, _)| answer.contains(sentence)).map(|(_, reason)| *reason)
}

/// The entries of a request, each with the labels of its stream.
pub struct Entries(Vec<(Labels, LogEntry)>);

// === impl Entries ===

impl Entries {
    /// Of a body as it was sent; None if it cannot be read, which no request of ours is.
    pub fn of(body: &Bytes) -> Option<Entries> {
        let raw = sdk_protocols_compression::Coding::SnappyBlock.expand(body, MAX_EXPANDED).ok()?;
        let mut entries = Vec::new();
        for stream in decode(&raw.into()).ok()? {
            let labels = parse_labels(std::str::from_utf8(&stream.labels).ok()?).ok()?;
            entries.extend(stream.entries.into_iter().map(|entry| (labels.clone(), entry)));
        }
        Some(Entries(entries))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A request of some of them.
    pub fn body(&self, range: std::ops::Range<usize>) -> Bytes {
        let mut push = Push::new();
        for (labels, entry) in &self.0[range] {
            if let Add::Stream(stream) = push.stream(labels, 0) {
                push.add(stream, entry);
            }
        }
        push.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lokis_sentences_have_reasons() {
        for (answer, reason) in [
            (
                "entry with timestamp 2026-01-01 ignored, reason: 'entry too far behind, oldest acceptable timestamp is: x'",
                Some("too_far_behind"),
            ),
            (
                "Max entry size '262144' bytes exceeded for stream '{a=\"b\"}' while adding an entry with length '300000' bytes",
                Some("line_too_long"),
            ),
            (
                "entry for stream '{a=\"b\"}' has timestamp too old: 2020-01-01T00:00:00Z",
                Some("greater_than_max_sample_age"),
            ),
            ("entry for stream '{}' has 20 label names; limit 15", Some("max_label_names_per_series")),
            ("no org id", None),
            ("", None),
        ] {
            assert_eq!(reason_of(answer), reason, "{answer}");
        }
    }

    #[test]
    fn a_part_of_a_request_is_a_request() {
        let mut push = Push::new();
        for (stream, count) in [("a", 2), ("b", 3)] {
            let Add::Stream(id) = push.stream(&Labels::from_pairs([("s", stream)]), 0) else { panic!("there is room") };
            (0..count).for_each(|at| push.add(id, &LogEntry::new(at, format!("{stream}{at}"))));
        }
        let entries = Entries::of(&push.finish()).unwrap();
        assert_eq!(entries.len(), 5);
        let part = Entries::of(&entries.body(1..4)).unwrap();
        let lines: Vec<_> = part.0.iter().map(|(labels, entry)| (labels.to_string(), entry.line.clone())).collect();
        assert_eq!(lines[0], ("{s=\"a\"}".to_owned(), Bytes::from("a1")));
        assert_eq!(lines[2], ("{s=\"b\"}".to_owned(), Bytes::from("b1")));
        assert!(Entries::of(&Bytes::from_static(b"\xff")).is_none());
    }
}
