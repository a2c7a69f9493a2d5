//! `docs/compatibility.md`: the list that the tests consult, for people to read.

use std::fmt::Write as _;

use sdk_testing::oracle;

/// The page; none while there is no list.
pub fn page() -> Option<String> {
    let list = oracle::compatibility();
    let mut text = String::from(
        "# Where we differ from Alloy on purpose\n\n\
         Written by `cargo xtask docs` from `compatibility.toml`, the list that the tests consult: whatever is not in it must be the\n\
         same as in the recordings of Alloy 1.18, and whatever is in it must differ. Groups are those of the recordings.\n",
    );
    let mut group = String::new();
    for difference in &list.difference {
        if difference.group != group {
            group = difference.group.clone();
            let _ = write!(text, "\n## {group}\n\n");
        }
        let count = difference.cases.len();
        let cases = if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        let _ = writeln!(text, "- {} ({cases})", difference.reason.trim());
    }
    Some(text)
}
