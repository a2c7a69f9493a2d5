//! The fuzz target, for seconds, on seeds and mutations of them.

use sdk_protocols_exposition::fuzz;
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
