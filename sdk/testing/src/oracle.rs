//! Comparing us, case by case, with what the real Alloy was recorded to do.
//!
//! The recordings live outside the repository, in `$FERROALLOY_SHARED/oracle` (default: `../shared/oracle` beside the
//! repository); without them the tests skip, and say so. Differences that we want are listed with their reason in
//! `docs/compatibility.toml`; any other difference fails, and so does a listed one that does not exist any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The list of deliberate differences, beside the repository's root.
const COMPATIBILITY: &str = "docs/compatibility.toml";

/// One group of recorded cases and how we fared in it.
pub struct Group {
    name: String,
    /// Listed differences and whether they were met.
    deliberate: BTreeMap<String, bool>,
    passed: usize,
    failed: Vec<String>,
}

/// The file of deliberate differences.
#[derive(Deserialize)]
pub struct Compatibility {
    /// In the order of the file.
    #[serde(default)]
    pub difference: Vec<Difference>,
}

/// Cases of one group that differ on purpose, for one reason.
#[derive(Deserialize)]
pub struct Difference {
    /// The group, such as `fmt`.
    pub group: String,
    /// Case ids.
    pub cases: Vec<String>,
    /// Why ours is better, for users to read.
    pub reason: String,
}

/// The recordings of a file under `oracle/`, one JSON document per line; `None`, with a word about it, if there are none.
pub fn cases<T: DeserializeOwned>(path: &str) -> Option<Vec<T>> {
    let text = text(path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}:{}: {error}", number + 1))
    };
    Some(text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(parse).collect())
}

/// The text of a file under `oracle/`; `None`, with a word about it, if there is none.
pub fn text(path: &str) -> Option<String> {
    let path = shared().join("oracle").join(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            skip(&format!("{}: {error}", path.display()));
            None
        }
    }
}

/// The folder with recordings and example configurations, which need not exist.
pub fn shared() -> PathBuf {
    std::env::var_os("FERROALLOY_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from)
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The list of deliberate differences.
pub fn compatibility() -> Compatibility {
    let path = root().join(COMPATIBILITY);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    basic_toml::from_str(&text).unwrap_or_else(|error| panic!("{COMPATIBILITY}: {error}"))
}

#[allow(clippy::print_stderr)] // a test that is skipped says so
fn skip(why: &str) {
    eprintln!("SKIPPED, no recordings: {why}");
}

// === impl Group ===

impl Group {
    /// A group by its name in `docs/compatibility.toml`.
    pub fn new(name: &str) -> Group {
        let ours = compatibility().difference.into_iter().filter(|difference| difference.group == name);
        let deliberate = ours.flat_map(|difference| difference.cases).map(|case| (case, false)).collect();
        Group { name: name.to_owned(), deliberate, passed: 0, failed: Vec::new() }
    }

    /// One case and what differed, if anything.
    pub fn case(&mut self, id: &str, difference: Option<String>) {
        match (difference, self.deliberate.get_mut(id)) {
            (None, _) => self.passed += 1,
            (Some(_), Some(met)) => *met = true,
            (Some(difference), None) => self.failed.push(format!("--- {id}\n{difference}")),
        }
    }

    /// One case by its expected and actual text.
    pub fn compare(&mut self, id: &str, expected: &str, actual: &str) {
        self.case(id, (expected != actual).then(|| format!("alloy: {expected:?}\nours:  {actual:?}")));
    }

    /// Prints the counts; fails with every difference that is not listed, and every listed one that was not met.
    #[track_caller]
    #[allow(clippy::print_stderr)]
    pub fn finish(self) {
        let (met, unmet): (Vec<_>, Vec<_>) = self.deliberate.iter().partition(|(_, met)| **met);
        let (passed, failed) = (self.passed, self.failed.len());
        eprintln!("oracle {}: {passed} passed, {} deliberate differences, {failed} failed", self.name, met.len());
        assert!(
            self.failed.is_empty(),
            "{failed} cases of {} differ from Alloy:\n{}",
            self.name,
            self.failed.join("\n")
        );
        let stale: Vec<_> = unmet.into_iter().map(|(case, _)| case.as_str()).collect();
        assert!(stale.is_empty(), "{COMPATIBILITY} lists cases of {} that do not differ: {stale:?}", self.name);
    }
}
