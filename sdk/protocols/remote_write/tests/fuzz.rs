//! The fuzz target, for seconds, on seeds and mutations of them.

use sdk_labels::Labels;
use sdk_protocols_remote_write::{RequestBuilder, fuzz};
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 30_000;

const WORDS: &[&str] = &["\0", "\x0a", "\x12", "\x1a", "\x22", "\x7f", "\u{80}", "__name__"];

#[test]
fn any_request_can_be_read_or_refused() {
    let mut builder = RequestBuilder::new();
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", "web-1:9100"), ("job", "node")]);
    builder.push_sample(labels.as_remote_write(), 1.0, 1_760_000_000_000);
    let own = Labels::from_pairs([("trace_id", "abc")]);
    builder.push_exemplar(labels.as_remote_write(), own.as_remote_write(), 0.5, -1);
    let compressed = builder.finish().expect("there are samples").to_vec();
    let plain = sdk_protocols_remote_write::decompress(&compressed, 1 << 20).expect("we compressed it");
    mutate::run(&[compressed, plain], WORDS, MUTATIONS, fuzz::request);
}
