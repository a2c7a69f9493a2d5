//! The component between files and records.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use language_eval::{Scope, ToValue as _};
use sdk_otel::storage::StorageHandler;
use sdk_signals::{BoxFuture, Consumer, Delivery, OtelConsumer, OtlpBatch, Outcome, Receiver, Refused, Settle};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::otlp::json as shown;
use serde_json::Value as Json;

use super::Filelog;
use std::sync::Arc;

/// A folder with logs, and where their records go.
struct Story {
    folder: tempfile::TempDir,
    next: Arc<Collector<OtlpBatch>>,
    scope: Scope,
}

impl Story {
    fn new() -> Story {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let (next, receiver) = Collector::new();
        let scope = scope_of(OtelConsumer(receiver), folder.path());
        Story { folder, next, scope }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn config(&self, more: &str) -> String {
        config(self.folder.path(), more)
    }

    /// The bodies that have come, when there are so many.
    async fn bodies(&self, count: usize) -> Vec<String> {
        let records = self.records(count).await;
        records.iter().map(|record| record["body"]["stringValue"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn records(&self, count: usize) -> Vec<Json> {
        let mut batches = self.next.batches();
        loop {
            let records: Vec<Json> = batches.iter().cloned().flat_map(|batch| records(&shown(batch))).collect();
            if records.len() >= count {
                return records;
            }
            batches = self.next.wait_for(batches.len() + 1).await;
        }
    }
}

fn scope_of(next: OtelConsumer, folder: &Path) -> Scope {
    let storage = StorageHandler::new("otelcol.storage.file.s", &folder.join("state"));
    scope([("next", next.to_value()), ("storage", storage.to_value())])
}

fn config(folder: &Path, more: &str) -> String {
    let include = folder.join("*.log*");
    format!("include = [{include:?}]\npoll_interval = \"5ms\"\n{more}\noutput {{ logs = [next] }}")
}

fn records(payload: &Json) -> Vec<Json> {
    let list = |value: &Json, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = list(payload, "resourceLogs").into_iter().flat_map(|group| list(&group, "scopeLogs"));
    scopes.flat_map(|group| list(&group, "logRecords")).collect()
}

fn attribute(record: &Json, name: &str) -> Json {
    let attributes = record["attributes"].as_array().cloned().unwrap_or_default();
    attributes.into_iter().find(|pair| pair["key"] == name).map_or(Json::Null, |pair| pair["value"].clone())
}

#[tokio::test]
async fn lines_become_records_through_growth_and_rotation() {
    let story = Story::new();
    story.write("a.log", "one\r\n\n two \n");
    let config = story
        .config("start_at = \"beginning\"\ninclude_file_record_number = true\nattributes = { who = \"EXPR(body)\" }");
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    let records = story.records(2).await;
    assert_eq!(records[1]["body"]["stringValue"], "two");
    assert_eq!(attribute(&records[1], "log.file.name")["stringValue"], "a.log");
    assert_eq!(attribute(&records[1], "log.file.record_number")["intValue"], "3");
    assert_eq!(attribute(&records[1], "who")["stringValue"], "two");
    story.write("a.log", "three\n");
    assert_eq!(story.bodies(3).await[2], "three");
    std::fs::rename(story.path("a.log"), story.path("a.log.1")).unwrap();
    story.write("a.log.1", "late\n");
    story.write("a.log", "new\n");
    let mut bodies = story.bodies(5).await.split_off(3);
    bodies.sort();
    assert_eq!(bodies, ["late", "new"]);
    let labels = [("receiver", "file_log/otelcol.receiver.filelog.test"), ("transport", "")];
    alone.stop().await.unwrap();
    assert_eq!(alone.metric("otelcol_receiver_accepted_log_records_total", &labels), Some(5.0));
}

#[tokio::test]
async fn what_was_there_is_passed_over_and_a_line_without_end_is_taken_after_a_while() {
    let story = Story::new();
    story.write("a.log", "old\n");
    let mut alone = Alone::<Filelog>::start(&story.config("force_flush_period = \"20ms\""), &story.scope).unwrap();
    // What comes after the first look is new.
    while alone.component.shared.files().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    story.write("a.log", "new without end");
    story.write("b.log", "another file\n");
    let mut bodies = story.bodies(2).await;
    bodies.sort();
    assert_eq!(bodies, ["another file", "new without end"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_no_pattern_finds_any_more_is_read_to_its_end() {
    let story = Story::new();
    story.write("a.log", "one\n");
    let config = story.config("start_at = \"beginning\"");
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    story.bodies(1).await;
    story.write("a.log", "two\nthree");
    std::fs::rename(story.path("a.log"), story.path("gone")).unwrap();
    assert_eq!(story.bodies(3).await, ["one", "two", "three"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_goes_on_behind_what_was_delivered() {
    let story = Story::new();
    story.write("a.log", "one\ntwo\n");
    let config = story.config("storage = storage\nstart_at = \"beginning\"");
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    story.bodies(2).await;
    alone.stop().await.unwrap();
    story.write("a.log", "three\n");
    story.write("b.log", "four\n");
    let mut again = Alone::<Filelog>::start(&story.config("storage = storage"), &story.scope).unwrap();
    let mut bodies = story.bodies(4).await.split_off(2);
    bodies.sort();
    assert_eq!(bodies, ["four", "three"]);
    again.stop().await.unwrap();
}

/// Takes everything and answers for nothing.
#[derive(Default)]
struct Silent(Mutex<Vec<Settle>>);

impl Consumer<OtlpBatch> for Silent {
    fn consume(&self, _: OtlpBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let (delivery, settle) = Delivery::pending();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(settle);
        Box::pin(async { Ok(delivery) })
    }
}

impl Silent {
    /// The answers that it owes, when there are some.
    async fn owed(&self) -> Vec<Settle> {
        loop {
            let owed = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if !owed.is_empty() {
                return owed;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn no_position_is_saved_past_what_is_not_delivered_or_held_by_an_operator() {
    let story = Story::new();
    story.write("a.log", "first\n");
    let silent = Arc::new(Silent::default());
    let scope = scope_of(OtelConsumer(Receiver::new("test", silent.clone())), story.folder.path());
    let recombine = r#"operators = [{type = "recombine", combine_field = "body", is_last_entry = "body endsWith '.'", force_flush_period = "1h"}]"#;
    let config = story.config(&format!("storage = storage\nstart_at = \"beginning\"\n{recombine}"));
    let mut alone = Alone::<Filelog>::start(&config, &scope).unwrap();
    story.write("a.log", "second.\n");
    for settle in silent.owed().await {
        settle.settle(Outcome::Delivered);
    }
    story.write("a.log", "third.\n");
    let never = silent.owed().await;
    story.write("a.log", "fourth\n");
    alone.stop().await.unwrap();
    drop(never);
    let mut again = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    story.write("a.log", "fifth.\n");
    assert_eq!(story.bodies(2).await, ["third.", "fourth\nfifth."]);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_lost_on_its_way_is_read_again() {
    let story = Story::new();
    story.write("a.log", "one\n");
    let silent = Arc::new(Silent::default());
    let scope = scope_of(OtelConsumer(Receiver::new("test", silent.clone())), story.folder.path());
    let mut alone = Alone::<Filelog>::start(&story.config("start_at = \"beginning\""), &scope).unwrap();
    drop(silent.owed().await);
    // It comes once more, by itself.
    for settle in silent.owed().await {
        settle.settle(Outcome::Delivered);
    }
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn reading_waits_while_records_are_refused() {
    let story = Story::new();
    story.write("a.log", "one\n");
    story.next.refuse(Some(Refused::retryable("full")));
    let config = story.config("start_at = \"beginning\"\nretry_on_failure { initial_interval = \"5ms\" }");
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    tokio::task::yield_now().await;
    story.next.refuse(None);
    assert_eq!(story.bodies(1).await, ["one"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn headers_and_records_of_several_lines() {
    let story = Story::new();
    story.write("a.log", "# version 7\n# host h\n1 a\n  more\n2 b\n");
    let config = story.config(
        r##"start_at = "beginning"
        force_flush_period = "20ms"
        multiline { line_start_pattern = "^\\d" }
        header {
            pattern = "^#"
            metadata_operators = [{type = "regex_parser", regex = "^# (?P<key>\\w+) (?P<value>.*)$"},
                {type = "add", field = "attributes.seen", value = "EXPR(attributes.key + '=' + attributes.value)"}]
        }"##,
    );
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    let records = story.records(2).await;
    assert_eq!(records[0]["body"]["stringValue"], "1 a\n  more");
    assert_eq!(records[1]["body"]["stringValue"], "2 b");
    assert_eq!(attribute(&records[1], "seen")["stringValue"], "host=h");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_compressed_after_it_was_read_is_known() {
    let story = Story::new();
    story.write("a.log", "one\ntwo\n");
    let config = story.config("start_at = \"beginning\"\ncompression = \"auto\"");
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    story.bodies(2).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"one\ntwo\nthree").unwrap();
    std::fs::write(story.path("tmp"), encoder.finish().unwrap()).unwrap();
    std::fs::rename(story.path("tmp"), story.path("a.log.gz")).unwrap();
    std::fs::remove_file(story.path("a.log")).unwrap();
    assert_eq!(story.bodies(3).await, ["one", "two", "three"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn the_newest_file_of_each_group() {
    let story = Story::new();
    for name in ["x-1.log", "x-10.log", "x-9.log", "y-2.log", "z.log"] {
        story.write(name, format!("{name}\n"));
    }
    let config = story.config(
        r#"start_at = "beginning"
        ordering_criteria {
            regex = "(?P<letter>[xy])-(?P<number>\\d+)\\.log$"
            group_by = "([xyz])[^/]*$"
            sort_by {
                sort_type = "numeric"
                regex_key = "number"
            }
        }"#,
    );
    let mut alone = Alone::<Filelog>::start(&config, &story.scope).unwrap();
    assert_eq!(story.bodies(2).await, ["x-10.log", "y-2.log"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn other_operators_are_taken_without_a_restart() {
    let story = Story::new();
    story.write("a.log", "one\n");
    let config = |value: &str| {
        let operators = format!("operators = [{{type = \"add\", field = \"attributes.x\", value = {value:?}}}]");
        story.config(&format!("start_at = \"beginning\"\n{operators}"))
    };
    let mut alone = Alone::<Filelog>::start(&config("old"), &story.scope).unwrap();
    story.records(1).await;
    alone.update(&config("new"), &story.scope).unwrap();
    story.write("a.log", "two\n");
    let records = story.records(2).await;
    assert_eq!(attribute(&records[0], "x")["stringValue"], "old");
    assert_eq!(attribute(&records[1], "x")["stringValue"], "new");
    assert_eq!(records.len(), 2);
    alone.stop().await.unwrap();
}

#[test]
fn faults_are_found_at_load() {
    let folder = Path::new("/var/log");
    for (more, part) in [
        ("max_concurrent_files = 0", "max_concurrent_files must be positive"),
        ("delete_after_read = true\nstart_at = \"beginning\"", "delete_after_read is not supported"),
        ("encoding = \"klingon\"", "no encoding that is known here"),
        ("start_at = \"middle\"", "must be one of"),
        ("fingerprint_size = \"1B\"", "at least 16 bytes"),
        ("multiline { }", "either line_start_pattern or line_end_pattern"),
        ("encoding = \"nop\"\nmultiline { line_end_pattern = \";\" }", "not supported with this encoding"),
        ("ordering_criteria {\nsort_by {\nsort_type = \"size\"\n}\n}", "sort_type \"size\" is none of"),
        ("compression = \"zip\"", "must be one of"),
        ("exclude = [\"[\"]", "a [ is not closed"),
        ("attributes = { a = \"EXPR(==)\" }", "a: at 1"),
        (
            "header {\npattern = \"^#\"\nmetadata_operators = [{type = \"noop\"}]\n}",
            "header cannot be used with start_at",
        ),
        ("operators = [{type = \"noop\", iff = \"true\"}]", "noop has no key \"iff\""),
    ] {
        let next = OtelConsumer(Collector::<OtlpBatch>::new().1);
        let error = Alone::<Filelog>::build(&config(folder, more), &scope_of(next, folder)).err();
        let error = error.unwrap_or_else(|| panic!("{more} is accepted"));
        assert!(error.contains(part), "{more}: {error}");
    }
}
