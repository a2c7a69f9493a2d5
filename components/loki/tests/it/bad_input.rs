//! Lines that mean harm, or mean nothing: they go on as they came, and cost no more than their length.

use base_metrics::Scope as Metrics;
use components_loki::process::{Pipeline, StageArguments};
use language_eval::{Arguments, Scope};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry};

#[derive(Arguments)]
struct Stages {
    #[block(enum, prefix = "stage")]
    stages: Vec<StageArguments>,
}

const CAME_AT: i64 = 1_772_600_000_000_000_000;

/// What comes out: the time, the line, and what differs from the labels that it came with.
fn run(stages: &str, line: &[u8]) -> Vec<(i64, Vec<u8>, Labels)> {
    let stages: Stages = sdk_testing::component::decode(stages, &Scope::new()).expect("a good configuration");
    let mut pipeline = Pipeline::build(&stages.stages, &Metrics::detached()).expect("good stages");
    let batch = LogBatch::of(Labels::empty(), vec![LogEntry::new(CAME_AT, line.to_vec())]);
    let groups = pipeline.run(batch).batch.groups.into_iter();
    let entries = groups.flat_map(|group| group.entries.into_iter().map(move |entry| (group.labels.clone(), entry)));
    entries.map(|(labels, entry)| (entry.timestamp, entry.line.to_vec(), labels)).collect()
}

fn goes_on_as_it_came(stages: &str, line: &[u8]) {
    let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    assert_eq!(run(stages, line), [(CAME_AT, line.to_vec(), Labels::empty())], "{shown}");
}

#[test]
fn half_a_header_of_a_container_runtime_is_no_header() {
    let line = b"2026-11-21T12:00:00.000000001Z stdout F text";
    let time_and_stream = line.len() - " F text".len();
    for length in 0..=time_and_stream {
        goes_on_as_it_came("stage.cri { }", &line[..length]);
    }
    for nonsense in [&b"2026-11-21T12:00:00Z stdin F x"[..], b" stdout F x", b"\0\0\0\0", b"\xff\xfe stdout F \xff"] {
        let came = run("stage.cri { }", nonsense);
        assert!(came.len() == 1 && nonsense.ends_with(&came[0].1), "{came:?}");
    }
    assert_eq!(run("stage.cri { }", line)[0].1, b"text");
}

#[test]
fn bombs_of_json_are_lines_like_others() {
    let json =
        "stage.json {\n expressions = { a = \"\", deep = \"b.c[0]\" }\n}\nstage.labels {\n values = { a = \"\" }\n}";
    let nested = |open: &str| open.repeat(1_000_000).into_bytes();
    for bomb in [nested("["), nested("{\"a\":"), nested("[{\"b\":{\"c\":"), b"{\"a\":\"\\u12".to_vec()] {
        goes_on_as_it_came(json, &bomb);
    }
    // A million keys, of which the last counts.
    let keys: String = (0..1_000_000).map(|number| format!("\"a\":{number},")).collect();
    let came = run(json, format!("{{{keys}\"z\":1e99999}}").as_bytes());
    assert_eq!((came.len(), came[0].2.get("a")), (1, Some("999999")));
    let dropped = "stage.json {\n expressions = { a = \"\" }\n drop_malformed = true\n}";
    assert_eq!(run(dropped, &nested("[")), []);
}

#[test]
fn garbage_for_logfmt_zeros_and_broken_characters_go_on() {
    let stages = "stage.logfmt {\n mapping = { a = \"\" }\n}\nstage.regex {\n expression = `(?P<b>x+)y`\n}\n\
                  stage.decolorize { }\nstage.docker { }\nstage.json {\n expressions = { a = \"\" }\n}";
    for garbage in [
        &b"= = \"\" \"unfinished"[..],
        b"a=\"\\",
        b"a==b=\"c\"d e=\"",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\xff\xfe\xc3\x28 a=\xf0\x28\x8c\x28",
        b"",
    ] {
        goes_on_as_it_came(stages, garbage);
    }
    goes_on_as_it_came(stages, &vec![b'x'; 10 << 20]);
    goes_on_as_it_came(stages, &vec![0; 10 << 20]);
}

#[test]
fn a_value_that_is_not_text_becomes_no_label() {
    let stages = "stage.regex {\n expression = `id=(?P<id>.+)`\n}\nstage.labels {\n values = { id = \"\" }\n}";
    let came = run(stages, b"id=\xff\xfe");
    assert_eq!((came.len(), came[0].1.as_slice()), (1, &b"id=\xff\xfe"[..]));
    assert!(came[0].2.iter().all(|(_, value)| !value.contains('\0')), "{:?}", came[0].2);
}

#[test]
fn times_that_cannot_be_leave_the_line_its_own() {
    for (format, times) in [
        ("RFC3339Nano", &["0000-00-00T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "99999-01-01T00:00:00Z", ""][..]),
        ("Unix", &["-9223372036854775808", "9223372036854775807", "1e30", "NaN", "Inf", "-", "0x1"]),
        ("UnixMs", &["9223372036854775807", "-9223372036854775808"]),
        ("UnixUs", &["9223372036854775807", "-9223372036854775808"]),
        ("UnixNs", &["99999999999999999999", "-99999999999999999999"]),
    ] {
        let stages = format!(
            "stage.regex {{\n expression = `^(?P<t>.*)$`\n}}\nstage.timestamp {{\n source = \"t\"\n format = \"{format}\"\n}}"
        );
        for time in times {
            let came = run(&stages, time.as_bytes());
            assert_eq!((came.len(), came[0].1.as_slice()), (1, time.as_bytes()), "{format} {time}");
        }
    }
}
