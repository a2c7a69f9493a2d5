//! The fuzz target, for seconds, on seeds and mutations of them.

use bytes::Bytes;
use sdk_labels::Labels;
use sdk_protocols_loki::{Add, Push, fuzz};
use sdk_signals::{LogEntry, Metadata};
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 30_000;

const WORDS: &[&str] = &["\0", "\x0a", "\x12", "\x1a", "\x08", "\x7f", "\u{80}", "{a=\"b\"}"];

#[test]
fn any_request_can_be_read_or_refused() {
    let mut push = Push::new();
    for (app, line) in [("web", "hello"), ("db", ""), ("web", "two\u{e9}")] {
        let Add::Stream(stream) = push.stream(&Labels::from_pairs([("app", app)]), 10) else { panic!("there is room") };
        let metadata = Metadata::from_iter([(Bytes::from_static(b"trace"), Bytes::from_static(b"abc"))]);
        push.add(stream, &LogEntry { metadata, ..LogEntry::new(1_760_000_000_000_000_000, line) });
    }
    let compressed = push.finish();
    let plain = snap::raw::Decoder::new().decompress_vec(&compressed).expect("we compressed it");
    mutate::run(&[plain], WORDS, MUTATIONS, fuzz::request);
}
