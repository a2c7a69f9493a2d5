//! Pages as exporters write them, good and bad.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sdk_protocols_exposition::{Entry, Format, Kind, Mark, Parser, exemplar_labels, labels};

/// Every entry in a form that is easy to write down.
fn read(format: Format, page: &str) -> Result<Vec<String>, String> {
    let mut parser = Parser::new(page.as_bytes(), format);
    let mut lines = Vec::new();
    while let Some(entry) = parser.next() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lines.push(match entry.map_err(|e| e.to_string())? {
            Entry::Sample(sample) => {
                let mut line = String::new();
                labels(sample.series, parser.kind(), &mut |name, value| line += &format!("{name}={value:?} ")).unwrap();
                line += &format!("= {}", sample.value);
                sample.timestamp.inspect(|time| line += &format!(" @{time}"));
                sample.exemplar.inspect(|exemplar| {
                    line += " #";
                    exemplar_labels(exemplar.labels, &mut |name, value| line += &format!(" {name}={value}")).unwrap();
                    line += &format!(" = {}", exemplar.value);
                    exemplar.timestamp.inspect(|time| line += &format!(" @{time}"));
                });
                line
            }
            Entry::Type { name, kind } => format!("TYPE {} {}", text(name), kind.as_str()),
            Entry::Help { name, text: help } => format!("HELP {} {}", text(name), text(help)),
            Entry::Unit { name, unit } => format!("UNIT {} {}", text(name), text(unit)),
            Entry::Comment => "comment".to_owned(),
        });
    }
    Ok(lines)
}

fn good(format: Format, page: &str, expect: &[&str]) {
    assert_eq!(read(format, page), Ok(expect.iter().map(|line| (*line).to_owned()).collect()), "{page}");
}

fn bad(format: Format, page: &str, expect: &str) {
    assert_eq!(read(format, page).unwrap_err(), expect, "{page}");
}

