//! Every recorded expression: its value, its kind and text, or its error and where that stands.

use language_eval::{Scope, Value, evaluate, value_to_json};
use language_syntax::Diagnostic;
use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

use crate::surroundings::{only_attribute, parsed, scope, unresolved};

#[derive(Deserialize)]
struct Case {
    id: String,
    expr: String,
    value: Option<serde_json::Value>,
    kind: Option<String>,
    text: Option<String>,
    error: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    api: Option<serde_json::Value>,
    panic: Option<String>,
    #[serde(default)]
    unstable: bool,
}

/// Errors of parsers that Alloy did not write and we do not have: only the function and its place are compared.
const OTHER_PARSERS: [&str; 5] =
    ["encoding.from_json ", "encoding.from_yaml ", "encoding.from_", "json_path ", "encoding.to_json json: "];

fn value_of(expression: &str, scope: &Scope) -> Result<Value, Diagnostic> {
    let (file, source) = parsed(format!("probe \"x\" {{\n  v = {expression}\n}}\n"));
    if let Some(diagnostic) = unresolved(&file, &source, scope).0.into_iter().next() {
        return Err(diagnostic);
    }
    evaluate(&only_attribute(&file).value, &source, scope)
}

#[test]
fn expressions_evaluate_as_recorded() {
    let Some(cases) = oracle::cases::<Case>("language/expressions/cases.jsonl") else { return };
    let scope = scope();
    let mut group = Group::new("expressions");
    for case in cases {
        group.case(&case.id, difference(&case, &scope));
    }
    group.finish();
}

fn difference(case: &Case, scope: &Scope) -> Option<String> {
    let expression = with_environment(&case.expr);
    let ours = value_of(&expression, scope);
    let shown = format!("{} => {ours:?}", case.expr);
    match (&case.error, ours) {
        (Some(error), Ok(_)) => Some(format!("{shown}\nalloy: {error}")),
        (Some(error), Err(ours)) => {
            let start = ours.location.as_ref().map(|location| location.start());
            let place = (start.map(|start| start.line), start.map(|start| start.column));
            let parser = OTHER_PARSERS.iter().any(|start| error.starts_with(start) && ours.message.starts_with(start));
            let same = place == (case.line, case.column) && (*error == ours.message || parser);
            (!same).then(|| {
                format!(
                    "{}\nalloy: {error} {:?}\nours:  {} {place:?}",
                    case.expr,
                    (case.line, case.column),
                    ours.message
                )
            })
        }
        (None, Err(ours)) => Some(format!("{}\nalloy: {:?}\nours:  {ours}", case.expr, case.value)),
        (None, Ok(_)) if case.panic.is_some() => Some(format!("{shown}\nalloy: panics")),
        (None, Ok(ours)) => {
            if let (Some(expected), None) = (&case.value, &case.api) {
                let json: serde_json::Value = serde_json::from_str(&value_to_json(&ours)).expect("valid JSON");
                if !same_json(expected, &json, case.unstable) {
                    return Some(format!("{}\nalloy: {expected}\nours:  {json}", case.expr));
                }
            }
            let kind = case.kind.as_deref().unwrap_or_default();
            let plain = !kind.contains("func(")
                && !kind.contains("alloytypes")
                && !kind.contains('*')
                && !kind.contains("Rules");
            let opaque = case.text.as_ref().is_none_or(|text| {
                text.contains("0xPTR")
                    || text.contains("{true ")
                    || text.contains("{false ")
                    || text.contains(".receiver")
            });
            if plain && !opaque && !case.unstable {
                // What the value is to Go: kinds of number, texts of floats, nulls and lists.
                for (verb, expected) in [("%T", &case.kind), ("%v", &case.text)] {
                    let ours = value_of(&format!("string.format(\"{verb}\", ({expression}))"), scope);
                    let Ok(Value::String(ours)) = ours else {
                        return Some(format!("{verb} of {}: {ours:?}", case.expr));
                    };
                    let ours = ours.to_string_lossy().into_owned();
                    let masked = expected.as_deref().is_some_and(|text| matches!(text, "HOST" | "VERSION"));
                    if !masked && expected.as_deref() != Some(&ours) {
                        return Some(format!("{verb} of {}\nalloy: {expected:?}\nours:  {ours:?}", case.expr));
                    }
                }
            }
            None
        }
    }
}

/// The variables of the recordings, which this process has under names of its own.
fn with_environment(expression: &str) -> String {
    let mut expression = expression.to_owned();
    for (name, value) in [("ORACLE_WORD", "hello"), ("ORACLE_EMPTY", ""), ("ORACLE_NUMBER", "42")] {
        // As long as the original, so that places stay where they are.
        let original = format!("sys.env(\"{name}\")");
        let stand_in = format!("trim(\"{value}\", \"\")");
        expression = expression.replace(&original, &format!("{stand_in:width$}", width = original.len()));
    }
    expression
}

