//! The fuzz target, for seconds, on seeds and mutations of them.

use sdk_histogram::{Classic, NativeHistogram, ResetHint};
use sdk_labels::Labels;
use sdk_protocols_remote_write::{About, RequestBuilder, SymbolBuilder, fuzz};
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
    builder.push_histogram(labels.as_remote_write(), &histogram(), 1_760_000_000_000);
    let mut symbols = SymbolBuilder::new();
    let about = About { kind: "counter", help: "Ups.", unit: "" };
    symbols.push_sample(&mut labels.iter(), Some(about), 1.0, 1_760_000_000_000, 1_750_000_000_000);
    symbols.push_histogram(&mut labels.iter(), None, &histogram(), 1_760_000_000_000, 0);
    symbols.push_exemplar(&mut labels.iter(), None, &mut own.iter(), 0.5, 1);
    let second = symbols.finish().expect("there are samples");
    let second = sdk_protocols_remote_write::decompress(&second, 1 << 20).expect("we compressed it");
    let compressed = builder.finish().expect("there are samples").to_vec();
    let plain = sdk_protocols_remote_write::decompress(&compressed, 1 << 20).expect("we compressed it");
    mutate::run(&[compressed, plain, second], WORDS, MUTATIONS, fuzz::request);
}

fn histogram() -> NativeHistogram {
    let mut classic = Classic::default();
    classic.bucket(0.5, 1.0);
    classic.bucket(7.0, 9.0);
    let mut native = classic.native(ResetHint::No).expect("it is coherent");
    (native.schema, native.custom_values) = (3, Vec::new());
    native
}
