//! What stands in the files.

use std::path::Path;
use std::time::Duration;

use language_eval::{FromValue as _, Scope};
use sdk_component::HealthState;
use sdk_protocols_compression::Coding;
use sdk_signals::{Delivery, OtelConsumer, OtlpBatch, Outcome};
use sdk_testing::component::Alone;
use sdk_testing::otlp;
use serde_json::json;

use super::File;

fn start(config: &str) -> Alone<File> {
    Alone::<File>::start(config, &Scope::new()).unwrap()
}

async fn send(alone: &Alone<File>, batch: OtlpBatch) -> Delivery {
    let input = OtelConsumer::from_value(&alone.export("input").expect("an input")).expect("a consumer");
    input.0.consume(batch).await.unwrap()
}

/// One span of a resource.
fn span(name: &str, segment: &str) -> OtlpBatch {
    otlp::batch(&json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "fileexporter.path_segment", "value": {"stringValue": segment}}]},
        "scopeSpans": [{"spans": [{"name": name}]}],
    }]}))
}

fn names(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"].as_str().unwrap().to_owned()
    };
    text.lines().map(name).collect()
}

#[tokio::test]
async fn a_delivered_batch_is_a_line_of_the_file_and_folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/out.json");
    let config = format!("path = {path:?}\nflush_interval = \"10ms\"\n");
    let mut alone = start(&config);
    for name in ["one", "two"] {
        assert_eq!(send(&alone, span(name, "x")).await.await, Outcome::Delivered);
    }
    assert_eq!(names(&path), ["one", "two"]);
    let sent = [("exporter", "file/otelcol.exporter.file.test")];
    assert_eq!(alone.metric("otelcol_exporter_sent_spans_total", &sent), Some(2.0));
    alone.stop().await.unwrap();
    // A new run empties it, unless it appends.
    let mut alone = start(&format!("{config}append = true\n"));
    assert_eq!(send(&alone, span("three", "x")).await.await, Outcome::Delivered);
    assert_eq!(names(&path), ["one", "two", "three"]);
    // As logrotate's copytruncate does.
    std::fs::File::create(&path).unwrap();
    assert_eq!(send(&alone, span("four", "x")).await.await, Outcome::Delivered);
    assert_eq!(names(&path), ["four"]);
    alone.stop().await.unwrap();
    let mut alone = start(&config);
    assert_eq!(send(&alone, span("four", "x")).await.await, Outcome::Delivered);
    assert_eq!(names(&path), ["four"]);
    // A change of other arguments does not.
    alone.update(&format!("path = {path:?}\nflush_interval = \"0s\"\n"), &Scope::new()).unwrap();
    assert_eq!(send(&alone, span("five", "x")).await.await, Outcome::Delivered);
    assert_eq!(names(&path), ["four", "five"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_writes_what_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    let mut alone = start(&format!("path = {path:?}\nflush_interval = \"1h\"\n"));
    let delivery = send(&alone, span("one", "x")).await;
    alone.stop().await.unwrap();
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(names(&path), ["one"]);
}

#[tokio::test]
async fn protobuf_and_what_is_compressed_stand_behind_their_length() {
    for (arguments, compressed) in [("format = \"proto\"", false), ("format = \"proto\"\ncompression = \"zstd\"", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let alone = start(&format!("path = {path:?}\nflush_interval = \"0s\"\n{arguments}\n"));
        let batch = span("one", "x");
        for _ in 0..2 {
            assert_eq!(send(&alone, batch.clone()).await.await, Outcome::Delivered);
        }
        let written = std::fs::read(&path).unwrap();
        let mut rest = &written[..];
        let mut messages = 0;
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            let message = if compressed { Coding::Zstd.expand(message, 1 << 20).unwrap() } else { message.to_vec() };
            assert_eq!(message, batch.clone().into_bytes());
            messages += 1;
            rest = behind;
        }
        assert_eq!((messages, rest.len()), (2, 0), "{arguments}");
    }
}

#[tokio::test]
async fn each_value_of_the_attribute_has_its_file_and_none_is_emptied_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("*.json");
    let alone = start(&format!(
        "path = {pattern:?}\nflush_interval = \"0s\"\ngroup_by {{\n enabled = true\n max_open_files = 1\n}}\n"
    ));
    for (name, segment) in [("one", "a"), ("two", "b/c"), ("three", "a"), ("four", "../../a")] {
        assert_eq!(send(&alone, span(name, segment)).await.await, Outcome::Delivered);
    }
    assert_eq!(names(&folder.path().join("a.json")), ["one", "three", "four"]);
    assert_eq!(names(&folder.path().join("b/c.json")), ["two"]);
    let without = otlp::batch(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}));
    assert_eq!(send(&alone, without).await.await, Outcome::Dropped);
    let failed = [("exporter", "file/otelcol.exporter.file.test")];
    assert_eq!(alone.metric("otelcol_exporter_send_failed_spans_total", &failed), Some(1.0));
}

