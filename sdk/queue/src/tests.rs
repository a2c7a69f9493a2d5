//! What the queue promises, told as stories; `model` tells random ones.

mod disk_faults;
mod model;
mod stories;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sdk_signals::{Delivery, Outcome, Settle};

use crate::{Config, Disk, Lease, Overflow, Queue, Record, Written};

/// What the sources heard, by the record's number.
#[derive(Debug, Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<u64, Heard>>>);

#[derive(Debug)]
enum Heard {
    Nothing(Delivery),
    Outcome(Outcome),
}

impl Ledger {
    fn page(&self, number: u64) -> Settle {
        let (delivery, settle) = Delivery::pending();
        self.0.lock().unwrap().insert(number, Heard::Nothing(delivery));
        settle
    }

    fn outcome(&self, number: u64) -> Option<Outcome> {
        let mut pages = self.0.lock().unwrap();
        let heard = pages.get_mut(&number)?;
        if let Heard::Nothing(delivery) = heard
            && let Poll::Ready(outcome) = Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop()))
        {
            *heard = Heard::Outcome(outcome);
        }
        match heard {
            Heard::Outcome(outcome) => Some(*outcome),
            Heard::Nothing(_) => None,
        }
    }
}

/// A record that knows its number and is `size` bytes long (at least 8).
fn record(number: u64, size: usize) -> Record {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(size.max(8), number as u8);
    Record { meta: Bytes::new(), body: body.into(), items: 1 }
}

fn number(record: &Record) -> u64 {
    let body = record.body.joined();
    let number = u64::from_le_bytes(body[..8].try_into().unwrap());
    assert!(body[8..].iter().all(|&byte| byte == number as u8), "record {number} came back changed");
    number
}

fn config(dir: Option<&Path>, memory_bytes: usize) -> Config {
    let disk = dir.map(|dir| Disk { dir: dir.to_owned(), max_bytes: 1 << 20, segment_bytes: 4096 });
    Config { name: "test".into(), memory_bytes, disk, written: Written::default(), overflow: Overflow::Wait }
}

async fn next(queue: &Queue) -> Lease {
    tokio::time::timeout(Duration::from_secs(20), queue.next())
        .await
        .expect("a record comes")
        .expect("the queue is open")
}

/// Waits until the driver has nothing to do.
async fn settle_down(queue: &Queue) {
    let mut last = None;
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let stats = crate::Stats { oldest_age_ms: 0, ..queue.stats() };
        let now = (stats, crate::queue::tests_view(queue));
        if last.replace(now) == Some(now) && now.1 == (0, 0) {
            return;
        }
    }
}
