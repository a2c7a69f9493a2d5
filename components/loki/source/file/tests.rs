//! Against recordings of Alloy, and against files that rotate, vanish and come back.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use language_eval::Scope;
use sdk_signals::{BoxFuture, Consumer, Delivery, Outcome, Receiver, Refused, Settle};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::Value as Json;

use super::*;
use sdk_testing::patience::until;

mod restarts;
#[cfg(target_os = "linux")]
mod still;

fn receiver(receiver: Receiver<LogBatch>) -> Scope {
    scope([("next", LogsReceiver(receiver).to_value())])
}

fn all_lines(batches: &[LogBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.groups).flat_map(|group| &group.entries);
    entries.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
}

// === recordings ===

fn contents(dir: &Path, step: &Json) -> Vec<u8> {
    match (step["text"].as_str(), step["base64"].as_str()) {
        (Some(text), _) => text.replace("@dir@", dir.to_str().unwrap()).into_bytes(),
        (_, Some(coded)) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap(),
        _ => Vec::new(),
    }
}

fn change_files(dir: &Path, step: &Json) {
    let path = |field: &str| dir.join(step[field].as_str().unwrap());
    match step["op"].as_str().unwrap() {
        "write" => {
            std::fs::create_dir_all(path("file").parent().unwrap()).unwrap();
            std::fs::write(path("file"), contents(dir, step)).unwrap();
        }
        "append" => {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path("file")).unwrap();
            file.write_all(&contents(dir, step)).unwrap();
        }
        "rename" => std::fs::rename(path("from"), path("to")).unwrap(),
        "truncate" => drop(std::fs::File::create(path("file")).unwrap()),
        "remove" => std::fs::remove_file(path("file")).unwrap(),
        other => panic!("unknown step {other}"),
    }
}

/// `(labels, line)`
type Seen = (BTreeMap<String, String>, Vec<u8>);

fn recorded(entry: &Json, dir: &str) -> Seen {
    let labels = entry["labels"].as_object().unwrap().iter();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().replace("@dir@", dir)));
    let line = match entry["line"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(entry["line"]["base64"].as_str().unwrap()).unwrap(),
    };
    (labels.collect(), line)
}

fn seen(batches: &[LogBatch]) -> Vec<Seen> {
    let groups = batches.iter().flat_map(|batch| &batch.groups);
    let entries = groups.flat_map(|group| {
        let labels: BTreeMap<_, _> = group.labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
        group.entries.iter().map(move |entry| (labels.clone(), entry.line.to_vec()))
    });
    entries.collect()
}

