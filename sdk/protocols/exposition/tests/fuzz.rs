//! The fuzz target, for seconds, on seeds and mutations of them.

use base_stdx::protobuf::{push_varint, zigzag};
use sdk_protocols_exposition::{fuzz, protobuf};
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 30_000;

const WORDS: &[&str] = &[
    "{",
    "}",
    "\"",
    "=",
    ",",
    " ",
    "\t",
    "\n",
    "\\",
    "\\n",
    "# TYPE ",
    "# HELP ",
    "# UNIT ",
    "# EOF\n",
    " # {",
    "NaN",
    "+Inf",
    "-",
    "1e400",
    "0x1p-2",
    "1_0",
    "le=\"1\"",
    "a:b",
    "\u{e9}",
    "\0",
    "{\"a.b\"",
    "histogram",
    "_bucket",
    "_created",
];

#[test]
fn any_page_can_be_walked() {
    let seeds: Vec<Vec<u8>> = [
        "# HELP a_total What \\\\ was \\n asked.\n# TYPE a_total counter\na_total{code=\"200\",path=\"/\\\"x\\\\\"} 1027 1395066363000\n",
        "# TYPE h histogram\nh_bucket{le=\"0.1\"} 3\nh_bucket{le=\"+Inf\"} 5\nh_sum 1.5e-3\nh_count 5\nup NaN\n{\"a.b\",x=\"1\"} -Inf\n",
        "# TYPE a counter\n# UNIT a_seconds seconds\na_total{b=\"c\"} 1 1.5 # {trace_id=\"abc\"} 0.5 1520879607.789\na_created 1.5\n# EOF\n",
        "\n\n  # a comment\nbare 1\r\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec();
    mutate::run(&seeds, WORDS, MUTATIONS, fuzz::page);
}

#[test]
fn any_page_of_protobuf_can_be_walked() {
    let text = |number, text: &str| bytes(number, &[text.as_bytes()]);
    let label = bytes(1, &[&text(1, "a"), &text(2, "b")]);
    let exemplar = |number| bytes(number, &[&label, &double(2, 0.5), &bytes(3, &[&varint(1, 7)])]);
    let bucket = bytes(3, &[&varint(1, 4), &double(2, 1.0), &exemplar(3)]);
    let native = [varint(5, zigzag(4)), bytes(12, &[&varint(2, 2)]), bytes(13, &[&[2, 4]]), varint(7, 2), exemplar(16)];
    let histogram =
        bytes(7, &[&varint(1, 9), &double(2, 1.0), &bucket, &native.concat(), &bytes(15, &[&varint(1, 5)])]);
    let summary = bytes(4, &[&varint(1, 3), &bytes(3, &[&double(1, 0.5), &double(2, 1.0)])]);
    let counter = bytes(3, &[&double(1, 7.0), &exemplar(2), &bytes(3, &[&varint(1, 5)])]);
    let page = |kind, metric: &[u8]| {
        let metric = bytes(4, &[&label, metric, &varint(6, 1_760_000_000_000)]);
        let family = [text(1, "m"), text(2, "What."), varint(3, kind), metric].concat();
        let mut page = Vec::new();
        push_varint(&mut page, family.len() as u64);
        [page, family].concat()
    };
    let (histogram, summary, counter) = (page(4, &histogram), page(2, &summary), page(0, &counter));
    let seeds = [[&*histogram, &*summary, &*counter].concat(), histogram, summary, counter];
    let mut seen = 0;
    let read = protobuf::visit(&seeds[0], |family, metric| {
        seen += usize::from(family.help == "What." && metric.timestamp.is_some());
        Ok(())
    });
    assert_eq!((read, seen), (Ok(()), 3), "the seeds are good");
    mutate::run(&seeds, &["\x0a", "\x22", "\x7f", "\0", "\u{80}"], MUTATIONS, fuzz::protobuf_page);
}

fn bytes(number: u64, inner: &[&[u8]]) -> Vec<u8> {
    let inner = inner.concat();
    let mut field = Vec::new();
    push_varint(&mut field, number << 3 | 2);
    push_varint(&mut field, inner.len() as u64);
    [field, inner].concat()
}

fn varint(number: u64, value: u64) -> Vec<u8> {
    let mut field = Vec::new();
    push_varint(&mut field, number << 3);
    push_varint(&mut field, value);
    field
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}
