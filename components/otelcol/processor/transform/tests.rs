//! What the Collector was recorded to do, and what it promises beside.

use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("transform").await;
}

fn log(attributes: Json) -> Json {
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "attributes": attributes }] }] }] })
}

fn start(statements: &str) -> Result<Bench<Component>, String> {
    Bench::start(&format!(
        "log_statements {{\n context = \"log\"\n statements = [{statements}]\n}}\noutput {{\n logs = [next]\n}}\n"
    ))
}

#[tokio::test]
async fn a_payload_that_nothing_changes_is_handed_on_as_it_came() {
    let bench = start("`set(attributes[\"a\"], 1) where attributes[\"b\"] == 2`").unwrap();
    bench.send(&log(json!([{ "key": "b", "value": { "intValue": "1" } }]))).await.unwrap().detach();
    bench.send(&log(json!([{ "key": "b", "value": { "intValue": "2" } }]))).await.unwrap().detach();
    let sent = bench.next.batches();
    let (same, new) = (&sent[0].payload[0], &sent[1].payload[0]);
    assert!(new.len() > same.len());
    assert_eq!((sent[0].items, sent[1].items), (1, 1));
}

#[tokio::test]
async fn faults_point_into_the_statement() {
    let Err(message) = start("`set(attribute[\"a\"], 1)`, `sett(name, Lenn(\"x\"))`") else { panic!("it loads") };
    assert!(
        message.contains("\"attribute\" is no path of the context \"log\"; did you mean \"attributes\"?"),
        "{message}"
    );
    assert!(message.contains("    set(attribute[\"a\"], 1)\n        ^^^^^^^^^"), "{message}");
    assert!(message.contains("there is no function \"sett\"; did you mean \"set\"?"), "{message}");
}

#[tokio::test]
async fn a_statement_that_copies_its_own_copies_comes_to_an_end() {
    let bench = Bench::<Component>::start(
        "metric_statements {\n context = \"metric\"\n statements = [`copy_metric()`]\n}\noutput {\n metrics = [next]\n}\n",
    )
    .unwrap();
    let metrics = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "m", "gauge": { "dataPoints": [{ "asInt": "1" }] } }] }] }] });
    bench.send(&metrics).await.unwrap().detach();
    let list = bench.out()[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().len();
    assert_eq!(list, 10_001);
}

#[tokio::test]
async fn what_later_statements_see_earlier_ones_did_also_metrics_that_they_made() {
    let bench = Bench::<Component>::start(
        "metric_statements {\n context = \"metric\"\n statements = [`copy_metric(name=\"copy\") where name == \"m\"`, `set(unit, \"By\") where name == \"copy\"`]\n}\noutput {\n metrics = [next]\n}\n",
    )
    .unwrap();
    let metrics = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "m", "gauge": { "dataPoints": [{ "asInt": "1" }] } }] }] }] });
    bench.send(&metrics).await.unwrap().detach();
    let list = bench.out()[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
    assert_eq!((&list[0]["unit"], &list[1]["name"], &list[1]["unit"]), (&Json::Null, &json!("copy"), &json!("By")));
}

#[tokio::test]
async fn lines_of_web_servers_are_read() {
    let line =
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=\"c\" HTTP/1.0" 200 - "http://x/" "Moz \x41""#;
    let bench = start("`set(attributes, ParseCLF(attributes[\"line\"], \"combined\"))`").unwrap();
    bench.send(&log(json!([{ "key": "line", "value": { "stringValue": line } }]))).await.unwrap().detach();
    let sent = String::from_utf8_lossy(&bench.next.batches()[0].payload[0]).into_owned();
    for part in
        ["frank", "10/Oct/2000:13:55:36 -0700", "GET /a?b=\"c\" HTTP/1.0", "clf.request_uri", "http://x/", "Moz A"]
    {
        assert!(sent.contains(part), "{part}: {sent:?}");
    }
    assert!(!sent.contains("clf.bytes"), "{sent:?}");
    assert!(start("`set(attributes, ParseCLF(attributes[\"line\"], \"nope\"))`").is_err());
}
