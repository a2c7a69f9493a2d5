//! The recorded cases of `pipelines/relabel`, all three kinds. Until the language can be used from here, the few
//! arguments of a `rule` block are read by the test itself.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use base_re2::Regex;
use sdk_labels::Labels;
use sdk_relabel::{NameRule, Rule, Rules};
use serde_json::Value;

/// Deliberate differences, with their reasons.
const DELIBERATE: &[(&str, &str)] = &[
    ("relabel-093 discovery", "labelmap works on a snapshot here too, so that its result does not depend on chance"),
    (
        "relabel-094 prometheus",
        "the rules set a label without a name as recorded; the sender drops such a series, not the rules",
    ),
];

/// Refused by the decoder, before there is a rule.
const DECODER: &[&str] = &["relabel-121", "relabel-122"];

#[test]
fn rules_do_what_alloy_does() {
    let shared = std::env::var_os("FERROALLOY_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")), PathBuf::from);
    let file = shared.join("oracle/pipelines/relabel/cases.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: {} is not there", file.display());
        return;
    };
    let (mut passed, mut deliberate, mut wrong) = (0, 0, Vec::new());
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        if DECODER.contains(&id) {
            continue;
        }
        for (part, difference) in differences(&case) {
            let name = format!("{id} {part}").trim_end().to_owned();
            let listed = DELIBERATE.iter().any(|(listed, _)| *listed == name);
            match (difference, listed) {
                (None, false) => passed += 1,
                (None, true) => wrong.push(format!("{name}: listed as deliberate, but does not differ")),
                (Some(_), true) => deliberate += 1,
                (Some(difference), false) => wrong.push(format!("{name}: {difference}")),
            }
        }
    }
    eprintln!("relabel: {passed} passed, {deliberate} deliberate, {} failed", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(case: &Value) -> Vec<(&'static str, Option<String>)> {
    let rules = rules(case["config"].as_str().unwrap());
    if let Some(error) = case["load_error"].as_str() {
        let difference = match rules {
            Ok(_) => Some(format!("loads, but should say {error}")),
            Err(ours) if error.contains(&ours) => None,
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

/// Reads `rule { name = value … }` as the cases write it: one argument per line, the value a JSON text.
fn rules(config: &str) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    let mut rule = Rule::default();
    for line in config.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            None if line == "rule {" => rule = Rule::default(),
            None if line == "}" => {
                rule.validate()?;
                rules.push(rule.clone());
            }
            None => panic!("the test cannot read {line:?}"),
            Some((name, value)) => {
                let value: Value = serde_json::from_str(value.trim()).unwrap();
                // A number where a text is wanted is taken as its text.
                let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                match name.trim() {
                    "source_labels" => {
                        let list = value.as_array().unwrap();
                        rule.source_labels = list.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
                    }
                    "separator" => rule.separator = text(),
                    "regex" => rule.regex = Regex::anchored(&text()).map_err(|e| e.to_string())?,
                    // A negative number wraps around, as in Alloy.
                    "modulus" => rule.modulus = value.as_u64().or(value.as_i64().map(|n| n as u64)).unwrap(),
                    "target_label" => rule.target_label = text(),
                    "replacement" => rule.replacement = text(),
                    "action" => rule.action = text().parse().map_err(|e: sdk_relabel::UnknownAction| e.to_string())?,
                    other => panic!("no argument {other}"),
                }
            }
        }
    }
    Ok(rules)
}
