//! What clients were told is taken: with `wal`, a copy of it that outlives the process, until it has arrived or is in a queue
//! on the disk. What its source can read again needs none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base_sys::task::blocking;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use sdk_labels::Labels;
use sdk_queue::{Found, Journal};
use sdk_signals::{Delivery, LogBatch, LogEntry, LogGroup, Metadata, Outcome};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lock;

/// The copy, and what is known of its entries.
pub struct Taken {
    journal: Journal,
    /// What is taken now is written down; otherwise only what an earlier configuration has left is sent.
    writes: bool,
    /// What an earlier run has left.
    found: Mutex<Option<Found>>,
    /// Entries whose fate is not followed yet. Each stands for a batch that requests and queues hold.
    news: Mutex<Vec<(u64, Delivery)>>,
    came: Notify,
    closing: CancellationToken,
}

// === impl Taken ===

impl Taken {
    /// None: nothing is written down, and nothing was.
    pub async fn open(folder: PathBuf, name: String, writes: bool) -> Result<Option<Arc<Taken>>, String> {
        let shown = folder.display().to_string();
        let open = move || match writes || folder.exists() {
            true => Journal::open(folder, name).map(Some),
            false => Ok(None),
        };
        let opened = blocking("journal", open).await.returned();
        let opened = opened.unwrap_or_else(|| Err(std::io::Error::other("the runtime is shutting down")));
        let opened = opened.map_err(|error| format!("cannot open the journal {shown}: {error}"))?;
        Ok(opened.map(|(journal, found)| {
            Arc::new(Taken {
                journal,
                writes,
                found: Mutex::new(Some(found)),
                news: Mutex::default(),
                came: Notify::new(),
                closing: CancellationToken::new(),
            })
        }))
    }

    /// Whether this batch has to be written down.
    pub fn concerns(&self, batch: &LogBatch) -> bool {
        self.writes && !batch.rereadable
    }

    /// Writes down what is on its way. True when what is open should go, to make room here.
    pub fn write(&self, batch: &LogBatch, mut delivery: Delivery) -> bool {
        if matches!((&mut delivery).now_or_never(), Some(Outcome::Delivered | Outcome::Dropped)) {
            return false;
        }
        let mut writing = self.journal.write();
        let number = writing.new_entry();
        writing.part(number, |to| encode(batch, to));
        if writing.finish() {
            self.follow(number, delivery);
        }
        self.journal.is_crowded()
    }

    /// What stands there is on its way.
    pub fn follow(&self, number: u64, delivery: Delivery) {
        lock(&self.news).push((number, delivery));
        self.came.notify_one();
    }

    /// The next batches that an earlier run has left; nothing when those were all.
    pub async fn next_found(&self) -> Option<Vec<(u64, LogBatch)>> {
        let mut found = lock(&self.found).take()?;
        let read = blocking("journal", move || {
            let file = found.next_file();
            (found, file)
        });
        let (found, file) = read.await.returned()?;
        let entries = file?.parts;
        *lock(&self.found) = Some(found);
        let mut batches = Vec::with_capacity(entries.len());
        for (number, bytes) in entries {
            match decode(&bytes) {
                Some(batch) => batches.push((number, batch)),
                None => {
                    tracing::error!(
                        bytes = bytes.len(),
                        "lines that were taken before the end are of another version of this program; they are dropped"
                    );
                    self.done(&[number]);
                }
            }
        }
        Some(batches)
    }

    /// Notes what has become of its entries; ends after [`Taken::close`].
    pub async fn keep(self: Arc<Self>) {
        let mut waiting = FuturesUnordered::new();
        let mut done = Vec::new();
        loop {
            let try_again = self.journal.tries_again_at();
            let closing = tokio::select! {
                () = self.came.notified() => false,
                () = tokio::time::sleep_until(try_again.unwrap_or_else(Instant::now)), if try_again.is_some() => {
                    self.journal.try_again();
                    false
                }
                Some(settled) = waiting.next(), if !waiting.is_empty() => {
                    done.extend(settled_number(settled));
                    false
                }
                () = self.closing.cancelled() => true,
            };
            for (number, delivery) in lock(&self.news).drain(..) {
                waiting.push(delivery.map(move |outcome| (number, outcome)));
            }
            // Many batches are in one request.
            while let Some(Some(settled)) = waiting.next().now_or_never() {
                done.extend(settled_number(settled));
            }
            if !done.is_empty() {
                self.done(&done);
                done.clear();
            }
            if closing {
                break;
            }
        }
        // Each of them is asked, however many there are.
        let last = waiting.into_iter().filter_map(|settled| tokio::task::unconstrained(settled).now_or_never());
        done.extend(last.filter_map(settled_number));
        self.done(&done);
        self.journal.close();
    }