#[tokio::test]
async fn a_file_that_is_large_enough_gets_another_name_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    let alone = start(&format!(
        "path = {path:?}\nflush_interval = \"0s\"\nrotation {{\n max_megabytes = 1\n max_backups = 2\n}}\n"
    ));
    let large = "x".repeat(700 << 10);
    for number in 0..5 {
        assert_eq!(send(&alone, span(&format!("{number}{large}"), "x")).await.await, Outcome::Delivered);
    }
    let mut backups: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "out.json")
        .collect();
    backups.sort();
    assert_eq!(backups.len(), 2, "{backups:?}");
    assert!(backups.iter().all(|name| name.starts_with("out-20") && name.ends_with("-size.json")), "{backups:?}");
    let first = |path: &Path| names(path)[0].chars().next().unwrap();
    let numbers: String = backups.iter().map(|name| first(&folder.path().join(name))).collect();
    assert_eq!((&numbers[..], first(&path)), ("23", '4'));
}

#[tokio::test]
async fn what_cannot_be_written_waits_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let blocker = folder.path().join("blocked");
    std::fs::write(&blocker, "").unwrap();
    let path = blocker.join("out.json");
    let alone = start(&format!("path = {path:?}\nflush_interval = \"10ms\"\n"));
    let delivery = send(&alone, span("one", "x")).await;
    for _ in 0..3000 {
        if matches!(alone.health(), Some((HealthState::Unhealthy, _))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(alone.health().unwrap().1.contains("cannot open"), "{:?}", alone.health());
    std::fs::remove_file(&blocker).unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), delivery).await, Ok(Outcome::Delivered));
    assert_eq!(names(&path), ["one"]);
}

#[tokio::test]
async fn what_cannot_be_written_goes_where_a_reload_says() {
    let folder = tempfile::tempdir().unwrap();
    let blocker = folder.path().join("blocked");
    std::fs::write(&blocker, "").unwrap();
    let alone = start(&format!("path = {:?}\nflush_interval = \"0s\"\n", blocker.join("out.json")));
    let delivery = send(&alone, span("one", "x")).await;
    let path = folder.path().join("out.json");
    alone.update(&format!("path = {path:?}\nflush_interval = \"0s\"\n"), &Scope::new()).unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), delivery).await, Ok(Outcome::Delivered));
    assert_eq!(names(&path), ["one"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    for (config, word) in [
        ("path = \"\"", "non-empty"),
        ("path = \"a\"\nappend = true\nrotation {\n}", "append and rotation"),
        ("path = \"a\"\nformat = \"xml\"", "xml"),
        ("path = \"a\"\ncompression = \"gzip\"", "gzip"),
        ("path = \"a\"\nflush_interval = \"-1s\"", "flush_interval"),
        ("path = \"a\"\nencoding = \"x\"", "not yet supported"),
        ("path = \"a\"\ngroup_by {\n enabled = true\n}", "exactly one *"),
        ("path = \"*a\"\ngroup_by {\n enabled = true\n}", "must not start"),
    ] {
        let error = Alone::<File>::build(config, &Scope::new()).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}
