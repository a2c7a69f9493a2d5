//! The recorded cases of `pipelines/relabel`, all three kinds.
#![allow(clippy::unwrap_used)]

use language_eval::{Block, BodySource, Scope};
use language_syntax::{Source, parse};
use sdk_labels::Labels;
use sdk_relabel::{NameRule, Rule, Rules};
use sdk_testing::oracle;
use serde_json::Value;

/// What a component with rules takes.
#[derive(Block)]
struct Arguments {
    #[block]
    rule: Vec<Rule>,
}

#[test]
fn rules_do_what_alloy_does() {
    let Some(cases) = oracle::cases::<Value>("pipelines/relabel/cases.jsonl") else { return };
    let mut group = oracle::Group::new("relabel");
    for case in cases {
        let id = case["id"].as_str().unwrap();
        for (part, difference) in differences(&case) {
            group.case(format!("{id} {part}").trim_end(), difference);
        }
    }
    group.finish();
}

fn differences(case: &Value) -> Vec<(&'static str, Option<String>)> {
    let rules = rules(case["config"].as_str().unwrap());
    if let Some(error) = case["load_error"].as_str() {
        let difference = match rules {
            Ok(_) => Some(format!("loads, but should say {error}")),
            // The sentence must be in it; what stands around it may be better.
            Err(ours) if ours.lines().any(|line| said(line, error)) => None,
            Err(ours) => Some(format!("{ours}, but should be {error}")),
        };
        return vec![("", difference)];
    }
    let rules = match rules {
        Ok(rules) => rules,
        Err(ours) => return vec![("", Some(ours))],
    };
    ["discovery", "loki", "prometheus"].map(|kind| (kind, kind_difference(case, kind, &rules))).to_vec()
}

/// Whether one of our lines ends with the last part of Alloy's message.
fn said(line: &str, error: &str) -> bool {
    let sentence = error.lines().next().unwrap_or(error);
    let sentence = sentence.rsplit("decoding configuration: ").next().unwrap_or(sentence);
    let sentence =
        sentence.split_once("\" ").filter(|_| sentence.starts_with("error during")).map_or(sentence, |(_, rest)| rest);
    let sentence = sentence.rsplit_once("alloy:").and_then(|(_, rest)| rest.splitn(3, ':').nth(2)).unwrap_or(sentence);
    line.contains(sentence.trim())
}

fn kind_difference(case: &Value, kind: &str, rules: &[Rule]) -> Option<String> {
    let names = if kind == "discovery" { NameRule::Utf8 } else { NameRule::Legacy };
    let rules = Rules::new(rules.to_vec(), names);
    let mut ours = Vec::new();
    for (i, input) in case["input"].as_array().unwrap().iter().enumerate() {
        if case[kind].get(i).is_none_or(|expected| expected == "not sent") {
            ours.extend(case[kind].get(i).cloned());
            continue;
        }
        let mut pairs: Vec<(String, String)> = (input.as_object().unwrap().iter())
            .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        if kind == "prometheus" {
            pairs.push(("__name__".into(), format!("sample_{i}")));
        }
        let kept = rules.relabel(&Labels::from_pairs(pairs));
        // An element without labels is none, except for a target; loki.write does not send internal labels.
        let kept = kept.filter(|labels| kind == "discovery" || !labels.is_empty());
        ours.push(kept.map_or(Value::Null, |labels| {
            let sent = labels.iter().filter(|(name, _)| kind != "loki" || !name.starts_with("__"));
            sent.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
        }));
    }
    let ours = Value::from(ours);
    let others = case["other_observed"].as_array().into_iter().flatten().filter_map(|other| other.get(kind));
    let expected: Vec<&Value> = case.get(kind).into_iter().chain(others).collect();
    if expected.is_empty() || expected.contains(&&ours) {
        None
    } else {
        Some(format!("{ours}, but should be {}", expected[0]))
    }
}

/// The rules of a configuration, or all that is wrong with it.
fn rules(config: &str) -> Result<Vec<Rule>, String> {
    let source = Source::new("rules.alloy", config);
    let (file, diagnostics) = parse(source.clone());
    if !diagnostics.is_empty() {
        return Err(diagnostics.to_string());
    }
    let (header, scope) = (Default::default(), &Scope::new());
    let body = BodySource { body: &file.body, source: &source, header, label: None, scope };
    let decoded: Result<Arguments, _> = body.decode();
    decoded.map(|arguments| arguments.rule).map_err(|diagnostics| diagnostics.to_string())
}
