//! The everyday life of a queue.

use super::*;
use crate::{Lost, Taken};
use std::sync::atomic::Ordering::Relaxed;

#[tokio::test]
async fn records_come_out_in_the_order_they_went_in() {
    let queue = Queue::open(config(None, 1 << 20)).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..5 {
        queue.push(record(at, 10), ledger.page(at)).await.unwrap();
    }
    for at in 0..5 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        assert_eq!(ledger.outcome(at), None);
        lease.ack();
        assert_eq!(ledger.outcome(at), Some(Outcome::Delivered));
    }
    assert_eq!(queue.stats(), crate::Stats::default());
}

#[tokio::test]
async fn several_may_be_in_flight_and_what_is_let_go_comes_first_again() {
    let queue = Queue::open(config(None, 1 << 20)).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..4 {
        queue.push(record(at, 10), ledger.page(at)).await.unwrap();
    }
    let (zero, one, two) = (next(&queue).await, next(&queue).await, next(&queue).await);
    drop(one); // its sender died
    two.ack();
    assert_eq!(number(next(&queue).await.record()), 1);
    drop(zero);
    let again = next(&queue).await;
    assert_eq!(number(again.record()), 0);
    again.refuse();
    assert_eq!(ledger.outcome(0), Some(Outcome::Dropped));
    assert_eq!(queue.counters().refused.records.load(Relaxed), 1);
}

#[tokio::test]
async fn a_full_memory_queue_makes_the_pusher_wait() {
    let queue = Queue::open(config(None, 100)).await.unwrap();
    let ledger = Ledger::default();
    queue.push(record(0, 100), ledger.page(0)).await.unwrap();
    let pushing = queue.push(record(1, 100), ledger.page(1));
    tokio::pin!(pushing);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut pushing).await.is_err());
    next(&queue).await.ack();
    pushing.await.unwrap();
    assert_eq!(number(next(&queue).await.record()), 1);
}

#[tokio::test]
async fn a_full_memory_queue_drops_by_policy_and_counts_it() {
    for (overflow, stays, goes) in [(Overflow::DropNewest, 1, 2), (Overflow::DropOldest, 2, 1)] {
        let queue = Queue::open(Config { overflow, ..config(None, 200) }).await.unwrap();
        let ledger = Ledger::default();
        queue.push(record(0, 100), ledger.page(0)).await.unwrap();
        queue.push(record(1, 100), ledger.page(1)).await.unwrap();
        let in_flight = next(&queue).await;
        queue.push(record(2, 100), ledger.page(2)).await.unwrap();
        assert_eq!(ledger.outcome(goes), Some(Outcome::Dropped), "{overflow:?}");
        assert_eq!(queue.counters().lost(Lost::Overflow).records.load(Relaxed), 1);
        in_flight.ack();
        assert_eq!(number(next(&queue).await.record()), stays, "{overflow:?}");
    }
}

#[tokio::test]
async fn a_slow_endpoint_spills_to_the_disk_and_order_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..200 {
        queue.push(record(at, 500), ledger.page(at)).await.unwrap();
    }
    settle_down(&queue).await;
    assert_eq!(queue.stats().records, 200);
    assert!(queue.stats().memory_bytes <= 1000, "{:?}", queue.stats());
    assert_eq!(ledger.outcome(0), Some(Outcome::Delivered), "written down before what came later");
    assert_eq!(ledger.outcome(100), Some(Outcome::Delivered), "on the disk");
    for at in 0..200 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
    settle_down(&queue).await;
    let segments = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "seg"));
    assert!(segments.count() <= 1, "acknowledged segments are removed");
}

