//! `stage.json` and `stage.labels` have shorter ways for what is common: they lead where the longer ones do.

use base_metrics::Scope as Metrics;
use bytes::Bytes;
use components_loki::process::{Pipeline, StageArguments};
use language_eval::{Arguments, Scope};
use proptest::prelude::*;
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

#[derive(Arguments)]
struct Stages {
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

/// Paths of keys are looked up while the text is scanned, other expressions in the decoded text: a pipe that changes nothing
/// makes the one the other.
fn pipeline(behind_each: &str) -> Pipeline {
    let expression = |path: &str| format!("{path}{behind_each}");
    let config = format!(
        "stage.json {{\n expressions = {{ a = \"{}\", b = \"{}\", long = \"{}\", deep = \"{}\" }}\n}}\n\
         stage.labels {{\n values = {{ a = \"\", b = \"\", long = \"\", deep = \"\", there = \"\" }}\n}}",
        expression("a"),
        expression("abcdefgh"),
        expression("abcdefghi"),
        expression("d.abcdefgh_deep"),
    );
    let stages: Stages = sdk_testing::component::decode(&config, &Scope::new()).expect("a good configuration");
    Pipeline::build(&stages.stages, &Metrics::detached()).expect("good stages")
}

fn run(pipeline: &mut Pipeline, lines: &[String]) -> Vec<(String, String)> {
    let entries = lines.iter().enumerate().map(|(at, line)| LogEntry::new(at as i64, Bytes::from(line.clone())));
    let batch = LogBatch::of(Labels::from_pairs([("there", "yes"), ("a", "before")]), entries.collect());
    let finished = pipeline.run(batch);
    let mut came: Vec<(i64, String)> = Vec::new();
    for group in &finished.batch.groups {
        came.extend(group.entries.iter().map(|entry| (entry.timestamp, group.labels.to_string())));
    }
    came.sort();
    came.into_iter().map(|(at, labels)| (lines[at as usize].clone(), labels)).collect()
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => r#""[ab]{0,2}""#,
        2 => r#""a{6,20}b?""#,
        1 => r#""(\\n|\\u00e4|\\"|\\\\|ä|x){0,3}""#,
        1 => "-?(0|[1-9][0-9]{0,2})([.][0-9]{1,2})?(e[+-]?[0-9])?",
        1 => "true|false|null",
        1 => r#"[ab"\\]{0,3}"#,
    ];
    scalar.prop_recursive(2, 8, 4, |inner| {
        let object = prop::collection::vec((key(), inner.clone()), 0..4).prop_map(|fields| object(&fields, ""));
        let list = prop::collection::vec(inner, 0..3).prop_map(|elements| format!("[{}]", elements.join(",")));
        prop_oneof![2 => object, 1 => list]
    })
}

/// Names that are looked for, and others that begin like them.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("\\u0061".to_owned()),
        Just("abcdefgh".to_owned()),
        Just("abcdefghi".to_owned()),
        Just("abcdefg\\u0068i".to_owned()),
        Just("abcdefgh_deep".to_owned()),
        Just("abcdefgh_deed".to_owned()),
        Just("d".to_owned()),
        "[abd]{0,2}",
    ]
}

fn object(fields: &[(String, String)], blank: &str) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(key, value)| format!("{blank}\"{key}\"{blank}:{blank}{value}{blank}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn line() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec((key(), value()), 0..6);
    (fields, prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\t\r")], prop_oneof![8 => Just(""), 1 => Just("x")])
        .prop_map(|(fields, blank, behind)| format!("{}{behind}", object(&fields, blank)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_shorter_ways_lead_where_the_longer_ones_do(lines in prop::collection::vec(line(), 1..40)) {
        // Lines that came before are remembered by the first pipeline, and there are none for each of the others.
        let mut short = pipeline("");
        for _ in 0..2 {
            let came = run(&mut short, &lines);
            for (line, labels) in came {
                let alone = run(&mut pipeline(" | @"), std::slice::from_ref(&line));
                prop_assert_eq!(&alone, &[(line, labels)]);
            }
        }
    }
}
