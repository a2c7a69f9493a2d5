//! What the Collector was recorded to do, and what it promises beside.

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("span").await;
}

async fn changed(arguments: &str, span: Json) -> Json {
    let bench = Bench::<Component>::start(&format!("{arguments}\noutput {{\n traces = [next]\n}}\n")).unwrap();
    bench.send(&json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] })).await.unwrap().detach();
    bench.out()[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
}

#[tokio::test]
async fn groups_inside_groups_and_groups_without_part_do_no_harm() {
    let rules = r#"name {
        to_attributes {
            rules = ["^(?P<whole>a(?P<inner>b))(?P<absent>x)?"]
        }
    }"#;
    let span = changed(rules, json!({ "name": "abc" })).await;
    assert_eq!(span["name"], "{whole}c");
    assert_eq!(
        span["attributes"],
        json!([{"key": "whole", "value": {"stringValue": "ab"}}, {"key": "inner", "value": {"stringValue": "b"}}])
    );
}

#[tokio::test]
async fn a_name_that_is_kept_still_gives_attributes() {
    let rules = "name {\n to_attributes {\n rules = [\"^(?P<a>.)\"]\n keep_original_name = true\n }\n}";
    let span = changed(rules, json!({ "name": "xyz" })).await;
    assert_eq!((&span["name"], &span["attributes"][0]["value"]["stringValue"]), (&json!("xyz"), &json!("x")));
}

#[tokio::test]
async fn values_of_every_kind_stand_in_a_name() {
    let span = changed(
        "name {\n from_attributes = [\"b\", \"d\", \"l\"]\n separator = \"/\"\n}",
        json!({ "name": "old", "attributes": [
            {"key": "b", "value": {"boolValue": true}},
            {"key": "d", "value": {"doubleValue": 1e21}},
            {"key": "l", "value": {"arrayValue": {}}},
        ]}),
    )
    .await;
    assert_eq!(span["name"], "true/1000000000000000000000/<unknown-attribute-type>");
}

#[tokio::test]
async fn only_what_matches_is_changed() {
    let arguments = "include {\n match_type = \"strict\"\n span_names = [\"yes\"]\n}\nstatus {\n code = \"Error\"\n description = \"d\"\n}";
    assert_eq!(changed(arguments, json!({ "name": "yes" })).await["status"], json!({ "code": 2, "message": "d" }));
    assert_eq!(changed(arguments, json!({ "name": "no" })).await["status"], json!({}));
}

#[test]
fn what_does_nothing_or_cannot_be_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for (arguments, word) in [
        ("", "nothing to do"),
        ("name {\n to_attributes {\n rules = [\"(\"]\n }\n}", "invalid regexp pattern ("),
        ("status {\n code = \"ok\"\n}", "ok"),
    ] {
        let error = Bench::<Component>::start(&format!("{arguments}\noutput {{ }}\n")).err().unwrap_or_default();
        assert!(error.contains(word), "{arguments}: {error}");
    }
}
