//! The fuzz targets, for seconds, on seeds and mutations of them.

use language_syntax::fuzz;
use sdk_testing::{mutate, oracle};

/// How many mutations of the seeds.
const MUTATIONS: usize = 20_000;

const WORDS: &[&str] = &[
    "{", "}", "[", "]", "(", ")", "=", ",", ".", "\n", "//", "/*", "*/", "\"", "`", "'", "\\", "\\u", "null", "true",
    "a", "a.b", "\"l\"", " = ", "1", "1.5e", "&&", "|", "^", "-", "!", "\u{feff}", "\u{e9}", "\r\n", "\0", "\t", "#",
    "// c\n", "/* \n */", "[1,\n]",
];

/// Small configurations, and if they are there the recorded ones.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "loki.write \"x\" {\n\tendpoint {\n\t\turl = sys.env(\"URL\") + \"/push\" // where\n\t}\n}\n",
        "a = {b = [1, 2.5, -3], \"c d\" = `raw\n\ttext`, e = f(g.h[0], !true)}\n",
        "/* c */ a \"l\" { } // d\n\nb = (1 +\n2) ^ 3 == 4 && null\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec();
    for group in ["fmt", "syntax"] {
        let text = oracle::text(&format!("language/{group}/cases.jsonl")).unwrap_or_default();
        seeds.extend(text.lines().filter_map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(case.get("input")?.as_str()?.as_bytes().to_vec())
        }));
    }
    seeds
}

#[test]
fn any_bytes_can_be_scanned() {
    mutate::run(&seeds(), WORDS, MUTATIONS, fuzz::scanner);
}

#[test]
fn any_bytes_can_be_parsed() {
    mutate::run(&seeds(), WORDS, MUTATIONS, fuzz::parser);
}

#[test]
fn what_parses_can_be_formatted() {
    mutate::run(&seeds(), WORDS, MUTATIONS, fuzz::printer);
}