#[test]
fn the_classic_format_is_lenient_about_blanks() {
    let page = "# HELP a tells \\\\ it\n# TYPE a counter\n\n  # note\n#HELP no\na 1\na{ x = \"1\" , y=\"\\\"\\n\\q\", } 2.5e3 1700000000123 \n\
                a {x=\"2\" y=\"3\"}\t+Inf\na+5\nb{} NaN\n{\"a.b\",l=\"v\"} 0\n{l=\"v\",\"a.b\"}0";
    good(
        Format::Text,
        page,
        &[
            r"HELP a tells \\ it",
            "TYPE a counter",
            "comment",
            "comment",
            r#"__name__="a" = 1"#,
            r#"__name__="a" x="1" y="\"\n\\q" = 2500 @1700000000123"#,
            r#"__name__="a" x="2" y="3" = inf"#,
            r#"__name__="a" = 5"#,
            r#"__name__="b" = NaN"#,
            r#"__name__="a.b" l="v" = 0"#,
            r#"l="v" __name__="a.b" = 0"#,
        ],
    );
    good(Format::Text, "", &[]);
    good(Format::Text, "a 1\n \n", &[r#"__name__="a" = 1"#]);
}

#[test]
fn bounds_are_written_as_floats() {
    let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e6\"} 1\nh_bucket{le=\"+Inf\"} 1\nh{quantile=\"1\"} 1\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"1\",le=\"1\"} 1\ns{quantile=\"x\"} 1\n";
    good(
        Format::Text,
        page,
        &[
            "TYPE h histogram",
            r#"__name__="h_bucket" le="1.0" = 1"#,
            r#"__name__="h_bucket" le="1e+06" = 1"#,
            r#"__name__="h_bucket" le="+Inf" = 1"#,
            r#"__name__="h" quantile="1" = 1"#,
            "TYPE s summary",
            r#"__name__="s" quantile="0.5" = 1"#,
            r#"__name__="s" quantile="1.0" le="1" = 1"#,
            r#"__name__="s" quantile="x" = 1"#,
        ],
    );
}

#[test]
fn openmetrics_has_units_exemplars_and_an_end() {
    let page = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds it\n\
                a_seconds_total{x=\"1\"} 2 1700000000.5 # {trace_id=\"ab\",s=\"c\"} 0.5 1700000001\n\
                a_seconds_total 3 # {} 1\n{\"a.b\"} 1\n# EOF\n";
    good(
        Format::OpenMetrics,
        page,
        &[
            "TYPE a_seconds counter",
            "UNIT a_seconds seconds",
            "HELP a_seconds it",
            r#"__name__="a_seconds_total" x="1" = 2 @1700000000500 # trace_id=ab s=c = 0.5 @1700000001000"#,
            r#"__name__="a_seconds_total" = 3 # = 1"#,
            r#"__name__="a.b" = 1"#,
        ],
    );
    good(Format::OpenMetrics, "# EOF", &[]);
}

#[test]
fn a_bad_line_spoils_the_page_and_is_named() {
    use Format::{OpenMetrics, Text};
    bad(Text, "a 1\nb\n", "line 2: expected value after metric in \"b\"");
    bad(Text, " a 1\n", "line 1: expected a metric name in \" a 1\"");
    bad(Text, "a 1\r\n", "line 1: the value is not a number in \"a 1\\r\"");
    bad(Text, "a 0x10\n", "line 1: the value is not a number in \"a 0x10\"");
    bad(Text, "a 1_0\n", "line 1: the value is not a number in \"a 1_0\"");
    bad(Text, "a 1e999\n", "line 1: the value is not a number in \"a 1e999\"");
    bad(Text, "a 1 -5\n", "line 1: expected timestamp or new record in \"a 1 -5\"");
    bad(Text, "a 1 99999999999999999999\n", "line 1: expected timestamp or new record in \"a 1 99999999999999999999\"");
    bad(Text, "a 1 5 6\n", "line 1: expected next entry after timestamp in \"a 1 5 6\"");
    bad(Text, "{__name__=\"x\"} 1\n", "line 1: the metric name is not set in \"{__name__=\\\"x\\\"} 1\"");
    bad(Text, "a{\"b\"} 1\n", "line 1: the metric name is set already in \"a{\\\"b\\\"} 1\"");
    bad(Text, "a{b=\"c} 1\n", "line 1: expected label value in \"a{b=\\\"c} 1\"");
    bad(Text, "a{b} 1\n", "line 1: expected equal in \"a{b} 1\"");
    bad(Text, "a{,} 1\n", "line 1: expected label name in \"a{,} 1\"");
    bad(Text, "# TYPE a gauge \n", "line 1: invalid metric type in \"# TYPE a gauge \"");
    bad(Text, "# TYPE a info\n", "line 1: invalid metric type in \"# TYPE a info\"");
    bad(Text, "# HELP \n", "line 1: expected metric name in \"# HELP \"");
    bad(OpenMetrics, "a 1\n", "line 2: the page does not end with # EOF in \"\"");
    bad(OpenMetrics, "a 1\n# EOF\nb 1\n", "line 3: unexpected data after # EOF in \"b 1\"");
    bad(OpenMetrics, "\n# EOF\n", "line 1: expected a metric name in \"\"");
    bad(OpenMetrics, "a  1\n# EOF\n", "line 1: expected value after metric in \"a  1\"");
    bad(OpenMetrics, "a{ b=\"c\"} 1\n# EOF\n", "line 1: expected label name in \"a{ b=\\\"c\\\"} 1\"");
    bad(OpenMetrics, "a 1 NaN\n# EOF\n", "line 1: invalid timestamp in \"a 1 NaN\"");
    bad(OpenMetrics, "# note\n# EOF\n", "line 1: expected # TYPE, # HELP, # UNIT or # EOF in \"# note\"");
    bad(
        OpenMetrics,
        "# UNIT a_bytes seconds\n# EOF\n",
        "line 1: the unit is not a suffix of the metric name in \"# UNIT a_bytes seconds\"",
    );
    bad(OpenMetrics, "# TYPE a untyped\n# EOF\n", "line 1: invalid metric type in \"# TYPE a untyped\"");
}

/// A page of each kind of mistake that OpenMetrics names and Prometheus refuses.
#[test]
fn pages_that_are_no_openmetrics_are_refused() {
    for line in [
        // metadata
        "# HELP",
        "# HELP  a text",
        "# HELP a",
        "# TYPE",
        "# TYPE a",
        "# TYPE a ",
        "# TYPE a meter",
        "# TYPE a gauge gauge",
        "# TYPE 1a gauge",
        "# UNIT a",
        "# UNIT a_seconds minutes",
        "# UNIT seconds seconds",
        "# NOTE a text",
        "#TYPE a gauge",
        "##",
        "#",
        // names
        "1a 5",
        "a-b 5",
        "é 5",
        // labels
        "a{b=\"1\" 5",
        "a{b=\"1\"c=\"2\"} 5",
        "a{,b=\"1\"} 5",
        "a{b=\"1\",,c=\"2\"} 5",
        "a{b=1} 5",
        "a{b='1'} 5",
        "a{b=\"1} 5",
        "a{b=} 5",
        "a{b} 5",
        "a{=\"1\"} 5",
        "a{1b=\"1\"} 5",
        "a{b=\"1\"}} 5",
        "a{b =\"1\"} 5",
        "a {b=\"1\"} 5",
        // values
        "a",
        "a ",
        "a{b=\"1\"}",
        "a\t5",
        "a five",
        "a 5_0",
        "a 0x5",
        "a 5,0",
        "a +-5",
        "a 5 ",
        // times
        "a 5 now",
        "a 5  6",
        "a 5 NaN",
        "a 5 Inf",
        "a 5 6 7",
        "a 5 0x6",
        // exemplars
        "a_total 5 #",
        "a_total 5 # ",
        "a_total 5 # {",
        "a_total 5 # {}",
        "a_total 5 # {} ",
        "a_total 5 # {b=\"1\"}",
        "a_total 5 # {b=\"1\" 6",
        "a_total 5 # {b=1} 6",
        "a_total 5 # {b=\"1\"} six",
        "a_total 5 # {b=\"1\"} 6 7 8",
        "a_total 5 # {b=\"1\"} 6 NaN",
        "a_total 5 # {b=\"1\"} 6 Inf",
        "a_total 5 # b=\"1\" 6",
        "a_total 5 #{b=\"1\"} 6",
        // ends
        "",
        "a 5\n",
        "a 5\r",
        "# EOF \na 5",
        "# EOF\na 5",
        "# EOF\n",
        " # EOF",
    ] {
        let page = format!("{line}\n# EOF\n");
        assert!(read(Format::OpenMetrics, &page).is_err(), "{page:?}");
    }
    for page in ["a 5", "a 5\n", "a 5\n# EO", "# HELP a text\n", "a 5 6\n#EOF\n"] {
        assert!(read(Format::OpenMetrics, page).is_err(), "{page:?}");
    }
}

/// OpenMetrics forbids these too; Prometheus takes them, as what is wrong is how lines go together.
#[test]
fn what_prometheus_does_not_look_at_is_taken() {
    for page in [
        // values that the type forbids
        "# TYPE a counter\na_total -1\n",
        "# TYPE a counter\na_total NaN\n",
        "# TYPE a stateset\na{a=\"on\"} 7\n",
        "# TYPE a info\na_info{b=\"1\"} 2\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} -2\n",
        "# TYPE a summary\na{quantile=\"7\"} 1\n",
        // parts that are missing, or of others
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\n",
        "# TYPE a histogram\na_sum 2\n",
        "# TYPE a counter\na 2\n",
        "# TYPE a stateset\na 1\n",
        "# TYPE a summary\na 1\n",
        // order
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# HELP a late\n",
        "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\"} 1\n",
        "a 1 2\na 1 1\n",
        "# HELP a one\n# HELP a two\na 1\n",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n",
        "# TYPE a counter\n# TYPE a_total counter\n",
        // exemplars where none may be
        "# TYPE a gauge\na 1 # {b=\"1\"} 1\n",
        "# TYPE a histogram\na_sum 1 # {b=\"1\"} 1\n",
    ] {
        let page = format!("{page}# EOF\n");
        assert!(read(Format::OpenMetrics, &page).is_ok(), "{page:?}: {:?}", read(Format::OpenMetrics, &page));
    }
}

/// Pieces that make lines that are nearly right.
fn page() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just("b_total"),
        Just("{"),
        Just("}"),
        Just("l=\"v\""),
        Just("\"q\""),
        Just(","),
        Just(" "),
        Just("\t"),
        Just("\n"),
        Just("\n"),
        Just(" 1"),
        Just(" 1.5e3"),
        Just(" 123"),
        Just("# TYPE "),
        Just("# HELP "),
        Just("# UNIT "),
        Just("counter"),
        Just(" # {"),
        Just("# EOF\n"),
        Just("\\"),
        Just("é"),
        Just("NaN"),
        Just("a{l=\"v\"} 1\n"),
        Just("a 1 5\n"),
    ];
    proptest::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_page_panics_and_hints_change_nothing(page in page(), openmetrics: bool, hints in proptest::collection::vec(prop_oneof![Just("a"), Just("a{l=\"v\"}"), Just("b_total")], 30)) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        let plain = Parser::new(page.as_bytes(), format);
        let mut hinted = Parser::new(page.as_bytes(), format);
        let mut hints = hints.iter().cycle();
        for entry in plain {
            let same = hinted.next_like(Some(Mark::of(hints.next().unwrap().as_bytes()))).unwrap();
            // NaN is not equal to itself.
            prop_assert_eq!(format!("{entry:?}"), format!("{same:?}"));
            if let Ok(Entry::Sample(sample)) = entry {
                let read = labels(sample.series, Kind::Histogram, &mut |_, _| {});
                prop_assert!(read.is_some());
            }
        }
        prop_assert!(hinted.next_like(Some(Mark::of(b"a"))).is_none());
    }

    #[test]
    fn no_bytes_panic(page: Vec<u8>, openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        for entry in Parser::new(&page, format).flatten() {
            if let Entry::Sample(sample) = entry {
                labels(sample.series, Kind::Summary, &mut |_, _| {});
            }
        }
    }
}
