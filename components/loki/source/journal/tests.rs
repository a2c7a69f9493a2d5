//! Journals that systemd wrote, and the component over them.

use std::io::Read as _;
use std::os::unix::fs::FileExt;

use base64::Engine as _;
use language_eval::{Scope, Value};
use sdk_signals::Refused;
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};

use super::file::tests::Writer;
use super::*;
use crate::relabel::Relabel;
use sdk_testing::patience::until;

const REGULAR: (&[u8], &[u8]) =
    (include_bytes!("fixtures/regular-zstd.journal.gz"), include_bytes!("fixtures/regular-zstd.jsonl.gz"));
const COMPACT: (&[u8], &[u8]) =
    (include_bytes!("fixtures/compact-zstd.journal.gz"), include_bytes!("fixtures/compact-zstd.jsonl.gz"));
const LONG_AGO: &str = "max_age = \"1000000h\"";

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn sink() -> (Arc<Collector<LogBatch>>, Scope) {
    let (collector, receiver) = Collector::new();
    (collector, scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]))
}

fn config(folder: &Path, more: &str) -> String {
    format!("path = \"{}\"\nforward_to = sink\n{LONG_AGO}\n{more}", folder.display())
}

fn lines(collector: &Collector<LogBatch>) -> Vec<String> {
    let batches = collector.batches();
    let entries = batches.iter().flat_map(|batch| &batch.groups).flat_map(|group| &group.entries);
    entries.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
}

fn write_over(path: &Path, writer: Writer) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&writer.finish(), 0).unwrap();
}

#[test]
fn what_journald_wrote_is_read_as_journalctl_reads_it() {
    for (journal, expected) in [REGULAR, COMPACT] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.journal"), gunzip(journal)).unwrap();
        let mut files = Files::open(Some(folder.path()), Matches::default(), Start::Since(0)).unwrap();
        let expected = String::from_utf8(gunzip(expected)).unwrap();
        for line in expected.lines() {
            let expected: serde_json::Value = serde_json::from_str(line).unwrap();
            let record = files.next().unwrap();
            assert_eq!(record.cursor.to_string(), expected["cursor"].as_str().unwrap());
            assert_eq!(record.cursor.realtime.to_string(), expected["time"].as_str().unwrap());
            let message = record.fields.iter().find(|field| field.name == "MESSAGE");
            let message = message.map_or_else(Vec::new, |field| field.value.clone());
            let message = base64::engine::general_purpose::STANDARD.encode(message);
            assert_eq!(message, expected["message"].as_str().unwrap(), "{}", record.cursor);
        }
        assert!(files.next().is_none());
        assert!(files.faults.is_empty(), "{:?}", files.faults);
    }
}