fn same_json(left: &serde_json::Value, right: &serde_json::Value, any_order: bool) -> bool {
    use serde_json::Value::*;
    match (left, right) {
        (String(left), String(right)) => left == right || matches!(left.as_str(), "HOST" | "VERSION"),
        (Number(left), Number(right)) => left.as_f64() == right.as_f64(),
        (Array(left), Array(right)) if any_order => {
            left.len() == right.len() && left.iter().all(|left| right.iter().any(|right| same_json(left, right, true)))
        }
        (Array(left), Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_json(left, right, false))
        }
        (Object(left), Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| same_json(left, right, any_order)))
        }
        (left, right) => left == right,
    }
}

/// Expressions beside those that were recorded: their text, as `%v` says it, or their error.
#[test]
fn neighbours_of_the_recorded_expressions_are_as_in_alloy() {
    let table = [
        ("18446744073709551615 + 18446744073709551615", "18446744073709551614"),
        ("18446744073709551615 / 9223372036854775808", "1"),
        (r#"encoding.from_json("\"\\ud83d x \\ud83d\\ude00\"")"#, "\u{fffd} x \u{1f600}"),
        (r#"encoding.to_json({a = "\xff\u00e9"})"#, r#"{"a":"\ufffdé"}"#),
        (r#"encoding.from_base64("a")"#, "encoding.from_base64 illegal base64 data at input byte 0"),
        (r#"encoding.from_base64("aGk=\naGk")"#, "encoding.from_base64 illegal base64 data at input byte 5"),
        (r#"encoding.from_base64("aGk=x")"#, "encoding.from_base64 illegal base64 data at input byte 4"),
        (r#"encoding.from_base64("aG-k")"#, "encoding.from_base64 illegal base64 data at input byte 2"),
        (r#"json_path(`{"a": [1, 2, {"c": "d"}]}`, "$.a[?(@ in [1, 3])]")"#, "[1]"),
        (r#"json_path(`{"a": [1, 2, {"c": "d"}]}`, "$.a[?(@.c exists true)].c")"#, "[d]"),
        (r#"json_path(`[{"c": ""}, {"c": "d"}]`, "$[?(@.c empty false)].c")"#, "[d]"),
        (r#"json_path(`[[1], [1, 2]]`, "$[?(length(@) > 1)]")"#, "[[1 2]]"),
        (r#"json_path(`[[1], [1, 2]]`, "$[?(count(@.*) == 1)]")"#, "[[1]]"),
        (r#"json_path(`{"a": 1, "a": 2}`, "$[*]")"#, "[2]"),
        // Widths and signs reach what does not fit its verb, too.
        (r#"string.format("%05s|%-5t|%+.1F", -42, 255, 7)"#, "%!s(int=-0042)|%!t(int=255  )|%!F(int=+7)"),
        (r#"string.format("%v|%d|%s", [null], [null], {a = null})"#, "[<nil>]|[<nil>]|map[a:<nil>]"),
        (
            r#"string.format("%#v", {a = "x", b = [1, null]})"#,
            r#"map[string]interface {}{"a":"x", "b":[]interface {}{1, interface {}(nil)}}"#,
        ),
        (
            r#"string.format("%x|%X|%.2x|%b", 1.5, -0.001, 1e21, 1.5)"#,
            "0x1.8p+00|-0X1.0624DD2F1A9FCP-10|0x1.b2p+69|6755399441055744p-52",
        ),
        (r#"string.format("%#g|%#.3g|%#v", 1.0, -0.001, 1.5)"#, "1.00000|-0.00100|1.5"),
        (r#"string.format("%05O|%#05x|%#O", -42, 255, -42)"#, "-0o0052|0x000ff|-0o052"),
        (r#"string.format("%.3x|%+q|%U", "héllo", "é", -42)"#, r#"68c3a9|"\u00e9"|U+FFFFFFFFFFFFFFD6"#),
        (r#"string.format("%6.2T|%w", [1], [1])"#, "    []|%!w([]interface {}=[1])"),
    ];
    let scope = scope();
    for (expression, expected) in table {
        let ours = match value_of(expression, &scope) {
            Ok(Value::String(text)) => text.to_string_lossy().into_owned(),
            Ok(_) => match value_of(&format!("string.format(`%v`, ({expression}))"), &scope) {
                Ok(Value::String(text)) => text.to_string_lossy().into_owned(),
                other => panic!("{expression}: {other:?}"),
            },
            Err(error) => error.message,
        };
        assert_eq!(ours, expected, "{expression}");
    }
}
