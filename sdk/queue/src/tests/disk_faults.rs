//! Torn tails, flipped bits, missing and foreign files, a full disk.

use super::stories::reopen;
use super::*;
use crate::Lost;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

fn durable(dir: &Path) -> Config {
    Config { written: Written::First, ..config(Some(dir), 1 << 16) }
}

/// A directory with the records 0..count in it, as a crash leaves it.
async fn crashed_with(count: u64, size: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let queue = Queue::open(durable(dir.path())).await.unwrap();
    for at in 0..count {
        queue.push(record(at, size), ledger.page(at)).await.unwrap();
    }
    drop(queue);
    drop(reopen(durable(dir.path())).await); // waits until nobody is at work in it
    dir
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// Everything that comes out, acknowledged as it comes.
async fn drain(dir: &Path) -> (Vec<u64>, Arc<crate::Counters>) {
    let queue = reopen(durable(dir)).await;
    let mut seen = Vec::new();
    loop {
        settle_down(&queue).await;
        match queue.try_next() {
            Some(lease) => {
                seen.push(number(lease.record()));
                lease.ack();
            }
            None if queue.stats().records == 0 => break,
            None => {}
        }
    }
    let counters = queue.counters().clone();
    queue.close(Duration::from_secs(5)).await;
    (seen, counters)
}

#[tokio::test]
async fn a_segment_cut_at_any_byte_keeps_every_whole_record() {
    let dir = crashed_with(3, 40).await;
    let segment = files(dir.path(), "seg").remove(0);
    let whole = std::fs::read(&segment).unwrap();
    let record_bytes = 32 + 40;
    assert_eq!(whole.len(), 40 + 3 * record_bytes);
    for cut in 0..whole.len() {
        let copy = copy_of(dir.path());
        std::fs::write(copy.path().join(segment.file_name().unwrap()), &whole[..cut]).unwrap();
        let (seen, _) = drain(copy.path()).await;
        let expected = cut.saturating_sub(40) / record_bytes;
        assert_eq!(seen, (0..expected as u64).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_bit_costs_one_record() {
    let dir = crashed_with(4, 24).await;
    let segment = files(dir.path(), "seg").remove(0);
    let whole = std::fs::read(&segment).unwrap();
    for byte in 0..whole.len() {
        let copy = copy_of(dir.path());
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        std::fs::write(copy.path().join(segment.file_name().unwrap()), &damaged).unwrap();
        let (seen, counters) = drain(copy.path()).await;
        let hit = byte.checked_sub(40).map(|at| at as u64 / (32 + 24));
        let expected: Vec<_> = (0..4).filter(|&at| Some(at) != hit).collect();
        assert_eq!(seen, expected, "byte {byte}");
        if hit.is_some() {
            assert!(counters.corrupt_bytes.load(Relaxed) >= 56, "byte {byte}");
        }
    }
}

#[tokio::test]
async fn damaged_or_missing_state_never_stops_the_start() {
    let dir = crashed_with(40, 400).await;
    assert!(files(dir.path(), "seg").len() > 3);
    for damage in 0..6 {
        let copy = copy_of(dir.path());
        let segments = files(copy.path(), "seg");
        let (path, contents): (PathBuf, &[u8]) = match damage {
            0 => (copy.path().join("cursor"), b"not a cursor"),
            1 => (copy.path().join("cursor"), b""),
            2 => (segments[1].clone(), b""),
            3 => (segments[1].clone(), &[0; 4096]),
            4 => (segments[1].clone(), b"FALOYSEG and then something else that is long enough to be looked at"),
            _ => (copy.path().join("front-7"), b"garbage"),
        };
        std::fs::write(path, contents).unwrap();
        let (seen, _) = drain(copy.path()).await;
        assert!(seen.len() >= 30, "damage {damage}: {seen:?}");
        assert!(seen.is_sorted());
        let (again, _) = drain(copy.path()).await;
        assert!(again.is_empty(), "damage {damage} is not met again: {again:?}");
    }
}

#[tokio::test]
async fn a_cursor_ahead_of_the_data_loses_nothing_that_is_written_later() {
    // The cursor reached the disk and the segment's tail did not.
    let dir = crashed_with(3, 40).await;
    let segment = files(dir.path(), "seg").remove(0);
    let queue = reopen(durable(dir.path())).await;
    for _ in 0..3 {
        next(&queue).await.ack();
    }
    settle_down(&queue).await;
    drop(queue);
    drop(reopen(durable(dir.path())).await);
    std::fs::write(&segment, b"").unwrap();
    let queue = reopen(durable(dir.path())).await;
    let ledger = Ledger::default();
    queue.push(record(9, 40), ledger.page(9)).await.unwrap();
    drop(queue);
    assert_eq!(drain(dir.path()).await.0, [9]);
}

#[tokio::test]
async fn a_disk_that_fails_degrades_to_memory_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let queue_dir = dir.path().join("queue");
    let ledger = Ledger::default();
    let queue = Queue::open(Config { written: Written::First, ..config(Some(&queue_dir), 1 << 16) }).await.unwrap();
    // The directory is gone, so a new segment cannot be begun.
    std::fs::rename(&queue_dir, dir.path().join("away")).unwrap();
    for at in 0..3 {
        queue.push(record(at, 100), ledger.page(at)).await.unwrap();
        assert_eq!(ledger.outcome(at), None, "taken, but nobody else's yet");
    }
    assert!(queue.stats().disk_failed);
    assert!(queue.counters().disk_errors.load(Relaxed) > 0);
    next(&queue).await.ack();
    assert_eq!(ledger.outcome(0), Some(Outcome::Delivered));

    std::fs::rename(dir.path().join("away"), &queue_dir).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    queue.push(record(3, 100), ledger.page(3)).await.unwrap();
    assert_eq!(ledger.outcome(3), Some(Outcome::Delivered));
    assert!(!queue.stats().disk_failed);
    for at in 1..4 {
        let lease = next(&queue).await;
        assert_eq!(number(lease.record()), at);
        lease.ack();
    }
    assert_eq!(queue.counters().lost(Lost::Stopped).records.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_as_there_is_no_disk_is_told_once_a_minute() {
    use base_sys::seldom::Seldom;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let in_a_file = dir.path().join("file/queue");
    for (overflow, lost) in [(Overflow::DropNewest, 1), (Overflow::DropOldest, 0)] {
        let queue = Queue::open_anyhow(Config { overflow, ..config(Some(&in_a_file), 100) }).await;
        let ledger = Ledger::default();
        assert_eq!(crate::queue::tell_dropped(&queue, 0), None, "nothing is lost");
        for at in 0..2 {
            queue.push(record(at, 100), ledger.page(at)).await.unwrap();
        }
        assert_eq!(ledger.outcome(lost), Some(Outcome::Dropped));
        queue.push(record(2, 100), ledger.page(2)).await.unwrap();
        assert_eq!(crate::queue::tell_dropped(&queue, 3), None, "the first was told, the others wait");
        tokio::time::advance(Seldom::AGAIN).await;
        assert_eq!(crate::queue::tell_dropped(&queue, 7), Some(1 + 3 + 7));
    }
    let asked_for = Queue::open(Config { overflow: Overflow::DropNewest, ..config(None, 100) }).await.unwrap();
    assert_eq!(crate::queue::tell_dropped(&asked_for, 1), None, "who wants no disk knows it");
}

/// Waits until the queue has the disk that it could not have, which is looked for every few seconds.
async fn has_its_disk(queue: &Queue) {
    for _ in 0..1000 {
        if !queue.is_without_disk() {
            return settle_down(queue).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is still without a disk");
}

#[tokio::test(start_paused = true)]
async fn a_queue_in_memory_moves_to_its_disk_once_that_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("blocked");
    std::fs::write(&blocked, "").unwrap();
    let config = config(Some(&blocked.join("queue")), 250);
    let ledger = Ledger::default();
    let queue = Queue::open_anyhow(config.clone()).await;
    for at in 0..2 {
        queue.push(record(at, 100), ledger.page(at)).await.unwrap();
    }
    let lease = next(&queue).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(queue.is_without_disk());
    assert_eq!(ledger.outcome(1), None, "it is in memory alone");

    std::fs::remove_file(&blocked).unwrap();
    has_its_disk(&queue).await;
    // What is on its way is written down as well, and there is room for more than memory has.
    for at in 2..5 {
        queue.push(record(at, 100), ledger.page(at)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    settle_down(&queue).await;
    assert!((0..5).all(|at| ledger.outcome(at) == Some(Outcome::Delivered)));
    lease.ack();
    settle_down(&queue).await;
    // As a kill does.
    drop(queue);
    drop(reopen(config.clone()).await);
    assert_eq!(drain(&blocked.join("queue")).await.0, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_comes_before_what_waits_in_memory() {
    for stop_instead in [false, true] {
        let dir = crashed_with(3, 100).await;
        let (place, away) = (dir.path().join("queue"), dir.path().join("away"));
        std::fs::create_dir(&away).unwrap();
        for name in ["lock"]
            .map(str::to_owned)
            .into_iter()
            .chain(files(dir.path(), "seg").iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
        {
            std::fs::rename(dir.path().join(&name), away.join(&name)).unwrap();
        }
        std::fs::write(&place, "").unwrap();
        let config = config(Some(&place), 1 << 16);
        let ledger = Ledger::default();
        let queue = Queue::open_anyhow(config.clone()).await;
        for at in 10..13 {
            queue.push(record(at, 100), ledger.page(at)).await.unwrap();
        }
        next(&queue).await.ack();
        let on_its_way = next(&queue).await;
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&away, &place).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(
            queue.is_without_disk() && queue.try_next().is_none(),
            "11 is on its way, and 12 comes after what was left"
        );
        if stop_instead {
            queue.close(Duration::from_secs(5)).await;
            drop(on_its_way);
            assert_eq!(drain(&place).await.0, [0, 1, 2, 11, 12]);
            continue;
        }
        drop(on_its_way);
        has_its_disk(&queue).await;
        assert_eq!(queue.stats().records, 5);
        for at in [0, 1, 2, 11, 12] {
            let lease = next(&queue).await;
            assert_eq!(number(lease.record()), at);
            lease.ack();
        }
        settle_down(&queue).await;
        drop(queue);
        drop(reopen(config).await);
        assert!(drain(&place).await.0.is_empty());
    }
}
