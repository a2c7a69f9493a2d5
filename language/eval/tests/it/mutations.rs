//! The fuzz targets, for seconds, on seeds and mutations of them.

use language_eval::fuzz;
use sdk_testing::{mutate, oracle};

/// How many mutations of the seeds.
const MUTATIONS: usize = 10_000;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    " = ",
    ",",
    ".",
    "\n",
    "\"",
    "null",
    "true",
    "x.y.secret",
    "x.y.targets",
    "x.y",
    "1",
    "-1",
    "99999999999",
    "\"1s\"",
    "\"1KiB\"",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "i",
    "s.a",
    "s.b",
    " + ",
    " ^ ",
    "string.format(",
    "coalesce(",
    "encoding.to_json(",
    "array.concat(",
    "\"%v%d%s\"",
    "!",
];

/// Small bodies, and if they are there the recorded expressions and arguments.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "a = [\"x\", 1]\nb = 5\nc = {k = 1.5}\nd = x.y.targets\ne = \"a\" + x.y.secret\nf = \"1m\"\ng = \"2MiB\"\nh = {a = 1}\n",
        "i {\n\ta = 1\n\ti {\n\t\ts.a { }\n\t}\n}\ns.b {\n\ts.a {\n\t\ta = -7\n\t}\n}\n",
        "a = [string.format(\"%s %v\", x.y.secret, x.y.targets)]\ne = encoding.to_json({p = x.y.secret})\n",
        "a = json_path(\"{\\\"a\\\": [1, 2]}\", \"$.a[?(@ > 1)]\")\nc = encoding.from_yaml(\"k: 1e3\\nl: [&x 0x1f, *x]\")\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec();
    for (group, field) in [("expressions", "expr"), ("decode", "expr")] {
        let text = oracle::text(&format!("language/{group}/cases.jsonl")).unwrap_or_default();
        seeds.extend(text.lines().filter_map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(format!("a = {}\n", case.get(field)?.as_str()?).into_bytes())
        }));
    }
    seeds
}

#[test]
fn any_expression_has_a_value_or_a_diagnostic() {
    mutate::run(&seeds(), WORDS, MUTATIONS, fuzz::evaluator);
}

#[test]
fn any_body_is_decoded_or_refused() {
    mutate::run(&seeds(), WORDS, MUTATIONS, fuzz::decoder);
}
