//! What the real Alloy prints for formatted files and for errors, compared with ours.

use language_syntax::{Source, format, parse};
use sdk_testing::oracle::{self, Group};
use serde::Deserialize;

#[derive(Deserialize)]
struct FormatCase {
    id: String,
    input: String,
    exit: i32,
    stdout: String,
}

#[test]
fn formatted_files_look_as_alloy_prints_them() {
    let Some(cases) = oracle::cases::<FormatCase>("language/fmt/cases.jsonl") else { return };
    let mut group = Group::new("fmt");
    for case in cases {
        assert_eq!(case.exit, 0, "{}", case.id);
        let (file, diagnostics) = parse(Source::new("<stdin>", case.input));
        assert!(diagnostics.is_empty(), "{}: {diagnostics}", case.id);
        let text = String::from_utf8(format(&file).expect("formats")).expect("UTF-8 stays UTF-8");
        group.compare(&case.id, &case.stdout, &text);
    }
    group.finish();
}

#[test]
fn every_file_of_the_corpus_formats_without_changing_its_meaning() {
    let folder = oracle::shared().join("corpus/configs");
    let Ok(files) = std::fs::read_dir(&folder) else { return };
    for path in files.map(|entry| entry.expect("readable").path()) {
        let (file, diagnostics) = parse(Source::new("config", std::fs::read(&path).expect("readable")));
        if !diagnostics.is_empty() {
            continue;
        }
        let once = format(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (again, _) = parse(Source::new("config", once.clone()));
        assert_eq!(format(&again), Ok(once), "{}", path.display());
    }
}
