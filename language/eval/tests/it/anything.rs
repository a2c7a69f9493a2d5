//! Whatever is written, evaluating it ends: in a value or a diagnostic, soon, and within bounds.

use std::time::Duration;

use language_eval::{Block, BodySource, Scope, Value, evaluate, value_to_json};
use language_syntax::{Source, parse, parse_expression};
use proptest::prelude::*;

use crate::surroundings::scope;

/// Words that expressions are made of, mistakes and traps among them.
const WORDS: &[&str] = &[
    "1",
    "0",
    "-1",
    "010",
    "1.5",
    "1e300",
    "18446744073709551615",
    "99999999999999999999",
    "\"a\"",
    "\"%s %d %[9]v %*d\"",
    "\"\\xff\"",
    "\"$..[?(@.a == 1)]\"",
    "\"{\\\"a\\\": [1, {\\\"b\\\": null}]}\"",
    "\"a: &x [*x]\"",
    "null",
    "true",
    "false",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "a = 1,",
    "\"k\" =",
    "string.format",
    "string.join",
    "string.replace",
    "string.split",
    "string.trim",
    "encoding.from_json",
    "encoding.from_yaml",
    "encoding.to_json",
    "encoding.from_base64",
    "encoding.url_decode",
    "json_path",
    "coalesce",
    "array.concat",
    "array.combine_maps",
    "array.group_by",
    "sys.env",
    "file.path_join",
    "convert.nonsensitive",
    "constants",
    "local.file.secret.content",
    "local.file.plain.content",
    "discovery.relabel.two.output",
    "loki.echo.one.receiver",
    "loki.echo",
    "nothing",
];

fn evaluate_text(text: &str, scope: &Scope) -> Option<Value> {
    let source = Source::new("fuzz", text);
    let (expr, _) = parse_expression(source.clone());
    language_eval::references(&expr);
    evaluate(&expr, &source, scope).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_words_end_in_a_value_or_a_diagnostic(words in prop::collection::vec(prop::sample::select(WORDS), 1..24)) {
        if let Some(value) = evaluate_text(&words.join(" "), &scope()) {
            let json = value_to_json(&value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
            prop_assert!(!json.contains("hunter2") || words.contains(&"convert.nonsensitive"), "{}", json);
        }
    }

    #[test]
    fn any_call_ends(
        function in prop::sample::select(language_eval::stdlib::FUNCTIONS.iter().map(|info| info.name).collect::<Vec<_>>()),
        arguments in prop::collection::vec(prop::sample::select(WORDS), 0..5),
    ) {
        evaluate_text(&format!("{function}({})", arguments.join(", ")), &scope());
    }

    #[test]
    fn any_format_ends(format in "[%a-zA-Z0-9.*#+ \\[\\]-]{0,20}", number in any::<i64>(), text in ".{0,8}") {
        let text = format!("string.format({format:?}, {number}, {}, {text:?}, [1.5, null])", number as f64 / 3.0);
        evaluate_text(&text, &Scope::new());
    }

    #[test]
    fn any_body_decodes_or_is_refused(text in "[a-c.={}\" \n1\\[\\],]{0,60}") {
        let source = Source::new("fuzz", text);
        let (file, _) = parse(source.clone());
        let body = BodySource { body: &file.body, source: &source, header: Default::default(), label: None, scope: &scope() };
        let _ = body.decode::<Anything>();
        body.check::<Anything>();
    }
}

#[derive(Block)]
#[allow(dead_code)]
struct Anything {
    #[attr]
    a: Vec<String>,
    #[block]
    b: Vec<Anything>,
    #[attr]
    c: Option<u8>,
}

#[test]
fn deep_and_long_texts_do_not_end_the_process() {
    let scope = scope();
    for deep in [
        "(".repeat(100_000),
        "[".repeat(100_000),
        "!".repeat(100_000) + "true",
        "-".repeat(100_000) + "1",
        "{a = ".repeat(100_000),
        format!("{}1{}", "(".repeat(150), ")".repeat(150)),
        format!("{}1{}", "coalesce(".repeat(150), ")".repeat(150)),
        format!("{}1{}", "[".repeat(150), "]".repeat(150)),
        format!("a{}", "[0]".repeat(100_000)),
        format!("a{}", ".b".repeat(100_000)),
    ] {
        evaluate_text(&deep, &scope);
    }
    let sum = format!("1{}", " + 1".repeat(900));
    assert_eq!(evaluate_text(&sum, &scope), Some(Value::from(901_i64)));
}

/// Arguments of a few bytes that ask for gigabytes, or for hours.
#[test]
fn a_call_cannot_ask_for_more_than_there_is() {
    let scope = Scope::new();
    let wide = r#"string.format("%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d%999999d", 1)"#;
    let traps = [
        r#"string.format("%1000000000d", 1)"#.to_owned(),
        r#"string.format("%*d", 1000000000, 1)"#.to_owned(),
        r#"string.format("%.1000000f", 1.5)"#.to_owned(),
        wide.to_owned(),
        format!("string.replace({0:?}, \"\", {0:?})", "x".repeat(50_000)),
        format!("string.join(string.split({:?}, \"\"), {:?})", "x".repeat(20_000), "y".repeat(20_000)),
        "2 ^ 9223372036854775807".to_owned(),
        r#"encoding.from_yaml("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]")"#.to_owned(),
        format!("encoding.from_yaml({:?})", "[".repeat(50_000)),
        format!("encoding.from_json({:?})", "[".repeat(50_000)),
        format!("json_path({:?}, {:?})", "[".repeat(100) + "1" + &"]".repeat(100), "$".to_owned() + &"..*".repeat(90)),
        format!("json_path(\"1\", {:?})", "$[?(".to_owned() + &"(".repeat(50_000)),
        format!("json_path(\"1\", {:?})", "$[?".to_owned() + &"!".repeat(50_000)),
    ];
    for trap in traps {
        let start = tokio_free_now();
        let value = evaluate_text(&trap, &scope);
        let size = value.map_or(0, |value| value_to_json(&value).len());
        assert!(size <= 64 << 20, "{size} bytes from {}", &trap[..trap.len().min(80)]);
        // Far above what any of them takes, far below what an unbounded one would.
        assert!(start.elapsed() < Duration::from_secs(20), "{}", &trap[..trap.len().min(80)]);
    }
}

#[allow(clippy::disallowed_methods, reason = "a test that watches the real clock")]
fn tokio_free_now() -> std::time::Instant {
    std::time::Instant::now()
}
