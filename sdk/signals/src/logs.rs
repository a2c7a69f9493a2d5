//! Logs in batches: groups of one label set each, lines as slices of a shared arena.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use language_eval::{CapsuleObject, DataEdge, capsule};
use sdk_labels::Labels;

use crate::consumer::Receiver;
use crate::fan_out::Batch;

/// Log entries, grouped by label set. Order inside a group is the order of reading and is kept by every component.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// One per label set; a label set may appear in more than one group.
    pub groups: Vec<LogGroup>,
}

/// Entries of one stream.
#[derive(Clone, Debug)]
pub struct LogGroup {
    /// The stream's labels. Labels that begin with `__` are internal and do not leave the process.
    pub labels: Labels,
    /// In order.
    pub entries: Vec<LogEntry>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// The line, usually a slice of the buffer it was read into; not necessarily UTF-8.
    pub line: Bytes,
    /// Structured metadata; almost always none.
    pub metadata: Metadata,
}

/// Structured metadata of an entry: pairs in order, names may repeat. Empty costs one word and no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Option<Arc<Vec<(Bytes, Bytes)>>>);

/// What `loki.*` components list in `forward_to`: the capsule `loki.LogsReceiver`.
#[derive(Clone, Debug)]
pub struct LogsReceiver(pub Receiver<LogBatch>);

// === impl LogBatch ===

impl LogBatch {
    /// Entries of one stream.
    pub fn of(labels: Labels, entries: Vec<LogEntry>) -> LogBatch {
        LogBatch { groups: vec![LogGroup { labels, entries }] }
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.entries.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.entries.is_empty())
    }

    /// Bytes of all lines.
    pub fn line_bytes(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.entries).map(|entry| entry.line.len()).sum()
    }
}

impl Batch for LogBatch {
    fn items(&self) -> u64 {
        self.len() as u64
    }
}

// === impl LogEntry ===

impl LogEntry {
    /// A line without structured metadata.
    pub fn new(timestamp: i64, line: impl Into<Bytes>) -> LogEntry {
        LogEntry { timestamp, line: line.into(), metadata: Metadata::default() }
    }
}

// === impl Metadata ===

impl Metadata {
    /// All pairs, in order.
    pub fn pairs(&self) -> &[(Bytes, Bytes)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// One more pair.
    pub fn push(&mut self, name: Bytes, value: Bytes) {
        Arc::make_mut(self.0.get_or_insert_default()).push((name, value));
    }

    /// Only the pairs that `keep` says yes to.
    pub fn retain(&mut self, keep: impl FnMut(&(Bytes, Bytes)) -> bool) {
        if let Some(pairs) = &mut self.0 {
            let pairs = Arc::make_mut(pairs);
            pairs.retain(keep);
            if pairs.is_empty() {
                self.0 = None;
            }
        }
    }
}

impl FromIterator<(Bytes, Bytes)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (Bytes, Bytes)>>(pairs: I) -> Metadata {
        let pairs: Vec<_> = pairs.into_iter().collect();
        Metadata((!pairs.is_empty()).then(|| Arc::new(pairs)))
    }
}

// === impl LogsReceiver ===

impl CapsuleObject for LogsReceiver {
    fn type_name(&self) -> &'static str {
        "loki.LogsReceiver"
    }

    fn text(&self) -> Option<String> {
        Some(format!("{}.receiver", self.0.component()))
    }

    fn equals(&self, other: &dyn CapsuleObject) -> Option<bool> {
        Some(other.as_any().downcast_ref::<LogsReceiver>().is_some_and(|other| self.0.is(&other.0)))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "loki_log" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(LogsReceiver, "loki.LogsReceiver");
