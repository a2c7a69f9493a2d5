//! Real configurations: what Alloy accepts we accept, as far as its components exist here; what it refuses we refuse.

use std::process::Command;

use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

#[derive(Deserialize)]
struct Found {
    severity: String,
    message: String,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    column: u32,
}

#[test]
fn every_file_of_the_corpus_gets_alloys_verdict() {
    let Some(verdicts) = oracle::text("language/corpus/verdicts.tsv") else { return };
    let folder = oracle::shared().join("corpus/configs");
    let mut group = Group::new("corpus");
    let (mut accepted, mut refused, mut waiting) = (0, 0, 0);
    for line in verdicts.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let [file, .., verdict, _, _, first_at, first_message] = fields[..] else { panic!("{line}") };
        let output = Command::new(env!("CARGO_BIN_EXE_ferroalloy"))
            .args(["validate", "--json", "--stability.level=experimental", "--feature.community-components.enabled"])
            .arg(file)
            .current_dir(&folder)
            .output()
            .unwrap();
        let Ok(found) = serde_json::from_slice::<Vec<Found>>(&output.stdout) else {
            group.case(file, Some(format!("no diagnostics: {}", String::from_utf8_lossy(&output.stderr))));
            continue;
        };
        let errors: Vec<_> = found.iter().filter(|found| found.severity == "error").collect();
        let unknown = |found: &Found| found.message.starts_with("cannot find the definition of component name");
        let told = || -> String {
            errors.iter().map(|found| format!("{}:{}: {}\n", found.line, found.column, found.message)).collect()
        };
        let difference = if verdict == "error" {
            refused += 1;
            let same_place = errors.iter().any(|found| format!("{}:{}", found.line, found.column) == first_at);
            (!same_place).then(|| format!("alloy refuses it at {first_at}: {first_message}\nours:\n{}", told()))
        } else if errors.iter().any(|found| unknown(found)) {
            waiting += 1;
            // What else is wrong may follow from the component that is not there.
            None
        } else {
            accepted += 1;
            (!errors.is_empty()).then(|| format!("alloy accepts it\nours:\n{}", told()))
        };
        group.case(file, difference);
    }
    #[allow(clippy::print_stderr)] // the numbers are what one wants to know
    {
        eprintln!("corpus: {accepted} to accept, {refused} to refuse, {waiting} wait for components");
    }
    group.finish();
}
