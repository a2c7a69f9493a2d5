//! Compares with matches and errors recorded from Go 1.26's `regexp` (tests/go.jsonl: an expression per line, with all
//! matches and their groups in a few texts, or the error).

#![allow(clippy::unwrap_used)]

use base_re2::{Cursor, Regex, Slots};
use serde_json::Value;

#[test]
fn matches_and_errors_are_gos() {
    let file =
        std::env::var("RE2_CASES").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go.jsonl").into());
    let text = std::fs::read_to_string(file).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        count += 1;
        if let Some(difference) = difference(&row) {
            wrong.push(difference);
        }
    }
    assert!(count > 1000 && wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn difference(row: &Value) -> Option<String> {
    let expression = row["re"].as_str().unwrap();
    let regex = match (Regex::new(expression), row["err"].as_str()) {
        (Ok(regex), None) => regex,
        (Err(ours), Some(gos)) if ours.to_string() == gos => return None,
        (ours, gos) => return Some(format!("{expression}: ours {:?}, Go's {gos:?}", ours.map_err(|e| e.to_string()))),
    };
    for (text, all) in row["texts"].as_array().unwrap().iter().zip(row["all"].as_array().unwrap()) {
        let text = text.as_str().unwrap();
        let mut ours = Vec::new();
        let (mut cursor, mut slots) = (Cursor::default(), Slots::default());
        while regex.next_match(text, &mut cursor, &mut slots) {
            let places = (0..regex.groups()).flat_map(|group| match slots.get(group) {
                Some(range) => [range.start as i64, range.end as i64],
                None => [-1, -1],
            });
            ours.push(places.collect::<Vec<_>>());
        }
        let ours = serde_json::to_value(&ours).unwrap();
        if ours != *all {
            return Some(format!("{expression} in {text:?}: ours {ours}, Go's {all}"));
        }
        let any = !all.as_array().unwrap().is_empty();
        if regex.is_match(text) != any || regex.captures(text, &mut slots) != any || regex.find(text).is_some() != any {
            return Some(format!("{expression} in {text:?}: the ways to match differ"));
        }
    }
    None
}