fn show(seen: &[Seen]) -> String {
    let line = |(labels, line): &Seen| format!("{labels:?} {:?}", String::from_utf8_lossy(line));
    seen.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn replay(case: &Json) -> Option<String> {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = files.path().to_str().unwrap().to_owned();
    let config = case["config"].as_str().unwrap().replace("@dir@", &dir).replace("@next@", "next");
    let inside = config[config.find('{').unwrap() + 1..config.rfind('}').unwrap()].to_owned();
    let (collector, next) = Collector::<LogBatch>::new();
    let scope = receiver(next);
    let positions_file = data.path().join("loki.source.file.test/positions.yml");
    if let Some(text) = case["positions_before"].as_str() {
        std::fs::create_dir_all(positions_file.parent().unwrap()).unwrap();
        std::fs::write(&positions_file, text.replace("@dir@", &dir)).unwrap();
    }
    for step in case["files_before"].as_array().unwrap() {
        change_files(files.path(), step);
    }
    let start = || -> Result<Alone<File>, String> {
        let mut alone = Alone::build_in(&inside, &scope, data.path())?;
        alone.run();
        Ok(alone)
    };
    let mut alone = match (start(), case.get("load_error")) {
        (Err(_), Some(_)) => return None,
        (Err(ours), None) => return Some(format!("alloy: loads\nours:  {ours}")),
        (Ok(_), Some(error)) => return Some(format!("alloy: {error}\nours:  loads")),
        (Ok(alone), None) => alone,
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    for step in case["steps"].as_array().unwrap() {
        match step["op"].as_str().unwrap() {
            "sleep" => tokio::time::sleep(Duration::from_millis(step["ms"].as_u64().unwrap())).await,
            "stop" => alone.stop().await.unwrap(),
            "start" => alone = start().unwrap(),
            "restart" => {
                alone.stop().await.unwrap();
                alone = start().unwrap();
            }
            _ => change_files(files.path(), step),
        }
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    alone.stop().await.unwrap();

    let mut ours = seen(&collector.batches());
    let mut alloys: Vec<Seen> =
        case["expected"].as_array().unwrap().iter().map(|entry| recorded(entry, &dir)).collect();
    if case.get("order").is_some() {
        ours.sort();
        alloys.sort();
    }
    if ours != alloys {
        return Some(format!("alloy: {}\nours:  {}", show(&alloys), show(&ours)));
    }
    let at = |text: &str| {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("positions.yml"), text).unwrap();
        let positions = Progress::open(data.path()).unwrap();
        let text = text.replace('\'', "");
        let paths = text.lines().filter_map(|line| line.split_once("path: ")).map(|(_, path)| path.to_owned());
        let labels = text.lines().filter_map(|line| line.split_once("labels: ")).map(|(_, labels)| labels.to_owned());
        let keys = paths.zip(labels).map(|(path, labels)| Key { path, labels });
        keys.map(|key| (key.clone(), positions.get(&key))).collect::<BTreeMap<_, _>>()
    };
    let ours = std::fs::read_to_string(&positions_file).unwrap_or_else(|_| "positions: {}\n".to_owned());
    let recorded = std::iter::once(case).chain(case["other_observed"].as_array().into_iter().flatten());
    let mut recorded =
        recorded.filter_map(|one| one["positions_after_stop"].as_str()).map(|text| text.replace("@dir@", &dir));
    let same = recorded.any(|alloys| at(&alloys) == at(&ours));
    (!same).then(|| format!("alloy: {}\nours:  {ours}", case["positions_after_stop"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_read_as_alloy_reads_them() {
    let Some(cases) = oracle::cases::<Json>("pipelines/loki_source_file/cases.jsonl") else { return };
    let replays: Vec<_> = cases
        .into_iter()
        .map(|case| {
            base_sys::task::spawn("case", async move { (case["id"].as_str().unwrap().to_owned(), replay(&case).await) })
        })
        .collect();
    let mut group = oracle::Group::new("loki.source.file");
    for replay in replays {
        let (id, difference) = replay.await.returned().expect("a case does not panic");
        group.case(&id, difference);
    }
    group.finish();
}

// === stories ===

/// Takes everything and settles when told.
#[derive(Default)]
struct Slow {
    held: Mutex<Vec<(LogBatch, Settle)>>,
}

impl Consumer<LogBatch> for Slow {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        let (delivery, settle) = Delivery::pending();
        self.held.lock().unwrap().push((batch, settle));
        Box::pin(async { Ok(delivery) })
    }
}

impl Slow {
    async fn wait_for(&self, batches: usize) {
        for _ in 0..1000 {
            if self.held.lock().unwrap().len() >= batches {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {batches} batches came", self.held.lock().unwrap().len());
    }
}

fn config(path: &Path) -> String {
    format!(
        "targets = [{{ __path__ = {path:?} }}]\nforward_to = [next]\nfile_watch {{\n min_poll_frequency = \"10ms\"\n max_poll_frequency = \"10ms\"\n}}"
    )
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_position_moves_only_past_what_is_delivered() {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = files.path().join("a.log");
    append(&path, "one\n");
    let slow = Arc::new(Slow::default());
    let scope = receiver(Receiver::new("slow", slow.clone()));
    let mut alone = Alone::<File>::build_in(&config(&path), &scope, data.path()).unwrap();
    alone.run();
    slow.wait_for(1).await;
    append(&path, "two\n");
    slow.wait_for(2).await;
    append(&path, "three\n");
    slow.wait_for(3).await;
    let saved = async || {
        alone.component.clone().save(Sync::Kernel).await;
        let key = Key { path: path.to_str().unwrap().to_owned(), labels: "{}".to_owned() };
        Progress::open(alone.context.data_path()).unwrap().get(&key).unwrap()
    };
    assert_eq!(saved().await, "0");
    // The last is delivered first: the position waits for those before it.
    let settle = || slow.held.lock().unwrap().pop().unwrap().1;
    settle().settle(Outcome::Delivered);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(saved().await, "0");
    let (second, first) = (settle(), settle());
    first.settle(Outcome::Delivered);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(saved().await, "4");
    second.settle(Outcome::Dropped);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(saved().await, "14");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn lines_that_are_lost_downstream_are_read_again() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    append(&path, "one\ntwo\n");
    let slow = Arc::new(Slow::default());
    let mut alone = Alone::<File>::start(&config(&path), &receiver(Receiver::new("slow", slow.clone()))).unwrap();
    slow.wait_for(1).await;
    drop(slow.held.lock().unwrap().remove(0));
    slow.wait_for(1).await;
    let (batch, settle) = slow.held.lock().unwrap().remove(0);
    assert_eq!(all_lines(&[batch]), ["one", "two"]);
    settle.settle(Outcome::Delivered);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_makes_the_file_wait() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    append(&path, "one\n");
    let (collector, next) = Collector::<LogBatch>::new();
    collector.refuse(Some(Refused::retryable("full")));
    let mut alone = Alone::<File>::start(&config(&path), &receiver(next)).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    append(&path, "two\n");
    collector.refuse(None);
    until(|| all_lines(&collector.batches()).len() == 2).await;
    assert_eq!(all_lines(&collector.batches()), ["one", "two"]);
    alone.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_rotations_loses_and_repeats_nothing() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    append(&path, "");
    let (collector, next) = Collector::<LogBatch>::new();
    let mut alone = Alone::<File>::start(&config(&path), &receiver(next)).unwrap();
    let mut number = 0;
    for rotation in 0..10 {
        for _ in 0..20 {
            append(&path, &format!("seq={number}\n"));
            number += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The first lines may come before the file is known; a rotation within one look is nobody's to see.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let old = files.path().join(format!("a.log.{rotation}"));
        std::fs::rename(&path, &old).unwrap();
        append(&old, &format!("seq={number}\n"));
        number += 1;
        append(&path, &format!("seq={number}\n"));
        number += 1;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    for _ in 0..500 {
        if all_lines(&collector.batches()).len() >= number {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let expected: Vec<String> = (0..number).map(|number| format!("seq={number}")).collect();
    assert_eq!(all_lines(&collector.batches()), expected);
    alone.stop().await.unwrap();
}

fn cuts(alone: &Alone<File>) -> f64 {
    alone.metric("ferroalloy_loki_source_file_cut_lines_total", &[]).unwrap_or(0.0)
}

/// What a crash leaves behind, and a program that goes on writing where it was after its log was emptied.
#[tokio::test]
async fn a_hole_of_zeros_is_a_long_line_in_pieces_and_what_is_behind_it_is_read() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    append(&path, "before\n");
    let hole = 40 << 20;
    std::fs::File::options().write(true).open(&path).unwrap().set_len(7 + hole).unwrap();
    append(&path, "\nbehind\n");
    let (collector, next) = Collector::<LogBatch>::new();
    let mut alone = Alone::<File>::start(&config(&path), &receiver(next)).unwrap();
    until(|| all_lines(&collector.batches()).last().is_some_and(|last| last == "behind")).await;
    let lines = all_lines(&collector.batches());
    assert_eq!(lines[0], "before");
    let pieces = &lines[1..lines.len() - 1];
    assert!(pieces.iter().all(|piece| piece.len() <= text::MAX_LINE_BYTES && piece.bytes().all(|byte| byte == 0)));
    assert_eq!(pieces.iter().map(|piece| piece.len() as u64).sum::<u64>(), hole);
    assert_eq!(cuts(&alone), pieces.len() as f64 - 1.0);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn lines_longer_than_a_read_stay_whole() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    let long = "x".repeat(3 << 20);
    append(&path, &format!("{long}\nshort\n{}", &long[..300_000]));
    let (collector, next) = Collector::<LogBatch>::new();
    let mut alone = Alone::<File>::start(&config(&path), &receiver(next)).unwrap();
    collector.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    append(&path, "y\n");
    for _ in 0..500 {
        if all_lines(&collector.batches()).len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lengths: Vec<usize> = all_lines(&collector.batches()).iter().map(String::len).collect();
    assert_eq!(lengths, [3 << 20, 5, 300_001]);
    assert_eq!(cuts(&alone), 0.0);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_label_that_changes_repeats_nothing_also_over_a_restart() {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = files.path().join("a.log");
    append(&path, "one\n");
    let (collector, next) = Collector::<LogBatch>::new();
    let scope = receiver(next);
    let labelled = |label: &str| config(&path).replace("__path__ =", &format!("app = \"{label}\", __path__ ="));
    let mut alone = Alone::<File>::build_in(&labelled("a"), &scope, data.path()).unwrap();
    alone.run();
    collector.wait_for(1).await;
    alone.update(&labelled("b"), &scope).unwrap();
    append(&path, "two\n");
    collector.wait_for(2).await;
    alone.stop().await.unwrap();
    append(&path, "three\n");
    let mut alone = Alone::<File>::build_in(&labelled("c"), &scope, data.path()).unwrap();
    alone.run();
    let batches = collector.wait_for(3).await;
    alone.stop().await.unwrap();
    assert_eq!(all_lines(&batches), ["one", "two", "three"]);
    assert_eq!(batches[2].groups[0].labels.get("app"), Some("c"));
    let saved = std::fs::read_to_string(alone.context.data_path().join("positions.yml")).unwrap();
    assert_eq!(saved.matches("? path").count(), 1, "of one file there is one position: {saved}");
}

#[tokio::test]
async fn what_a_truncation_took_is_read_from_the_copy() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.log");
    append(&path, "one\n");
    let (collector, next) = Collector::<LogBatch>::new();
    let mut alone = Alone::<File>::start(&config(&path), &receiver(next)).unwrap();
    collector.wait_for(1).await;
    // Nobody looks between these: the test has the only thread.
    append(&path, "two\nthree\n");
    std::fs::copy(&path, files.path().join("a.log.1")).unwrap();
    std::fs::write(&path, "").unwrap();
    append(&path, "4\n");
    for _ in 0..3000 {
        if all_lines(&collector.batches()).len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    alone.stop().await.unwrap();
    assert_eq!(all_lines(&collector.batches()), ["one", "two", "three", "4"]);
}
