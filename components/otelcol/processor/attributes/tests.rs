//! What the Collector was recorded to do, and what it promises beside.

use sdk_signals::Origin;
use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("attributes").await;
}

async fn log_after(actions: &str, attributes: Json, origin: Origin) -> Json {
    let bench = Bench::<Component>::start(&format!("{actions}\noutput {{\n logs = [next]\n}}\n")).unwrap();
    let log = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "attributes": attributes }] }] }] });
    bench.send_from(&log, origin).await.unwrap().detach();
    bench.out()[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"].clone()
}

#[tokio::test]
async fn later_actions_see_what_earlier_ones_did() {
    let actions = r#"
        action {
            key    = "a"
            value  = "x/y"
            action = "upsert"
        }
        action {
            key     = "a"
            pattern = "(?P<one>.*)/(?P<two>.*)"
            action  = "extract"
        }
        action {
            key            = "three"
            from_attribute = "two"
            action         = "insert"
        }
        action {
            key            = "four"
            from_attribute = "absent"
            action         = "insert"
        }
        action {
            pattern = "^a|two$"
            action  = "delete"
        }
    "#;
    let got = log_after(actions, json!([]), Origin::default()).await;
    assert_eq!(
        got,
        json!([{"key": "one", "value": {"stringValue": "x"}}, {"key": "three", "value": {"stringValue": "y"}}])
    );
}

#[tokio::test]
async fn values_of_the_request_are_there_only_when_it_has_them() {
    let actions = "action {\n key = \"u\"\n from_context = \"auth.username\"\n action = \"insert\"\n}\n\
                   action {\n key = \"h\"\n from_context = \"X-Many\"\n action = \"insert\"\n}\n";
    let origin = Origin {
        metadata: vec![("x-many".into(), vec!["a".into(), "b".into()])],
        auth: vec![("username".into(), "ann".into())],
        ..Origin::default()
    };
    let got = log_after(actions, json!([]), origin).await;
    assert_eq!(
        got,
        json!([{"key": "u", "value": {"stringValue": "ann"}}, {"key": "h", "value": {"stringValue": "a;b"}}])
    );
    assert_eq!(log_after(actions, json!([]), Origin::default()).await, Json::Null);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    for (action, word) in [
        ("action = \"insert\"", "key"),
        ("action = \"hash\"", "pattern"),
        ("key = \"a\"\naction = \"insert\"", "from_attribute"),
        ("key = \"a\"\nvalue = 1\npattern = \"x\"\naction = \"insert\"", "pattern"),
        ("key = \"a\"\nvalue = 1\naction = \"delete\"", "value"),
        ("key = \"a\"\naction = \"extract\"", "pattern"),
        ("key = \"a\"\npattern = \"(\"\naction = \"extract\"", "pattern"),
        ("key = \"a\"\npattern = \"x\"\naction = \"extract\"", "named"),
        ("key = \"a\"\naction = \"convert\"", "converted_type"),
    ] {
        let config = format!("action {{\n{action}\n}}\noutput {{\n logs = [next]\n}}\n");
        let error = Bench::<Component>::start(&config).err().unwrap_or_default();
        assert!(error.contains(word), "{action}: {error}");
    }
}