    fn done(&self, numbers: &[u64]) {
        let mut writing = self.journal.write();
        for number in numbers {
            writing.done(*number);
        }
        writing.finish();
    }

    /// Nothing more comes, and all that could be said of it was said.
    pub fn close(&self) {
        self.closing.cancel();
    }
}

/// Of what was abandoned nobody has a copy but the journal.
fn settled_number((number, outcome): (u64, Outcome)) -> Option<u64> {
    (outcome != Outcome::Abandoned).then_some(number)
}

/// Lengths and numbers are little-endian:
///
/// ```text
/// group …
/// group: labels u32, entries u32 │ name, value … │ entry …
/// entry: time i64, pairs of metadata u32 │ line │ name, value …
/// text:  length u32 │ bytes
/// ```
fn encode(batch: &LogBatch, to: &mut Vec<u8>) {
    for LogGroup { labels, entries } in &batch.groups {
        put_number(to, labels.len());
        put_number(to, entries.len());
        for (name, value) in labels {
            put_text(to, name.as_bytes());
            put_text(to, value.as_bytes());
        }
        for LogEntry { timestamp, line, metadata } in entries {
            to.extend_from_slice(&timestamp.to_le_bytes());
            put_number(to, metadata.pairs().len());
            put_text(to, line);
            for (name, value) in metadata.pairs() {
                put_text(to, name);
                put_text(to, value);
            }
        }
    }
}

/// Lines are slices of the bytes.
fn decode(bytes: &Bytes) -> Option<LogBatch> {
    let mut rest = Rest(bytes.clone());
    let mut batch = LogBatch::default();
    while !rest.0.is_empty() {
        let (labels, entries) = (rest.number()?, rest.number()?);
        let mut group = LogGroup { labels: Labels::empty(), entries: Vec::new() };
        let mut pairs = Vec::new();
        for _ in 0..labels {
            pairs.push((rest.string()?, rest.string()?));
        }
        group.labels = Labels::from_pairs(pairs);
        for _ in 0..entries {
            let timestamp = i64::from_le_bytes(rest.take(8)?[..].try_into().ok()?);
            let pairs = rest.number()?;
            let mut entry = LogEntry::new(timestamp, rest.text()?);
            let mut metadata = Vec::new();
            for _ in 0..pairs {
                metadata.push((rest.text()?, rest.text()?));
            }
            entry.metadata = metadata.into_iter().collect::<Metadata>();
            group.entries.push(entry);
        }
        batch.groups.push(group);
    }
    Some(batch)
}

fn put_number(to: &mut Vec<u8>, number: usize) {
    to.extend_from_slice(&(number as u32).to_le_bytes());
}

fn put_text(to: &mut Vec<u8>, text: &[u8]) {
    put_number(to, text.len());
    to.extend_from_slice(text);
}

/// What is not read yet.
struct Rest(Bytes);

// === impl Rest ===

impl Rest {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?[..].try_into().ok()?) as usize)
    }

    fn text(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        self.take(length)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.into()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_nothing_else_panics(
            groups in prop::collection::vec((
                prop::collection::vec((".*", ".*"), 0..3),
                prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..50), prop::collection::vec((".*", ".*"), 0..2)), 0..4),
            ), 0..4),
            cut in any::<prop::sample::Index>(),
            other in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let groups = groups.into_iter().map(|(labels, entries)| LogGroup {
                labels: Labels::from_pairs(labels),
                entries: entries.into_iter().map(|(timestamp, line, pairs)| LogEntry {
                    timestamp,
                    line: line.into(),
                    metadata: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect::<Metadata>(),
                }).collect(),
            });
            let batch = LogBatch { groups: groups.collect(), rereadable: false };
            let mut bytes = Vec::new();
            encode(&batch, &mut bytes);
            let whole = Bytes::from(bytes);
            let read = decode(&whole).unwrap();
            prop_assert_eq!(format!("{:?}", read), format!("{:?}", batch));
            if !whole.is_empty() {
                let _ = decode(&whole.slice(..cut.index(whole.len())));
            }
            let _ = decode(&other.into());
        }
    }
}
