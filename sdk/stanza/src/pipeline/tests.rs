//! Operators end to end: a list as it is configured, lines, and the records that come out.

use language_eval::{Number, Object, Value};
use sdk_protocols_otlp::Signal;
use sdk_protocols_otlp::json::to_json;
use serde_json::{Value as Json, json};

use super::*;
use crate::encode::encode;

mod syslog;

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(match number.as_i64() {
            Some(whole) => Number::Int(whole),
            None => Number::Float(number.as_f64().unwrap()),
        }),
        Json::String(text) => Value::from(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(fields) => {
            Value::Object(fields.iter().map(|(key, field)| (key.clone(), value(field))).collect::<Object>())
        }
    }
}

fn pipeline(operators: &Json) -> Result<Pipeline, String> {
    let Value::Array(list) = value(operators) else { panic!("a list") };
    Pipeline::new(&list).map_err(|error| format!("{error}; {}", error.hint.clone().unwrap_or_default()))
}

fn line(text: &str) -> Entry {
    let mut entry = Entry::new(text, 5, 1);
    entry.attributes.set("log.file.path", "/var/log/pods/ns_web-1_0a1b/app/3.log");
    entry
}

/// Records as OTLP/JSON, without what all have.
fn shown(entries: Vec<Entry>) -> Vec<Json> {
    let payload: Json = serde_json::from_slice(&to_json(Signal::Logs, &encode(entries))).unwrap();
    let mut out = Vec::new();
    for resource in payload["resourceLogs"].as_array().into_iter().flatten() {
        for scope in resource["scopeLogs"].as_array().unwrap() {
            for record in scope["logRecords"].as_array().unwrap() {
                let mut record = record.clone();
                let fields = record.as_object_mut().unwrap();
                fields.remove("observedTimeUnixNano");
                let plain = |list: &Json| {
                    let pairs = list.as_array().into_iter().flatten();
                    let own = pairs.filter(|pair| pair["key"] != "log.file.path");
                    own.map(|pair| (pair["key"].as_str().unwrap().to_owned(), simple(&pair["value"])))
                        .collect::<serde_json::Map<_, _>>()
                };
                for (name, map) in [
                    ("attributes", plain(&fields["attributes"])),
                    ("resource", plain(&resource["resource"]["attributes"])),
                ] {
                    fields.remove(name);
                    if !map.is_empty() {
                        fields.insert(name.to_owned(), map.into());
                    }
                }
                if let Some(name) = scope["scope"]["name"].as_str().filter(|name| !name.is_empty()) {
                    fields.insert("scope".to_owned(), name.into());
                }
                let body = fields.remove("body").map_or(Json::Null, |body| simple(&body));
                fields.insert("body".to_owned(), body);
                out.push(record);
            }
        }
    }
    out
}

