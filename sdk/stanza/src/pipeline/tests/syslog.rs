//! `syslog_parser`: what a message becomes. All of it is what Alloy was seen to make.

use super::*;

/// The record that a line becomes.
fn read(options: Json, text: &str) -> Json {
    let mut operator = json!({"type": "syslog_parser"});
    operator.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let mut record = shown(pipeline(&json!([operator])).unwrap().process(vec![line(text)])).remove(0);
    record.as_object_mut().unwrap().remove("body");
    record
}

fn check(options: Json, text: &str, expected: Json) {
    assert_eq!(read(options, text), expected, "{text:?}");
}

#[test]
fn rfc_5424_with_its_data() {
    let text = r#"<165>1 2003-10-11T22:14:15.003Z h.example app 12 ID47 [x@1 a="q\"\\\]" b=""] text"#;
    check(
        json!({"protocol": "RFC5424"}),
        text,
        json!({
            "timeUnixNano": "1065910455003000000", "severityNumber": 10, "severityText": "notice",
            "attributes": {
                "priority": 165, "facility": 20, "facility_text": "local4", "version": 1, "hostname": "h.example",
                "appname": "app", "proc_id": "12", "msg_id": "ID47", "message": "text",
                "structured_data": {"x@1": {"a": "q\"\\]", "b": ""}},
            },
        }),
    );
}

#[test]
fn rfc_3164_in_the_location_of_the_sender() {
    let now = base_sys::clock::hold(1_795_334_400_000_000_000); // 2026-11-22T08:00:00Z
    for (location, text, time) in [
        ("UTC", "<13>Oct 11 22:14:15 h app[7]: text", "1791756855000000000"),
        ("", "<13>Oct 11 22:14:15 h app[7]: text", "1791756855000000000"),
        ("Europe/Berlin", "<13>Oct 11 22:14:15 h app[7]: text", "1791749655000000000"),
        ("UTC", "<13>Mar 04 05:06:07 h app[7]: text", "1772600767000000000"),
        ("UTC", "<13>Feb 29 05:06:07 h app[7]: text", "1772341567000000000"),
        // A week ahead is still ahead; more was last year.
        ("UTC", "<13>Nov 28 10:00:00 h app[7]: text", "1795860000000000000"),
        ("UTC", "<13>Dec 15 10:00:00 h app[7]: text", "1765792800000000000"),
    ] {
        check(
            json!({"protocol": "rfc3164", "location": location}),
            text,
            json!({
                "timeUnixNano": time, "severityNumber": 10, "severityText": "notice",
                "attributes": {
                    "priority": 13, "facility": 1, "facility_text": "user", "hostname": "h", "appname": "app",
                    "proc_id": "7", "message": "text",
                },
            }),
        );
    }
    drop(now);
}

#[test]
fn every_severity() {
    for (priority, number, word) in [
        (0, 21, "emerg"),
        (1, 19, "alert"),
        (2, 18, "crit"),
        (3, 17, "err"),
        (4, 13, "warning"),
        (5, 10, "notice"),
        (6, 9, "info"),
        (7, 5, "debug"),
    ] {
        let record = read(json!({"protocol": "rfc5424"}), &format!("<{priority}>1 2003-10-11T22:14:15Z - - - - - x"));
        assert_eq!((&record["severityNumber"], &record["severityText"]), (&json!(number), &json!(word)));
    }
}

#[test]
fn the_priority_may_be_missing_where_that_is_allowed() {
    let skip = json!({"protocol": "rfc5424", "allow_skip_pri_header": true});
    let bare = "1 2003-10-11T22:14:15Z h - - - - text";
    let attributes = json!({"hostname": "h", "message": "text", "version": 1});
    check(skip.clone(), bare, json!({"timeUnixNano": "1065910455000000000", "attributes": attributes}));
    assert_eq!(read(skip.clone(), &format!("<12>{bare}"))["severityText"], "warning");
    // What looks like one is taken for one, wherever it is.
    check(skip, &format!("{bare} <12>"), json!({}));
    check(json!({"protocol": "rfc5424"}), bare, json!({}));
}

