//! The open files, and what of them is in memory.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base_sys::task;
use sdk_signals::{OtlpSignal, Outcome, Settle};
use tokio::time::Instant;

use super::Counters;
use super::arguments::Arguments;
use super::encoding::Message;
use super::output::Output;

/// More than this is not kept in memory, whatever `flush_interval` says.
const BUFFER: usize = 1 << 20;

/// So many files are remembered as those of this run; beyond that none is emptied any more.
const MAX_KNOWN: usize = 100_000;

/// All of them.
pub(super) struct Files {
    arguments: Arc<Arguments>,
    open: Open,
    counters: Counters,
    /// What was taken and is not on the disk, in order.
    pending: Vec<Pending>,
    bytes: usize,
    flush_at: Option<Instant>,
}

/// A message that is not on the disk.
struct Pending {
    path: PathBuf,
    message: Vec<u8>,
    items: u64,
    signal: OtlpSignal,
    settle: Settle,
}

// === impl Files ===

impl Files {
    pub(super) fn new(arguments: Arc<Arguments>, counters: Counters) -> Files {
        Files { arguments, open: Open::default(), counters, pending: Vec::new(), bytes: 0, flush_at: None }
    }

    /// From now on with these arguments. What this run has written is not emptied.
    pub(super) fn replace(&mut self, arguments: Arc<Arguments>) {
        if arguments.grouping().is_none() && self.arguments.grouping().is_none() {
            for pending in &mut self.pending {
                pending.path = PathBuf::from(&arguments.path);
            }
        }
        self.arguments = arguments;
        self.open.outputs.clear();
    }

    pub(super) fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// Opens the file, where there is only one.
    pub(super) async fn open(&mut self) -> Result<(), String> {
        if self.arguments.grouping().is_none() {
            let path = PathBuf::from(&self.arguments.path);
            let opened = self.with_files(move |files, arguments| files.output(path, arguments).map(|_| ())).await;
            return opened.unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// Keeps a message for the next flush.
    pub(super) fn append(&mut self, message: Message, signal: OtlpSignal, settle: Settle) {
        let Message { path, bytes: message, items } = message;
        self.bytes += message.len();
        self.pending.push(Pending { path, message, items, signal, settle });
        let interval = self.arguments.flush_interval.to_std().unwrap_or(Duration::ZERO);
        self.flush_at.get_or_insert_with(|| Instant::now() + interval);
    }

    /// When what is kept has to be written.
    pub(super) fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Whether too much is kept, or nothing may be.
    pub(super) fn is_due(&self) -> bool {
        self.bytes >= BUFFER || self.arguments.flush_interval.0 == 0
    }

    /// Writes what is kept. After an error the rest is still kept.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        let pending = std::mem::take(&mut self.pending);
        let counters = self.counters.clone();
        let written = self
            .with_files(move |files, arguments| {
                let mut pending = pending.into_iter();
                while let Some(next) = pending.next() {
                    let written =
                        files.output(next.path.clone(), arguments).and_then(|output| output.write(&next.message));
                    if let Err(error) = written {
                        return (std::iter::once(next).chain(pending).collect(), Some(error));
                    }
                    counters.sent(next.signal, next.items);
                    next.settle.settle(Outcome::Delivered);
                }
                (Vec::new(), None)
            })
            .await;
        // Cut off: the process ends, and what was not written is abandoned.
        let Some((left, error)) = written else { return Ok(()) };
        self.bytes = left.iter().map(|pending: &Pending| pending.message.len()).sum();
        self.pending = left;
        match error {
            Some(error) => Err(error),
            None => {
                self.flush_at = None;
                Ok(())
            }
        }
    }

    /// Works with the open files where waiting for a disk hurts nobody.
    async fn with_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Open, &Arguments) -> T + Send + 'static,
    ) -> Option<T> {
        let mut open = std::mem::take(&mut self.open);
        let arguments = self.arguments.clone();
        let done = task::blocking("file exporter", move || {
            let result = work(&mut open, &arguments);
            (open, result)
        });
        let (open, result) = done.await.returned()?;
        self.open = open;
        Some(result)
    }
}

/// The open files.
#[derive(Default)]
struct Open {
    /// The one written last comes last.
    outputs: Vec<Output>,
    /// Files that this run has opened before, by their hash: they are not emptied again.
    known: HashSet<u64>,
    hasher: RandomState,
}

impl Open {
    /// The file of a path, opened if need be; the one that was used longest ago makes room.
    fn output(&mut self, path: PathBuf, arguments: &Arguments) -> Result<&mut Output, String> {
        match self.outputs.iter().position(|output| output.is(&path)) {
            Some(place) => {
                let output = self.outputs.remove(place);
                self.outputs.push(output);
            }
            None => {
                let most = arguments.grouping().map_or(1, |group| usize::try_from(group.max_open_files).unwrap_or(1));
                while self.outputs.len() >= most {
                    self.outputs.remove(0);
                }
                let hash = self.hasher.hash_one(&path);
                let keep = self.known.contains(&hash) || self.known.len() >= MAX_KNOWN;
                self.outputs.push(Output::open(path, keep, arguments)?);
                if !keep {
                    self.known.insert(hash);
                }
            }
        }
        Ok(self.outputs.last_mut().expect("just put there"))
    }
}
