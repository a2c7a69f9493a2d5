//! The component as its neighbours see it.

use std::time::Duration;

use language_eval::{FromValue, Scope, ToValue, Value};
use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry, LogsReceiver, Outcome, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};

use super::*;

struct Fixture {
    alone: Alone<Process>,
    receiver: LogsReceiver,
    collector: Arc<Collector<LogBatch>>,
    scope: Scope,
}

fn start(config: &str) -> Fixture {
    let (collector, receiver) = Collector::new();
    let scope = scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]);
    let alone = Alone::<Process>::start(&format!("forward_to = sink\n{config}"), &scope).unwrap();
    let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
    Fixture { alone, receiver, collector, scope }
}

fn lines(labels: &[(&str, &str)], lines: &[&str]) -> LogBatch {
    let entries = lines.iter().map(|line| LogEntry::new(1_000, line.to_string())).collect();
    LogBatch::of(Labels::from_pairs(labels.iter().copied()), entries)
}

/// What came, one line for each entry.
fn text(batches: &[LogBatch]) -> String {
    let mut text = String::new();
    for group in batches.iter().flat_map(|batch| &batch.groups) {
        for entry in &group.entries {
            text.push_str(&format!("{} {} {}\n", group.labels, entry.timestamp, String::from_utf8_lossy(&entry.line)));
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn lines_run_through_the_stages_and_go_on() {
    let fixture = start("stage.cri {}\nstage.static_labels { values = { a = \"b\" } }");
    let batch =
        lines(&[("app", "x")], &["1970-01-01T00:00:01Z stdout F one", "no CRI", "1970-01-01T00:00:02Z stderr F two"]);
    let delivery = fixture.receiver.0.consume(batch).await.unwrap();
    assert_eq!(delivery.await, Outcome::Delivered);
    let expect = "{a=\"b\", app=\"x\", stream=\"stdout\"} 1000000000 one\n{a=\"b\", app=\"x\"} 1000 no CRI\n\
                  {a=\"b\", app=\"x\", stream=\"stderr\"} 2000000000 two\n";
    assert_eq!(text(&fixture.collector.take()), expect);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_delivered_when_its_held_lines_have_left() {
    let fixture = start("stage.multiline { firstline = \"^S\" }");
    let mut delivery = fixture.receiver.0.consume(lines(&[], &["S1", "a"])).await.unwrap();
    assert!(futures_util::poll!(&mut delivery).is_pending());
    assert_eq!(fixture.collector.batches().len(), 0);
    let before = Instant::now();
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(before.elapsed().as_secs(), 3, "max_wait_time");
    assert_eq!(text(&fixture.collector.take()), "{} 1000 S1\na\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_joined_from_two_batches_answers_for_both() {
    let fixture = start("stage.cri {}");
    let part =
        |flag: &str, text: &str| lines(&[("app", "x")], &[&format!("1970-01-01T00:00:01Z stdout {flag} {text}")]);
    let mut first = fixture.receiver.0.consume(part("P", "one ")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(futures_util::poll!(&mut first).is_pending(), "a partial line waits for its end");
    let second = fixture.receiver.0.consume(part("F", "two")).await.unwrap();
    assert_eq!((first.await, second.await), (Outcome::Delivered, Outcome::Delivered));
    assert_eq!(text(&fixture.collector.take()), "{app=\"x\", stream=\"stdout\"} 1000000000 one two\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_one_stage_lets_go_and_another_holds_is_not_delivered_yet() {
    let fixture = start("stage.cri {}\nstage.multiline { firstline = \"^S\" }");
    let part = |flag: &str, text: &str| lines(&[], &[&format!("1970-01-01T00:00:01Z stdout {flag} {text}")]);
    let mut first = fixture.receiver.0.consume(part("P", "S one ")).await.unwrap();
    let mut second = fixture.receiver.0.consume(part("F", "two")).await.unwrap();
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    // Traffic that goes on must not keep them from being delivered.
    let third = fixture.receiver.0.consume(part("F", "S three")).await.unwrap();
    assert_eq!((first.await, second.await), (Outcome::Delivered, Outcome::Delivered));
    assert_eq!(text(&fixture.collector.take()), "{stream=\"stdout\"} 1000000000 S one two\n");
    assert_eq!(third.await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_held_line_that_is_dropped_later_is_settled() {
    let fixture = start("stage.multiline { firstline = \"^S\" }\nstage.drop { expression = \"S1\" }");
    let first = fixture.receiver.0.consume(lines(&[], &["S1"])).await.unwrap();
    assert_eq!(first.await, Outcome::Dropped);
}

#[tokio::test(start_paused = true)]
async fn dropped_lines_are_settled_and_counted() {
    let fixture = start("stage.drop { expression = \"debug\" }");
    let delivery = fixture.receiver.0.consume(lines(&[], &["debug 1", "debug 2"])).await.unwrap();
    assert_eq!(delivery.await, Outcome::Dropped);
    assert_eq!(fixture.collector.batches().len(), 0);
    assert_eq!(fixture.alone.metric("loki_process_dropped_lines_total", &[("reason", "drop_stage")]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn held_lines_that_are_refused_are_offered_again() {
    let fixture = start("stage.multiline { firstline = \"^S\" }");
    fixture.collector.refuse(Some(Refused::retryable("full")));
    let delivery = fixture.receiver.0.consume(lines(&[], &["S1"])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let refused = fixture.receiver.0.consume(lines(&[], &["S2"])).await;
    assert!(refused.is_err(), "what is owed goes first");
    fixture.collector.refuse(None);
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(text(&fixture.collector.take()), "{} 1000 S1\n");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_held_lines_go() {
    let mut fixture = start("stage.cri {}\nstage.multiline { firstline = \"^S\" }");
    let delivery = fixture.receiver.0.consume(lines(&[], &["S1", "a"])).await.unwrap();
    let partial = fixture.receiver.0.consume(lines(&[], &["1970-01-01T00:00:01Z stdout P Sp"])).await.unwrap();
    fixture.alone.stop().await.unwrap();
    assert_eq!((delivery.await, partial.await), (Outcome::Delivered, Outcome::Delivered));
    let came = text(&fixture.collector.take());
    assert!(came.contains("{} 1000 S1\na\n") && came.contains("{stream=\"stdout\"} 1000000000 Sp\n"), "{came}");
    assert!(fixture.receiver.0.consume(lines(&[], &["S2"])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn other_stages_take_over_and_the_same_ones_keep_what_they_hold() {
    let fixture = start("stage.multiline { firstline = \"^S\" }");
    let mut delivery = fixture.receiver.0.consume(lines(&[], &["S1"])).await.unwrap();
    fixture.alone.update("forward_to = sink\nstage.multiline { firstline = \"^S\" }", &fixture.scope).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(futures_util::poll!(&mut delivery).is_pending(), "the same stages go on");
    fixture.alone.update("forward_to = sink\nstage.static_labels { values = { a = \"b\" } }", &fixture.scope).unwrap();
    assert_eq!(delivery.await, Outcome::Delivered);
    fixture.receiver.0.consume(lines(&[], &["x"])).await.unwrap().detach();
    assert_eq!(text(&fixture.collector.take()), "{} 1000 S1\n{a=\"b\"} 1000 x\n");
    assert!(fixture.alone.update("forward_to = sink\nstage.regex { expression = \"(\" }", &fixture.scope).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_limit_makes_its_sender_wait() {
    let fixture = start("stage.limit {\n  rate = 10\n  burst = 1\n}");
    let before = Instant::now();
    fixture.receiver.0.consume(lines(&[], &["1", "2", "3"])).await.unwrap().detach();
    assert_eq!(before.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_again_is_not_called_rereadable_because_of_what_it_leaves_with() {
    let fixture = start("stage.multiline { firstline = \"^S\" }");
    let read = |texts: &[&str]| LogBatch { rereadable: true, ..lines(&[("from", "file")], texts) };
    let push = async |batch| fixture.receiver.0.consume(batch).await.unwrap().detach();
    push(read(&["S1", "S2"])).await;
    assert!(fixture.collector.take().iter().all(|batch| batch.rereadable));
    push(lines(&[("from", "client")], &["S1"])).await;
    push(read(&["S3"])).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let left = fixture.collector.take();
    assert!(text(&left).contains("client") && left.iter().all(|batch| !batch.rereadable), "{left:?}");
}
