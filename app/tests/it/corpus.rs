//! Configurations of real people: what Alloy accepts and whose components all exist here, we accept; what Alloy refuses, we
//! refuse.

use std::collections::BTreeMap;

use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

use crate::process::{errors, missing_components, validate, waits_for_us};

/// As the recordings were made.
const FLAGS: [&str; 2] = ["--stability.level=experimental", "--feature.community-components.enabled"];

/// How `alloy run` went.
#[derive(Deserialize)]
struct Run {
    file: String,
    loads: bool,
}

#[test]
fn every_configuration_gets_the_verdict_that_alloy_gives() {
    let Some(verdicts) = oracle::text("language/corpus/verdicts.tsv") else { return };
    let runs = oracle::cases::<Run>("language/corpus/run.jsonl").unwrap_or_default();
    let folder = oracle::shared().join("corpus/configs");
    let flags = FLAGS.map(str::to_owned);
    let mut group = Group::new("corpus");
    let (mut needed, mut waiting): (BTreeMap<String, usize>, usize) = Default::default();
    for line in verdicts.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (file, accepted) = (fields[0], fields[6] == "ok");
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else { continue };
        let missing = missing_components(&text);
        if !missing.is_empty() {
            waiting += 1;
            missing.into_iter().for_each(|name| *needed.entry(name).or_default() += 1);
            continue;
        }
        let (code, stderr) = validate(&folder, &flags, file);
        if waits_for_us(&errors(&stderr)) {
            waiting += 1;
            *needed.entry(errors(&stderr).remove(0)).or_default() += 1;
            continue;
        }
        // What Alloy's validate lets pass and its run refuses, we may refuse at once.
        let runs = runs.iter().any(|run| run.file == file && run.loads);
        let difference = match (accepted, code) {
            (true, Some(1)) if !runs => None,
            (true, Some(0)) | (false, Some(1)) => None,
            // Warnings alone make Alloy's verdict "failed"; ours are no reason not to run.
            (false, Some(0)) if fields[7] == "0" => None,
            (true, _) => Some(format!("alloy accepts it, ours says {:#?}", errors(&stderr))),
            (false, _) => Some(format!("alloy says {:?}, ours accepts it ({code:?})", fields.get(10))),
        };
        group.case(file, difference);
    }
    let mut needed: Vec<_> = needed.into_iter().collect();
    needed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    eprintln!("corpus: {waiting} configurations wait for components: {needed:?}");
    group.finish();
}