#[tokio::test]
async fn entries_are_followed_through_a_rotation_and_resumed_after_a_restart() {
    let (collector, scope) = sink();
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let current = folder.path().join("system.journal");
    Writer::new(false, 1).message(1_000, "a").message(2_000, "b").write(&current);
    let text = config(folder.path(), "labels = { host = \"h\" }");
    let mut alone = Alone::<Journal>::build_in(&text, &scope, data.path()).unwrap();
    alone.run();
    until(|| lines(&collector).len() == 2).await;
    let group = collector.batches()[0].groups[0].clone();
    assert_eq!(group.labels.to_string(), r#"{host="h", job="loki.source.journal.test"}"#);
    assert_eq!(group.entries[0].timestamp, 1_000_000);

    write_over(&current, Writer::new(false, 1).message(1_000, "a").message(2_000, "b").message(3_000, "c"));
    until(|| lines(&collector).len() == 3).await;
    std::fs::rename(&current, folder.path().join("system@1.journal")).unwrap();
    Writer::new(false, 1).from(4).message(4_000, "d").write(&current);
    until(|| lines(&collector).len() == 4).await;
    assert_eq!(alone.metric("loki_source_journal_target_lines_total", &[]), Some(4.0));
    alone.stop().await.unwrap();
    let saved = std::fs::read_to_string(data.path().join("loki.source.journal.test/positions.yml")).unwrap();
    assert!(saved.contains("cursor-loki.source.journal.test") && saved.contains("i=4;"), "{saved}");

    write_over(&current, Writer::new(false, 1).from(4).message(4_000, "d").message(5_000, "e"));
    let mut again = Alone::<Journal>::build_in(&text, &scope, data.path()).unwrap();
    again.run();
    until(|| lines(&collector).len() == 5).await;
    assert_eq!(lines(&collector), ["a", "b", "c", "d", "e"]);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_refused_is_read_again_and_its_position_not_saved() {
    let (collector, scope) = sink();
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Writer::new(false, 1).message(1, "a").write(&folder.path().join("a.journal"));
    collector.refuse(Some(Refused::retryable("full")));
    let mut alone = Alone::<Journal>::build_in(&config(folder.path(), ""), &scope, data.path()).unwrap();
    alone.run();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(alone.component.shown.lock().unwrap().is_none());
    collector.refuse(None);
    until(|| lines(&collector) == ["a"]).await;
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn fields_become_labels_json_and_metrics_as_in_alloy() {
    let (collector, mut scope) = sink();
    let rules = "forward_to = []\nrule {\n source_labels = [\"__journal_priority_keyword\"]\n target_label = \"level\"\n}\nrule {\n \
                 source_labels = [\"__journal__systemd_unit\"]\n regex = \"drop.*\"\n action = \"drop\"\n}";
    let rules = Alone::<Relabel>::build(rules, &Scope::new()).unwrap().export("rules").unwrap();
    scope.set("rules", rules).unwrap();
    let folder = tempfile::tempdir().unwrap();
    Writer::new(true, 1)
        .entry(1, &[(0, b"MESSAGE=<x>"), (0, b"PRIORITY=3"), (0, b"_SYSTEMD_UNIT=a")])
        .entry(2, &[(0, b"MESSAGE=no"), (0, b"_SYSTEMD_UNIT=drop.service")])
        .entry(3, &[(0, b"PRIORITY=1")])
        .write(&folder.path().join("a.journal"));
    let error = |alone: &Alone<Journal>, reason| {
        alone.metric("loki_source_journal_target_parsing_errors_total", &[("error", reason)])
    };
    let mut alone = Alone::<Journal>::start(&config(folder.path(), "relabel_rules = rules"), &scope).unwrap();
    until(|| error(&alone, "no_message").is_some()).await;
    let batches = collector.take();
    assert_eq!(batches[0].groups[0].labels.get("level"), Some("error"));
    assert_eq!((error(&alone, "no_message"), error(&alone, "empty_labels")), (Some(1.0), Some(1.0)));
    alone.stop().await.unwrap();

    let mut alone = Alone::<Journal>::start(&config(folder.path(), "format_as_json = true"), &scope).unwrap();
    until(|| lines(&collector).len() == 3).await;
    assert_eq!(lines(&collector)[0], r#"{"MESSAGE":"\u003cx\u003e","PRIORITY":"3","_SYSTEMD_UNIT":"a"}"#);
    assert_eq!(lines(&collector)[2], r#"{"PRIORITY":"1"}"#);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_older_than_max_age_is_passed_over() {
    let (collector, scope) = sink();
    let folder = tempfile::tempdir().unwrap();
    let now = u64::try_from(base_sys::clock::now_ns() / 1000).unwrap();
    Writer::new(false, 1).message(1, "old").message(now, "new").write(&folder.path().join("a.journal"));
    let text = format!("path = \"{}\"\nforward_to = sink", folder.path().display());
    let mut alone = Alone::<Journal>::start(&text, &scope).unwrap();
    until(|| !collector.batches().is_empty()).await;
    assert_eq!(lines(&collector), ["new"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_journal_that_is_not_there_is_said_and_found_when_it_comes() {
    let (collector, scope) = sink();
    let folder = tempfile::tempdir().unwrap();
    let mut alone = Alone::<Journal>::start(&config(folder.path(), ""), &scope).unwrap();
    until(|| alone.health().is_some_and(|(_, said)| said.contains("no journal files"))).await;
    Writer::new(false, 1).message(1, "at last").write(&folder.path().join("a.journal"));
    until(|| lines(&collector) == ["at last"]).await;
    until(|| alone.health().is_some_and(|(_, said)| said.contains("followed"))).await;
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn the_position_of_promtail_is_taken_over() {
    let (collector, scope) = sink();
    let folder = tempfile::tempdir().unwrap();
    let now = u64::try_from(base_sys::clock::now_ns() / 1000).unwrap();
    Writer::new(false, 1).message(now, "a").message(now + 1, "b").write(&folder.path().join("a.journal"));
    let legacy = folder.path().join("positions.yaml");
    let cursor = format!("s={};i=1;b={};m=1;t={now:x};x=1", "01".repeat(16), "07".repeat(16));
    std::fs::write(&legacy, format!("positions:\n  cursor-sys: \"{cursor}\"\n")).unwrap();
    let more = format!("legacy_position {{\n file = \"{}\"\n name = \"sys\"\n}}", legacy.display());
    let mut alone = Alone::<Journal>::start(&config(folder.path(), &more), &scope).unwrap();
    until(|| !collector.batches().is_empty()).await;
    assert_eq!(lines(&collector), ["b"]);
    alone.stop().await.unwrap();
}

#[test]
fn matches_that_are_none_are_refused() {
    let (_collector, scope) = sink();
    let refused = Alone::<Journal>::build("forward_to = sink\nmatches = \"UNIT\"", &scope);
    assert!(refused.is_err_and(|error| error.contains("FIELD=value")));
}
