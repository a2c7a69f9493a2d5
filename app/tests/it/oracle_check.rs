//! `language/check`: what is accepted, what is refused, and where the blame is put.

use std::collections::{BTreeMap, BTreeSet};

use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

use crate::process::{Started, errors, missing_components, places, run, validate, waits_for_us, write_files};

#[derive(Deserialize)]
struct Case {
    id: String,
    files: BTreeMap<String, String>,
    args: Vec<String>,
    path: String,
    validate: Validate,
    run: Run,
}

#[derive(Deserialize)]
struct Validate {
    stderr: String,
}

#[derive(Deserialize)]
struct Run {
    loads: bool,
    #[serde(default)]
    stderr: String,
}

#[test]
fn configurations_are_refused_where_alloy_refuses_them() {
    let Some(cases) = oracle::cases::<Case>("language/check/cases.jsonl") else { return };
    let mut group = Group::new("check");
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let missing: BTreeSet<String> = case
            .files
            .values()
            .flat_map(|text| missing_components(text))
            .filter(|name| !case.run.stderr.contains(&format!("component name \"{name}\"")))
            .collect();
        if !missing.is_empty() {
            missing.into_iter().for_each(|name| *waiting.entry(name).or_default() += 1);
            continue;
        }
        match differs(&case) {
            Verdict::Same => group.case(&case.id, None),
            Verdict::Differs(how) => group.case(&case.id, Some(how)),
            Verdict::Waits(error) => *waiting.entry(error).or_default() += 1,
        }
    }
    eprintln!("oracle check: cases waiting for components: {waiting:?}");
    group.finish();
}

enum Verdict {
    Same,
    Differs(String),
    /// For something that we cannot do yet.
    Waits(String),
}

fn differs(case: &Case) -> Verdict {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_files(folder.path(), &case.files);
    let (code, validated) = validate(folder.path(), &case.args, &case.path);
    let (loads, ran) = match run(folder.path(), &case.args, &case.path) {
        Started::Running(_) => (true, String::new()),
        Started::Refused(_, lines) => (false, lines.join("\n")),
    };
    let mut differences = Vec::new();
    if loads != case.run.loads {
        let verb = |loads: bool| if loads { "runs" } else { "refuses" };
        differences.push(format!("run: alloy {} it, ours {}", verb(case.run.loads), verb(loads)));
    }
    if code.is_some_and(|code| code > 1) || code.is_none() {
        differences.push(format!("validate: ended with {code:?}"));
    }
    let ours = errors(&ran);
    if !loads && code == Some(0) && !validated.contains("Warning: ") {
        differences.push(format!("validate accepts what run refuses: {ours:?}"));
    }
    if loads && code != Some(0) {
        differences.push(format!("validate refuses what runs: {validated}"));
    }
    if !loads && waits_for_us(&ours) {
        return Verdict::Waits(ours[0].clone());
    }
    if !loads && !case.run.loads {
        let alloy: Vec<String> =
            [&case.run.stderr, &case.validate.stderr].into_iter().flat_map(|text| errors(text)).collect();
        if !same_place(&alloy, &ours) {
            differences.push("the place differs".to_owned());
        }
        if !differences.is_empty() || !same_kind(&alloy, &ours) {
            differences.push(format!("alloy: {alloy:#?}\nours:  {ours:#?}"));
        }
    }
    if differences.is_empty() { Verdict::Same } else { Verdict::Differs(differences.join("\n")) }
}

/// Whether our first error stands where one of Alloy's does. Where Alloy gives no place, any is better; where it blames
/// a whole block for failing to build, so is a place inside it.
fn same_place(alloy: &[String], ours: &[String]) -> bool {
    let first = ours.first().map(|error| places(error)).unwrap_or_default();
    let finer = |error: &String| {
        error.contains(": Failed to ")
            && places(error).iter().any(|block| first.iter().any(|place| line(place) >= line(block)))
    };
    alloy.is_empty()
        || alloy.iter().any(|error| error.starts_with("-: ") || places(error).is_empty() || finer(error))
        || !first.is_disjoint(&places(&alloy.join("\n")))
}

fn line(place: &str) -> u32 {
    place.rsplit(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or_default()
}

/// Whether one of our errors speaks of what one of Alloy's speaks of: our words may be better, so what counts are the
/// names and values that the words are about, or the very words.
fn same_kind(alloy: &[String], ours: &[String]) -> bool {
    let ours = ours.join("\n");
    let about = |error: &String| {
        let message = error.rsplit(": ").next().unwrap_or(error);
        let quoted: Vec<&str> = error.split('"').skip(1).step_by(2).filter(|name| !name.is_empty()).collect();
        let mut names = message.split([' ', ',', '(', ')', '"']).filter(|word| word.contains('_'));
        let said = error.split_once("Failed to build component: ").map_or(&**error, |(_, said)| said);
        let words: Vec<&str> = said.split(' ').collect();
        ours.contains(message)
            || (!quoted.is_empty() && quoted.iter().all(|name| ours.contains(*name)))
            || names.any(|name| ours.contains(name))
            || words.windows(4).any(|phrase| ours.contains(&phrase.join(" ")))
    };
    // A process that has crashed says nothing.
    alloy.is_empty() || alloy.iter().any(about)
}