#[tokio::test]
async fn what_is_left_at_a_stop_is_sent_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    for at in 0..20 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
    }
    next(&queue).await.ack();
    let in_flight = next(&queue).await;
    let left = queue.close(Duration::from_secs(10)).await;
    assert_eq!((left.saved, left.lost), (19, 0));
    drop(in_flight);
    assert!(queue.push(record(99, 10), ledger.page(99)).await.is_err());
    assert!(queue.next().await.is_none());
    assert!((0..20).all(|at| ledger.outcome(at) == Some(Outcome::Delivered)));

    // Twice, so that what came from the front file is written down again.
    let queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    assert_eq!(queue.stats().records, 19);
    next(&queue).await.ack();
    assert_eq!(queue.close(Duration::from_secs(10)).await.saved, 18);

    let queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    for at in 2..20 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
    assert_eq!(queue.stats().records, 0);
    assert_eq!(queue.close(Duration::from_secs(10)).await, crate::Left::default());
    let queue: Queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    assert_eq!(queue.stats().records, 0);
}

#[tokio::test]
async fn what_waits_for_seconds_in_memory_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let queue = Queue::open(config(Some(dir.path()), 1 << 20)).await.unwrap();
    for at in 0..3 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
    }
    assert_eq!(ledger.outcome(2), None);
    next(&queue).await.ack();
    let saved = async {
        while ledger.outcome(2).is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), saved).await.expect("it is written down by itself");
    assert_eq!(ledger.outcome(2), Some(Outcome::Delivered), "on the disk, whatever the endpoint does");
    queue.push(record(3, 400), ledger.page(3)).await.unwrap();
    next(&queue).await.ack();
    settle_down(&queue).await;
    drop(queue); // as a crash would
    let queue = reopen(config(Some(dir.path()), 1 << 20)).await;
    let lease = next(&queue).await;
    assert_eq!(number(lease.record()), 2);
    lease.ack();
    assert_eq!(queue.stats().records, 0, "the fourth was in memory alone, and nobody was told otherwise");
    assert_eq!(ledger.outcome(3), Some(Outcome::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn what_its_pusher_waits_for_at_a_stop_is_written_down_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let queue = Queue::open(config(Some(dir.path()), 1 << 20)).await.unwrap();
    queue.push(record(0, 400), ledger.page(0)).await.unwrap();
    queue.save_at_once();
    queue.push(record(1, 400), ledger.page(1)).await.unwrap();
    let start = tokio::time::Instant::now();
    while ledger.outcome(0).is_none() || ledger.outcome(1).is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        // By a clock that stands still while the disk works.
        assert!(start.elapsed() < Duration::from_secs(4), "they wait as if nobody did");
    }
    assert_eq!((ledger.outcome(0), ledger.outcome(1)), (Some(Outcome::Delivered), Some(Outcome::Delivered)));
    assert_eq!(queue.stats().records, 2, "and are still to be sent");
}

#[tokio::test]
async fn before_a_stop_the_last_answer_is_waited_for_and_nothing_more_goes_out() {
    let queue = Queue::open(config(None, 1 << 20)).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..2 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
    }
    let lease = next(&queue).await;
    let mut finished = Box::pin(queue.finish_leases());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut finished).await.is_err());
    assert!(queue.try_next().is_none());
    lease.ack();
    finished.await;
    assert_eq!(queue.stats().records, 1);
}

#[tokio::test]
async fn a_durable_push_is_on_the_disk_when_it_resolves() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let durable = || Config { written: Written::First, ..config(Some(dir.path()), 2000) };
    let queue = Queue::open(durable()).await.unwrap();
    for at in 0..20 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
        assert_eq!(ledger.outcome(at), Some(Outcome::Delivered));
    }
    next(&queue).await.ack();
    settle_down(&queue).await;
    drop(queue); // as a crash would
    let queue: Queue = reopen(durable()).await;
    for at in 1..20 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
}

