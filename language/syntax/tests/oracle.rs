//! What the real Alloy prints for formatted files and for errors, compared with ours.

use base64::Engine;
use language_syntax::{Source, Style, check_encoding, format, parse, render};
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

#[derive(Deserialize)]
struct SyntaxCase {
    id: String,
    input: Option<String>,
    input_base64: Option<String>,
    fmt: Recorded,
    validate: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    exit: i32,
    stderr: String,
}

#[test]
fn errors_stand_where_alloy_sees_them_and_say_as_much() {
    let Some(cases) = oracle::cases::<SyntaxCase>("language/syntax/cases.jsonl") else { return };
    let mut group = Group::new("syntax");
    for case in cases {
        assert_eq!((case.fmt.exit, case.validate.exit), (1, 1), "{}", case.id);
        let text = match (case.input, case.input_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).expect("base64"),
            (None, None) => panic!("{} has no input", case.id),
        };
        let encoding = check_encoding(&text);
        let (_, diagnostics) = parse(Source::new("config.alloy", text));
        let lines: String = diagnostics.0.iter().map(|diagnostic| format!("{diagnostic}\n")).collect();
        let fmt = lines + "Error: encountered errors during formatting\n";
        let drawn = match encoding {
            Ok(()) => render(&diagnostics, Style { colors: false, hints: false }) + "Error: validation failed\n",
            Err(error) => format!("validation failed: {error}Error: validation failed\n"),
        };
        let difference = (fmt != case.fmt.stderr).then(|| format!("fmt\n{}{fmt}", case.fmt.stderr)).or_else(|| {
            // We mark the place also if it is the end of a line; Alloy leaves blanks there.
            let equal = |(ours, theirs): (&str, &str)| {
                ours == theirs || (theirs.trim_start().trim_end() == "|" && ours.strip_suffix('^') == Some(theirs))
            };
            let recorded = &case.validate.stderr;
            let same =
                drawn.lines().count() == recorded.lines().count() && drawn.lines().zip(recorded.lines()).all(equal);
            (!same).then(|| format!("validate\n{}{drawn}", case.validate.stderr))
        });
        group.case(&case.id, difference);
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
