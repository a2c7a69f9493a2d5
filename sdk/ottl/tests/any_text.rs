//! Whatever text stands where a statement should: it is compiled, or refused with a place inside it; and what was
//! compiled runs on any data without a panic.

use proptest::prelude::*;
use sdk_ottl::{Conditions, Context, ErrorMode, Fault, Statements, Transform};
use sdk_protocols_otlp::model::{
    AnyValue, Data, Event, KeyValue, LogRecord, Metric, MetricData, Number, NumberPoint, ResourceGroup, ScopeGroup,
    Span, Sum,
};

/// Pieces of which statements are made, so that chance also hits what is nearly one.
const PIECES: &[&str] = &[
    "set(",
    "delete_key(",
    "replace_pattern(",
    "append(",
    "flatten(",
    "limit(",
    "truncate_all(",
    "merge_maps(",
    "keep_keys(",
    "attributes",
    "resource.attributes",
    "cache",
    "body",
    "name",
    "span.name",
    "metric.name",
    "value_int",
    "time",
    "trace_id",
    "[\"a\"]",
    "[0]",
    "[-1]",
    "[\"b\"][\"c\"]",
    "Concat([",
    "Split(",
    "ParseJSON(",
    "Substring(",
    "Int(",
    "IsMatch(",
    "Time(",
    "Format(",
    "ExtractPatterns(",
    "URL(",
    "GetXML(",
    "ParseXML(",
    "UserAgent(",
    "SHA256",
    "SHA256(",
    "Sort(",
    "Len(",
    "\"a\"",
    "\"%s\"",
    "\"(\"",
    "\"{\\\"a\\\": 1}\"",
    "\"<a/>\"",
    "1",
    "-2",
    "0.5",
    "0xff",
    "nil",
    "true",
    "{\"k\": 1}",
    "[1, \"x\"]",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ")",
    ")",
    ",",
    ", ",
    " where ",
    " and ",
    " or ",
    " not ",
    " == ",
    " != ",
    " < ",
    " + ",
    " - ",
    " * ",
    " / ",
    "=",
    "=>",
    ".",
    "SPAN_KIND_SERVER",
    "STATUS_CODE_OK",
    "\"\u{fc}\"",
    "\n",
    "\\",
    "\"",
    "~",
];

fn text() -> impl Strategy<Value = String> {
    let pieces = proptest::collection::vec(proptest::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat());
    let whole = ("(set|append|delete_key|truncate_all)", 0..PIECES.len(), 0..PIECES.len(), 0..PIECES.len())
        .prop_map(|(editor, a, b, c)| format!("{editor}(attributes[\"x\"], {}{}{}", PIECES[a], PIECES[b], PIECES[c]));
    prop_oneof![4 => pieces, 3 => whole, 2 => any::<String>(), 1 => "[a-zA-Z0-9_.,()\\[\\]{}\"=<>!+*/ -]{0,60}"]
}

fn check(text: &str, result: Result<(), Vec<Fault>>) {
    let Err(faults) = result else { return };
    assert!(!faults.is_empty());
    for fault in faults {
        assert!(fault.at.start <= fault.at.end && fault.at.end <= text.len().max(fault.text.len()), "{fault:?}");
        assert!(fault.to_string().contains('^'));
    }
}

fn attributes() -> sdk_protocols_otlp::model::Map {
    let list = AnyValue::Array(vec!["x".into(), AnyValue::Int(2), AnyValue::Empty]);
    let mut map: sdk_protocols_otlp::model::Map =
        [("a", AnyValue::from("te\u{fc}xt")), ("b", AnyValue::Int(7)), ("l", list)].into_iter().collect();
    map.0.push(KeyValue { key: bytes::Bytes::from_static(b"\xff").into(), value: None, unknown: Vec::new() });
    map
}

fn over<I: sdk_protocols_otlp::model::Item>(item: I) -> Data<I> {
    let scope = ScopeGroup { items: vec![item], ..ScopeGroup::default() };
    Data { resources: vec![ResourceGroup { scopes: vec![scope], ..ResourceGroup::default() }], ..Data::default() }
}

fn run(context: Context, statements: Statements) {
    let groups = [statements];
    match context {
        Context::Span | Context::SpanEvent => {
            let events = vec![Event { attributes: attributes(), ..Event::default() }];
            let _ = over(Span { attributes: attributes(), events, ..Span::default() }).transform(&groups, &mut |_| {});
        }
        Context::Metric | Context::DataPoint => {
            let points =
                vec![NumberPoint { attributes: attributes(), value: Number::Int(3), ..NumberPoint::default() }];
            let data = MetricData::Sum(Sum { points, ..Sum::default() });
            let _ = over(Metric { data, ..Metric::default() }).transform(&groups, &mut |_| {});
        }
        _ => {
            let body = Some(AnyValue::from("{\"a\": [1]}"));
            let _ = over(LogRecord { attributes: attributes(), body, ..LogRecord::default() })
                .transform(&groups, &mut |_| {});
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_statement_or_refused_with_its_place(text in text(), context in 0..Context::ALL.len()) {
        let context = Context::ALL[context];
        let texts = [text.clone()];
        match Statements::new(context, &texts, &[], ErrorMode::Ignore) {
            Ok(statements) => run(context, statements),
            Err(faults) => check(&text, Err(faults)),
        }
        check(&text, Conditions::new(context, &texts, ErrorMode::Ignore).map(drop));
        check(&text, Statements::inferred(sdk_protocols_otlp::Signal::Logs, &texts, ErrorMode::Ignore).map(drop));
        check(&text, Conditions::inferred(sdk_protocols_otlp::Signal::Metrics, &text, ErrorMode::Ignore).map(drop));
    }
}

/// Time grows with the length of the text, not faster: what would be quadratic or worse would not come back from this.
#[test]
fn long_texts_are_read_in_linear_time() {
    for piece in
        ["(", "a.", "[", "\"\\\"", "a == 1 and ", "not (", "{\"a\":", "f(", "-", "1 + ", "((x, ", "a[", "\u{fc}"]
    {
        let text = [piece.repeat(400_000)];
        check(&text[0], Statements::new(Context::Log, &text, &[], ErrorMode::Ignore).map(drop));
        check(&text[0], Conditions::new(Context::Log, &text, ErrorMode::Ignore).map(drop));
    }
}