fn simple(any: &Json) -> Json {
    let Some((kind, value)) = any.as_object().and_then(|fields| fields.iter().next()) else { return Json::Null };
    match kind.as_str() {
        "intValue" => value.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(value.clone(), Json::from),
        "doubleValue" => Json::from(value.as_f64()),
        "arrayValue" => value["values"].as_array().into_iter().flatten().map(simple).collect(),
        "kvlistValue" => {
            let pairs = value["values"].as_array().into_iter().flatten();
            pairs
                .map(|pair| (pair["key"].as_str().unwrap().to_owned(), simple(&pair["value"])))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        _ => value.clone(),
    }
}

#[track_caller]
fn check(operators: Json, lines: &[&str], expected: Json) {
    let mut pipeline = pipeline(&operators).unwrap();
    let mut out = pipeline.process(lines.iter().map(|text| line(text)).collect());
    out.extend(pipeline.flush_all());
    assert_eq!(Json::from(shown(out)), expected, "{operators}");
}

#[test]
fn parsers_take_texts_apart() {
    check(
        json!([{"type": "json_parser", "parse_to": "body"}]),
        &[r#"{"a":1,"b":{"c":[true,null]}}"#],
        json!([{"body": {"a": 1.0, "b": {"c": [true, null]}}}]),
    );
    check(
        json!([{"type": "json_parser", "parse_ints": true, "body": "attributes.msg"}]),
        &[r#"{"msg":"hi","n":7,"f":7.5}"#],
        json!([{"body": "hi", "attributes": {"msg": "hi", "n": 7, "f": 7.5}}]),
    );
    check(
        json!([{"type": "json_array_parser", "parse_to": "attributes.l"}, {"type": "json_array_parser", "header": "a,b"}]),
        &[r#"["x", 7]"#, "[1]"],
        json!([
            {"body": r#"["x", 7]"#, "attributes": {"l": ["x", 7], "a": "x", "b": 7}},
            {"body": "[1]", "attributes": {"l": [1]}},
        ]),
    );
    check(
        json!([{"type": "regex_parser", "regex": "^(?P<level>\\w+)(?: (?P<rest>.*))?$", "parse_to": "attributes.p"}]),
        &["info x y", "warn"],
        json!([
            {"body": "info x y", "attributes": {"p": {"level": "info", "rest": "x y"}}},
            {"body": "warn", "attributes": {"p": {"level": "warn", "rest": ""}}},
        ]),
    );
    check(
        json!([{"type": "key_value_parser", "delimiter": ":", "pair_delimiter": ";"}]),
        &["a:1; b: 'x;y'"],
        json!([{"body": "a:1; b: 'x;y'", "attributes": {"a": "1", "b": "x;y"}}]),
    );
    check(
        json!([{"type": "csv_parser", "header": "id,name"}, {"type": "remove", "field": "body"}]),
        &["1,\"a,b\""],
        json!([{"body": null, "attributes": {"id": "1", "name": "a,b"}}]),
    );
    check(
        json!([{"type": "uri_parser", "parse_to": "body"}]),
        &["https://u@h:1/p?q=1"],
        json!([{"body": {"scheme": "https", "user": "u", "host": "h", "port": "1", "path": "/p", "query": {"q": ["1"]}}}]),
    );
}

#[test]
fn what_a_parser_found_gives_time_severity_trace_and_scope() {
    check(
        json!([{
            "type": "json_parser",
            "timestamp": {"parse_from": "attributes.ts", "layout": "%Y-%m-%dT%H:%M:%S.%LZ"},
            "severity": {"parse_from": "attributes.lvl", "mapping": {"error": ["bad", {"min": 500, "max": 501}], "warn": "4xx"}},
            "trace": {"trace_id": {"parse_from": "attributes.t"}, "span_id": {"parse_from": "attributes.s"}},
            "scope_name": {"parse_from": "attributes.lvl"},
        }, {"type": "retain", "fields": ["attributes.ts"]}]),
        &[
            r#"{"ts":"2026-03-04T05:06:07.125Z","lvl":"BAD","t":"0102030405060708090a0b0c0d0e0f10","s":"0102030405060708"}"#,
        ],
        json!([{
            "timeUnixNano": "1772600767125000000", "severityNumber": 17, "severityText": "BAD", "scope": "BAD",
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
            "body": r#"{"ts":"2026-03-04T05:06:07.125Z","lvl":"BAD","t":"0102030405060708090a0b0c0d0e0f10","s":"0102030405060708"}"#,
            "attributes": {"ts": "2026-03-04T05:06:07.125Z"},
        }]),
    );
}

#[test]
fn severities_and_times_in_many_forms() {
    for (text, number) in
        [("Info", 9), ("warning2", 14), ("err", 17), ("24", 24), ("nothing", 0), ("503", 18), ("404", 0)]
    {
        let operators = json!([{"type": "severity_parser", "parse_from": "body", "overwrite_text": true, "mapping": {"error2": "5xx"}}]);
        let out = pipeline(&operators).unwrap().process(vec![line(text)]);
        assert_eq!(out[0].severity, number, "{text}");
        let shown = if number == 0 { text.to_owned() } else { crate::operators::severity_name(number) };
        assert_eq!(out[0].severity_text, shown, "{text}");
    }
    for (layout_type, layout, text, at) in [
        ("epoch", "s", "5", 5_000_000_000),
        ("epoch", "ms", "5", 5_000_000),
        ("epoch", "s.ms", "5.250", 5_250_000_000),
        ("epoch", "s.ns", "5.7", 5_000_000_007),
        ("gotime", "2006-01-02 15:04:05 -0700", "1970-01-01 01:00:05 +0100", 5_000_000_000),
        ("strptime", "%Y-%m-%d %H:%M:%S %z", "1970-01-01 00:00:05 +0000", 5_000_000_000i64),
    ] {
        let operators =
            json!([{"type": "time_parser", "parse_from": "body", "layout_type": layout_type, "layout": layout}]);
        let out = pipeline(&operators).unwrap().process(vec![line(text)]);
        assert_eq!(out[0].timestamp, Some(at), "{layout}");
    }
    let operators = json!([{"type": "time_parser", "parse_from": "body", "layout": "%H:%M:%S %Y-%m-%d", "location": "America/New_York"}]);
    let out = pipeline(&operators).unwrap().process(vec![line("00:00:00 1970-01-01")]);
    assert_eq!(out[0].timestamp, Some(5 * 3_600_000_000_000));
}

#[test]
fn fields_are_moved_about() {
    check(
        json!([
            {"type": "json_parser", "parse_to": "body"},
            {"type": "move", "from": "body.m", "to": "attributes[\"a.b\"]"},
            {"type": "copy", "from": "body.n", "to": "resource.n"},
            {"type": "flatten", "field": "body.deep"},
            {"type": "unquote", "field": "body.q"},
            {"type": "regex_replace", "field": "body.q", "regex": "(\\w)x", "replace_with": "${1}y"},
            {"type": "assign_keys", "field": "body.list", "keys": ["one", "two"]},
            {"type": "add", "field": "attributes.sum", "value": "EXPR(body.n + 1)"},
            {"type": "add", "field": "attributes.text", "value": "EXPRESS"},
            {"type": "add", "field": "attributes.map", "value": {"k": [1]}},
            {"type": "remove", "field": "body.gone"},
        ]),
        &[r#"{"m":"x","n":2,"deep":{"d":1},"q":"\"axb\"","list":[3,4],"gone":1}"#],
        json!([{
            "body": {"n": 2.0, "d": 1.0, "q": "ayb", "list": {"one": 3.0, "two": 4.0}},
            "attributes": {"a.b": "x", "sum": 3.0, "text": "EXPRESS", "map": {"k": [1]}},
            "resource": {"n": 2.0},
        }]),
    );
}

#[test]
fn what_fails_goes_by_on_error_and_what_does_not_apply_passes_by() {
    let with = |on_error: &str| json!([{"type": "json_parser", "on_error": on_error, "if": "body startsWith '{'"}]);
    for (on_error, expected, failed) in [
        ("send", json!([{"body": "{"}, {"body": "text"}]), 0),
        ("send_quiet", json!([{"body": "{"}, {"body": "text"}]), 0),
        ("drop", json!([{"body": "text"}]), 1),
        ("drop_quiet", json!([{"body": "text"}]), 1),
    ] {
        check(with(on_error), &["{", "text"], expected);
        let mut pipeline = pipeline(&with(on_error)).unwrap();
        let _ = pipeline.process(vec![line("{")]);
        assert_eq!(pipeline.take_counts(), Counts { failed, ..Counts::default() }, "{on_error}");
    }
    let every = json!([
        {"type": "move", "from": "attributes.no", "to": "body"}, {"type": "copy", "from": "attributes.no", "to": "body"},
        {"type": "remove", "field": "attributes.no"}, {"type": "flatten", "field": "body"},
        {"type": "assign_keys", "field": "body", "keys": ["a"]}, {"type": "regex_parser", "regex": "^(?P<a>\\d)$"},
        {"type": "time_parser", "parse_from": "body", "layout": "%Y"}, {"type": "severity_parser", "parse_from": "attributes.no"},
        {"type": "trace_parser", "trace_id": {"parse_from": "body"}}, {"type": "uri_parser"}, {"type": "csv_parser", "header": "a,b"},
        {"type": "key_value_parser"}, {"type": "container"}, {"type": "unquote"},
    ]);
    check(every.clone(), &["x"], json!([{"body": "x"}]));
    for operator in every.as_array().unwrap() {
        let mut operator = operator.clone();
        operator["on_error"] = "drop".into();
        check(json!([operator]), &["x"], json!([]));
    }
}

#[test]
fn filters_and_routers_choose() {
    let filter = json!([{"type": "filter", "expr": "body matches '^DEBUG'"}]);
    check(filter.clone(), &["DEBUG a", "INFO b"], json!([{"body": "INFO b"}]));
    let mut filter = pipeline(&filter).unwrap();
    let _ = filter.process(vec![line("DEBUG")]);
    assert_eq!(filter.take_counts().filtered, 1);
    check(json!([{"type": "filter", "expr": "true", "drop_ratio": 0}]), &["x"], json!([{"body": "x"}]));
    let router = json!([
        {"type": "router", "default": "rest", "routes": [
            {"expr": "body startsWith '{'", "output": "json"},
            {"expr": "body contains '='", "output": ["pairs", "rest"], "attributes": {"kind": "EXPR('kv')"}},
        ]},
        {"type": "json_parser", "id": "json", "output": "end"},
        {"type": "key_value_parser", "id": "pairs", "output": "end"},
        {"type": "add", "id": "rest", "field": "attributes.rest", "value": true},
        {"type": "noop", "id": "end"},
    ]);
    check(
        router,
        &["{\"a\":\"1\"}", "b=2", "x"],
        json!([
            {"body": "{\"a\":\"1\"}", "attributes": {"a": "1"}},
            {"body": "b=2", "attributes": {"kind": "kv", "b": "2"}},
            {"body": "b=2", "attributes": {"kind": "kv", "rest": true}},
            {"body": "x", "attributes": {"rest": true}},
        ]),
    );
}

#[test]
fn records_are_recombined_and_held_until_they_are_whole() {
    let first = json!({"type": "recombine", "combine_field": "body", "is_first_entry": "body matches '^[^\\\\s]'"});
    check(json!([first]), &["a", " b", "c"], json!([{"body": "a\n b"}, {"body": "c"}]));
    check(
        json!([{"type": "recombine", "combine_field": "body", "is_last_entry": "body endsWith ';'", "combine_with": ""}]),
        &["a", "b;", "c;"],
        json!([{"body": "ab;"}, {"body": "c;"}]),
    );
    check(
        json!([{"type": "recombine", "combine_field": "body", "is_last_entry": "false", "max_unmatched_batch_size": 2, "max_batch_size": 9}]),
        &["a", "b", "c"],
        json!([{"body": "a\nb"}, {"body": "c"}]),
    );
    let mut pipeline = pipeline(&json!([first])).unwrap();
    assert!(pipeline.process(vec![line("a"), Entry { reading: 2, ..line(" b") }]).is_empty());
    assert_eq!((pipeline.oldest(), pipeline.held()), (Some(1), 1));
    assert!(pipeline.flush_due(5_000_000_004).is_empty());
    assert_eq!(shown(pipeline.flush_due(5_000_000_005)), [json!({"body": "a\n b"})]);
    assert_eq!(pipeline.oldest(), None);
    let _ = pipeline.process(vec![line("x")]);
    pipeline.forget();
    assert!(pipeline.flush_all().is_empty());
}

#[test]
fn container_logs_lose_what_their_engine_wrote_around_them() {
    let resource = json!({"k8s.namespace.name": "ns", "k8s.pod.name": "web-1", "k8s.pod.uid": "0a1b", "k8s.container.name": "app", "k8s.container.restart_count": "3"});
    check(
        json!([{"type": "container"}]),
        &[
            r#"{"log":"docker\n","stream":"stdout","time":"1970-01-01T00:00:05.000000007Z"}"#,
            "1970-01-01T00:00:05.5Z stderr P part one, ",
            "1970-01-01T00:00:06Z stderr F part two",
            "1970-01-01T01:00:05+01:00 stdout F crio",
        ],
        json!([
            {"timeUnixNano": "5000000007", "body": "docker\n", "attributes": {"log.iostream": "stdout"}, "resource": resource},
            {"timeUnixNano": "5500000000", "body": "part one, part two", "attributes": {"log.iostream": "stderr", "logtag": "P"}, "resource": resource},
            {"timeUnixNano": "5000000000", "body": "crio", "attributes": {"log.iostream": "stdout", "logtag": "F"}, "resource": resource},
        ]),
    );
    check(
        json!([{"type": "container", "format": "containerd", "add_metadata_from_filepath": false, "on_error": "drop"}]),
        &["no container log", "1970-01-01T00:00:05Z stdout F "],
        json!([{"timeUnixNano": "5000000000", "body": "", "attributes": {"log.iostream": "stdout", "logtag": "F"}}]),
    );
}

#[test]
fn faults_are_found_when_operators_are_read() {
    for (operators, part) in [
        (json!([{"id": "x"}]), "[0] missing required key \"type\""),
        (json!([{"type": "regx_parser"}]), "unsupported type \"regx_parser\"; did you mean \"regex_parser\"?"),
        (json!([{"type": "file_output"}]), "\"file_output\" is not supported yet"),
        (
            json!([{"type": "noop"}, {"type": "move", "form": "body", "to": "attributes.x"}]),
            "[1] missing required key \"from\"",
        ),
        (
            json!([{"type": "move", "from": "body", "to": "attributes.x", "iff": "true"}]),
            "[0].iff move has no key \"iff\"; did you mean \"if\"?",
        ),
        (json!([{"type": "move", "from": "bdy", "to": "attributes.x"}]), "[0].from"),
        (json!([{"type": "noop", "if": "bdy == 1"}]), "[0].if at 1: there is no \"bdy\""),
        (json!([{"type": "noop", "if": "'text'"}]), "[0].if it comes to a string"),
        (json!([{"type": "noop", "on_error": "ignore"}]), "[0].on_error"),
        (json!([{"type": "noop", "output": "nope"}]), "[0].output there is no operator \"nope\""),
        (
            json!([{"type": "noop", "id": "a", "output": "b"}, {"type": "noop", "id": "b", "output": "a"}]),
            "leads back to itself",
        ),
        (json!([{"type": "noop", "id": "a"}, {"type": "noop", "id": "a"}]), "[1].id"),
        (json!([{"type": "regex_parser", "regex": "(.*)"}]), "no named capture groups"),
        (json!([{"type": "regex_parser", "regex": "("}]), "[0].regex"),
        (json!([{"type": "json_parser", "timestamp": {"parse_from": "body", "layout": "%Q"}}]), "[0].timestamp.layout"),
        (
            json!([{"type": "json_parser", "severity": {"parse_from": "body", "maping": {}}}]),
            "did you mean \"mapping\"?",
        ),
        (json!([{"type": "router", "routes": [{"expr": "true"}]}]), "[0].routes[0] missing required key \"output\""),
        (json!([{"type": "recombine", "combine_field": "body"}]), "exactly one of is_first_entry and is_last_entry"),
        (json!([{"type": "filter", "expr": "true", "drop_ratio": 2}]), "[0].drop_ratio"),
        (json!([{"type": "add", "field": "attributes.x", "value": "EXPR(])"}]), "[0].value at 1"),
        (json!([{"type": "retain", "fields": ["attributes.x", "y"]}]), "[0].fields[1]"),
        (json!([{"type": "csv_parser"}]), "\"header\" or \"header_attribute\""),
        (json!([{"type": "container", "format": "podman"}]), "[0].format"),
    ] {
        let error = pipeline(&operators).err().unwrap_or_else(|| panic!("{operators} is accepted"));
        assert!(error.contains(part), "{operators}: {error}");
    }
    // Two of a type are told apart.
    assert!(pipeline(&json!([{"type": "noop"}, {"type": "noop"}, {"type": "noop", "id": "noop1"}])).is_ok());
}