fn within(dir: &Path) -> Config {
    Config { written: Written::Within(Duration::from_millis(100)), ..config(Some(dir), 1 << 20) }
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_in_time_is_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(within(dir.path())).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..50 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
        let lease = next(&queue).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(ledger.outcome(at), None);
        lease.ack();
        assert_eq!(ledger.outcome(at), Some(Outcome::Delivered));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(queue.counters().spilled.records.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_once_and_sent_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(within(dir.path())).await.unwrap();
    let ledger = Ledger::default();
    queue.push(record(0, 400), ledger.page(0)).await.unwrap();
    let in_flight = next(&queue).await;
    for at in 1..4 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    while (0..4).any(|at| ledger.outcome(at).is_none()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        // By a clock that stands still while the disk works.
        assert!(start.elapsed() < Duration::from_millis(500), "they wait for longer than they were told");
    }
    in_flight.ack();
    next(&queue).await.ack();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(queue.counters().spilled.records.load(Relaxed), 4);
    drop(queue); // as a crash would
    let queue = reopen(within(dir.path())).await;
    for at in 2..4 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
    assert_eq!(queue.stats().records, 0);
}

#[tokio::test]
async fn what_is_acknowledged_while_it_is_written_does_not_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let at_once = || Config { written: Written::Within(Duration::ZERO), ..config(Some(dir.path()), 1 << 20) };
    let queue = Queue::open(at_once()).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..10_000 {
        queue.push(record(at, 400), ledger.page(at)).await.unwrap();
        let lease = next(&queue).await;
        // The driver begins to write, and cannot go on before we wait. On a machine with much to do it has not begun yet.
        tokio::task::yield_now().await;
        lease.ack();
        if at >= 20 && queue.counters().spilled.records.load(Relaxed) > 0 {
            break;
        }
    }
    settle_down(&queue).await;
    assert!(queue.counters().spilled.records.load(Relaxed) > 0);
    assert_eq!(queue.close(Duration::from_secs(10)).await, crate::Left::default());
    let queue: Queue = Queue::open(at_once()).await.unwrap();
    assert_eq!(queue.stats().records, 0);
}

#[tokio::test]
async fn a_full_disk_queue_drops_its_oldest_segment_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk { dir: dir.path().to_owned(), max_bytes: 16 << 10, segment_bytes: 2048 };
    let bounded = Config { overflow: Overflow::DropOldest, disk: Some(disk), ..config(None, 600) };
    let queue = Queue::open(bounded).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..200 {
        queue.push(record(at, 500), ledger.page(at)).await.unwrap();
    }
    settle_down(&queue).await;
    let lost = queue.counters().lost(Lost::Overflow).records.load(Relaxed);
    assert!(lost > 100, "{lost}");
    assert_eq!(queue.stats().records + lost, 200);
    let mut seen = Vec::new();
    while queue.stats().records > 0 {
        let lease = next(&queue).await;
        seen.push(number(lease.record()));
        lease.ack();
    }
    assert_eq!(seen.len() as u64 + lost, 200);
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&199));
}