#[test]
fn frames_are_taken_off() {
    let (first, second) = ("<34>1 2003-10-11T22:14:15Z - - - - - first", "<34>1 2003-10-11T22:14:15Z - - - - - second");
    let counted = |text: &str| format!("{} {text}", text.len());
    let octets = json!({"protocol": "rfc5424", "enable_octet_counting": true});
    let nul = json!({"protocol": "rfc5424", "non_transparent_framing_trailer": "NUL"});
    for (options, text, message) in [
        (&octets, counted(first), json!("first")),
        (&octets, counted(first) + &counted(second), json!("second")),
        (&octets, counted(first) + "\n" + &counted(second), json!("second")),
        (&octets, counted("<bad>") + &counted(first), json!("first")),
        (&octets, counted(first) + "junk", Json::Null),
        (&octets, counted(first) + "\n", Json::Null),
        (&octets, first.to_owned(), Json::Null),
        (&octets, format!("99 {first}"), Json::Null),
        (&octets, format!("0{}", counted(first)), Json::Null),
        (&octets, String::new(), Json::Null),
        (&json!({"protocol": "rfc5424", "enable_octet_counting": true, "max_octets": 20}), counted(first), Json::Null),
        (&nul, first.to_owned(), json!("first")),
        (&nul, format!("{first}\0{second}\0"), json!("second")),
        (&nul, format!("{first}\0more\0"), json!("first\0more")),
        (&nul, format!("junk\0{first}\0"), Json::Null),
    ] {
        assert_eq!(read(options.clone(), &text)["attributes"]["message"], message, "{text:?}");
    }
    let counted_lines = counted("<34>Oct 11 22:14:15 h app: one\ntwo\r\n");
    let record = read(json!({"protocol": "rfc3164", "enable_octet_counting": true}), &counted_lines);
    assert_eq!(record["attributes"]["message"], "one\ntwo");
}

#[test]
fn any_text_goes_with_the_protocol_none() {
    let none = json!({"protocol": "none"});
    let priority = json!({"priority": 34, "facility": 4, "facility_text": "auth", "message": "<34>text"});
    check(none.clone(), "<34>text", json!({"severityNumber": 18, "severityText": "crit", "attributes": priority}));
    for plain in ["text", "<192>text", "x <34>", ""] {
        check(none.clone(), plain, json!({"attributes": {"message": plain}}));
    }
    let counted = json!({"protocol": "none", "enable_octet_counting": true});
    check(counted.clone(), "12 text", json!({"attributes": {"message": "text"}}));
    check(counted, "012 text", json!({"attributes": {"message": "012 text"}}));
}

#[test]
fn what_is_no_message_stays_a_line_and_one_without_time_is_half_read() {
    check(json!({"protocol": "rfc5424"}), "garbage", json!({}));
    let record = read(json!({"protocol": "rfc5424"}), "<34>1 - h - - - - text");
    let attributes = json!({
        "priority": 34, "severity": 2, "facility": 4, "facility_text": "auth", "hostname": "h", "version": 1,
        "message": "text",
    });
    assert_eq!(record, json!({"attributes": attributes}));
}

#[test]
fn elsewhere_than_among_the_attributes_the_time_is_shown() {
    let text = "<34>1 2003-08-24T05:14:15.000003-07:00 - - - - - text";
    let map = |timestamp: &str| {
        json!({
            "priority": 34, "severity": 2, "facility": 4, "facility_text": "auth", "version": 1, "message": "text",
            "timestamp": timestamp,
        })
    };
    let shown = map("2003-08-24 05:14:15.000003 -0700 -0700");
    let to = json!({"protocol": "rfc5424", "parse_to": "attributes.x"});
    check(to, text, json!({"attributes": {"x": shown}}));
    let native = json!({
        "protocol": "rfc5424", "parse_to": "attributes.x",
        "timestamp": {"parse_from": "attributes.x.timestamp", "layout_type": "native"},
    });
    check(native, text, json!({"timeUnixNano": "1061727255000003000", "attributes": {"x": shown}}));
}

#[test]
fn wrong_options_are_refused() {
    for (options, expected) in [
        (json!({}), "missing required key \"protocol\""),
        (json!({"protocol": "x"}), "\"x\" is none of"),
        (json!({"protocol": "rfc3164", "location": "Mars"}), "unknown time zone Mars"),
        (json!({"protocol": "rfc3164", "non_transparent_framing_trailer": "LF"}), "\"rfc5424\" only"),
        (json!({"protocol": "none", "non_transparent_framing_trailer": "LF"}), "\"rfc5424\" only"),
        (json!({"protocol": "rfc5424", "non_transparent_framing_trailer": "lf"}), "\"LF\" or \"NUL\""),
        (
            json!({"protocol": "rfc5424", "non_transparent_framing_trailer": "LF", "enable_octet_counting": true}),
            "without enable_octet_counting",
        ),
        (json!({"protocol": "rfc3164", "locations": "UTC"}), "has no key \"locations\""),
    ] {
        let mut operator = json!({"type": "syslog_parser"});
        operator.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let error = pipeline(&json!([operator])).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
