//! Promises that hold for any expression and any text.

#![allow(clippy::unwrap_used)]

use base_re2::{Regex, Slots};
use proptest::prelude::*;

fn anchored(text: &str) -> Regex {
    Regex::anchored(text).unwrap()
}

#[test]
fn anchored_errors_show_the_frame() {
    let shown = |text| Regex::anchored(text).unwrap_err().to_string();
    assert_eq!(shown("("), "error parsing regexp: missing closing ): `^(?s:()$`");
    assert_eq!(shown(")"), "error parsing regexp: unexpected ): `^(?s:))$`");
    assert_eq!(shown("[a"), "error parsing regexp: missing closing ]: `[a)$`");
    assert_eq!(shown("(?<=x)"), "error parsing regexp: invalid named capture: `(?<=x))$`");
}

#[test]
fn expressions_at_gos_limits_compile_and_those_past_them_do_not() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(Regex::new(&nested(999)).unwrap().is_match("a"));
    assert!(Regex::new(&nested(1001)).unwrap_err().to_string().contains("nests too deeply"));
    assert!(Regex::new(&nested(200_000)).is_err());
    let plain = format!("{}a{}", "(?:".repeat(100_000), ")".repeat(100_000));
    assert!(Regex::new(&plain).unwrap().is_match("a"));
    assert!(Regex::new(r"(\w+\s+){500}").is_ok());
    assert!(Regex::new(r"(\pL{100}){10}").is_ok());
    assert!(Regex::new(&"(a{100}){10}".repeat(4000)).unwrap_err().to_string().contains("too large"));
}

#[test]
fn replacement_follows_gos_template_rules() {
    let check = |text, template, input, expect: &str| {
        assert_eq!(Regex::new(text).unwrap().replace_all(input, template), expect, "{text} {template}");
    };
    check("a(x*)b", "$1", "-ab-axxb-", "--xx-");
    check("a(x*)b", "$1W", "-ab-axxb-", "---");
    check("a(x*)b", "${1}W", "-ab-axxb-", "-W-xxW-");
    check("", "-", "é1", "-é-1-");
    check("x*", "-", "axb", "-a-b-");
    check("(?P<n>a)|(?P<n>b)", "[$n]", "ab", "[a][b]");
    check("b+", "$0$0$$", "abb", "abbbb$");
}

#[test]
fn large_alternations_of_words_need_no_engine() {
    let words: Vec<String> = (0..3000).map(|i| format!("word-{i}")).collect();
    let regex = anchored(&words.join("|"));
    assert!(regex.is_match("word-2999") && !regex.is_match("word-3000") && !regex.is_match("word-29990"));
}

/// Expressions of the kinds that have shortcuts, and some that only look so.
fn expression() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(".*"),
        Just(".+"),
        Just("(.*)"),
        Just("(.+)"),
        Just("a"),
        Just("ab"),
        Just("é"),
        Just("[ab]"),
        Just("(a|b)"),
        Just("(?:a|ab)"),
        Just("a?"),
        Just("(?-s:.*)"),
        Just("^"),
        Just("$"),
        Just("(?i:k)"),
        Just("|"),
        Just("()"),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn shortcuts_match_what_the_engine_matches(expression in expression(), text in "[abék\n]{0,5}") {
        let quick = anchored(&expression);
        // A repetition in front keeps the shortcuts from seeing the anchors.
        let engine = Regex::new(&format!(r"(?:\b)*^(?s:{expression})$")).unwrap();
        let (mut ours, mut engines) = (Slots::default(), Slots::default());
        prop_assert_eq!(quick.is_match(&text), engine.is_match(&text));
        prop_assert_eq!(quick.captures(&text, &mut ours), engine.captures(&text, &mut engines));
        for group in 0..quick.groups() {
            prop_assert_eq!(ours.get(group), engines.get(group), "group {} of {:?}", group, quick);
        }
    }

    #[test]
    fn no_text_panics(expression in r"[\\\[\](){}*+?|^$.a-c0-9:<>P,\-]{0,30}|\PC{0,40}", text in ".{0,20}", template in ".{0,10}") {
        if let Ok(regex) = Regex::new(&expression) {
            regex.replace_all(&text, &template);
        }
        let _ = Regex::anchored(&expression);
    }
}