#[tokio::test]
async fn a_full_disk_queue_can_make_the_pusher_wait_instead() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk { dir: dir.path().to_owned(), max_bytes: 256 << 10, segment_bytes: 32 << 10 };
    let queue = Queue::open(Config { disk: Some(disk), ..config(None, 64 << 10) }).await.unwrap();
    let ledger = Ledger::default();
    let pusher = {
        let (queue, ledger) = (queue.clone(), ledger.clone());
        base_sys::task::spawn("pusher", async move {
            for at in 0..2_000 {
                queue.push(record(at, 4000), ledger.page(at)).await.unwrap();
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!pusher.is_ended());
    for at in 0..2_000 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
    pusher.await.returned().unwrap();
    assert_eq!(queue.counters().lost(Lost::Overflow).records.load(Relaxed), 0);
}

#[tokio::test]
async fn two_processes_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _queue: Queue = Queue::open(config(Some(dir.path()), 1000)).await.unwrap();
    let error = Queue::open(config(Some(dir.path()), 1000)).await.unwrap_err();
    assert!(error.to_string().contains("another process uses this queue directory"), "{error}");
}

/// Opens a directory whose queue was dropped a moment ago: its driver may still be in a blocking call.
pub(super) async fn reopen(config: Config) -> Queue {
    for _ in 0..6_000 {
        match Queue::open(config.clone()).await {
            Ok(queue) => return queue,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    panic!("the directory stays locked")
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_not_waited_for_and_a_slow_one_is() {
    let overflow = Overflow::WaitForTheLiving(Duration::from_secs(15));
    let queue = Queue::open(Config { overflow, ..config(None, 100) }).await.unwrap();
    let ledger = Ledger::default();
    queue.push(record(0, 100), ledger.page(0)).await.unwrap();

    // Slow: a record each ten seconds.
    let slow = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        next(&queue).await.ack();
    };
    let (pushed, ()) = tokio::join!(queue.push(record(1, 100), ledger.page(1)), slow);
    pushed.unwrap();
    assert_eq!(ledger.outcome(0), Some(Outcome::Delivered));

    // Dead: waited for once.
    let start = tokio::time::Instant::now();
    queue.push(record(2, 100), ledger.page(2)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    queue.push(record(3, 100), ledger.page(3)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    assert_eq!((ledger.outcome(1), ledger.outcome(2)), (Some(Outcome::Dropped), Some(Outcome::Dropped)));
    assert_eq!(queue.counters().lost(Lost::Overflow).records.load(Relaxed), 2);

    // Back: waited for again.
    next(&queue).await.ack();
    queue.push(record(4, 100), ledger.page(4)).await.unwrap();
    assert_eq!(ledger.outcome(3), Some(Outcome::Delivered));
    let pushing = queue.push(record(5, 100), ledger.page(5));
    assert!(tokio::time::timeout(Duration::from_secs(10), pushing).await.is_err());
}

#[tokio::test]
async fn a_dead_endpoint_with_a_full_disk_part_loses_its_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let overflow = Overflow::WaitForTheLiving(Duration::from_millis(50));
    let disk = Disk { segment_bytes: 128 << 10, ..Disk::new(dir.path(), 1 << 20) };
    let queue = Queue::open(Config { overflow, disk: Some(disk), ..config(None, 600) }).await.unwrap();
    let ledger = Ledger::default();
    // Far more than memory, write buffer and disk hold together.
    for at in 0..200 {
        queue.push(record(at, 64 << 10), ledger.page(at)).await.unwrap();
    }
    assert!(queue.counters().lost(Lost::Overflow).records.load(Relaxed) > 0);
}

#[tokio::test]
async fn what_came_after_an_outage_stays_behind_what_the_outage_left() {
    let dir = tempfile::tempdir().unwrap();
    let config = || config(Some(dir.path()), 2000);
    let ledger = Ledger::default();
    let queue = Queue::open(config()).await.unwrap();
    for at in 0..12 {
        queue.push(record(at, 501), ledger.page(at)).await.unwrap();
    }
    settle_down(&queue).await;
    // All that is on the disk comes to memory, and one more comes behind it.
    for _ in 0..10 {
        next(&queue).await.ack();
    }
    settle_down(&queue).await;
    queue.push(record(12, 8), ledger.page(12)).await.unwrap();
    assert_eq!(queue.close(Duration::from_secs(10)).await.lost, 0);
    let queue = Queue::open(config()).await.unwrap();
    for at in 10..13 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
}

#[tokio::test]
async fn a_crash_leaves_no_gap_before_what_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(Some(dir.path()), 100)).await.unwrap();
    let ledger = Ledger::default();
    for at in 0..6 {
        queue.push(record(at, 40), ledger.page(at)).await.unwrap();
    }
    // Two are in memory, and need not be written down for a while; but what came later was.
    settle_down(&queue).await;
    drop(queue);
    let queue = reopen(config(Some(dir.path()), 1000)).await;
    for at in 0..6 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
}

#[tokio::test]
async fn a_pusher_that_gives_up_while_it_waits_takes_no_record_with_it() {
    let queue = Queue::open(config(None, 100)).await.unwrap();
    let ledger = Ledger::default();
    queue.push(record(1, 80), ledger.page(1)).await.unwrap();
    let mut offered = Some((record(2, 80), ledger.page(2)));
    {
        let push = std::pin::pin!(queue.push_from(&mut offered));
        assert!(push.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(ledger.outcome(2), None);
    next(&queue).await.ack();
    assert_eq!(queue.push_from(&mut offered).await.unwrap(), Taken::Queued);
    assert!(offered.is_none());
    let lease = next(&queue).await;
    assert_eq!(number(lease.record()), 2);
    lease.ack();
    assert_eq!(ledger.outcome(2), Some(Outcome::Delivered));
}
