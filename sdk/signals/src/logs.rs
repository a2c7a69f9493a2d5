//! Logs in batches: groups of one label set each, lines as slices of a shared arena.

use std::any::Any;
use std::fmt;
use std::ops::Range;
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
    /// After a crash their source reads all of them again, as it saves its position only past what is delivered. Of what comes
    /// from a client there is no other copy once it was told that it is taken.
    pub rereadable: bool,
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

/// Structured metadata of an entry: pairs in order, names may repeat. Entries may share the memory of it ([`Metadata::of`]),
/// and none costs none.
#[derive(Clone, Default)]
pub struct Metadata {
    shared: Option<Arc<Vec<(Bytes, Bytes)>>>,
    /// The entry's own among those.
    start: u32,
    end: u32,
}

/// What `loki.*` components list in `forward_to`: the capsule `loki.LogsReceiver`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogsReceiver(pub Receiver<LogBatch>);

// === impl LogBatch ===

impl LogBatch {
    /// Entries of one stream. Their source says if it can read them again.
    pub fn of(labels: Labels, entries: Vec<LogEntry>) -> LogBatch {
        LogBatch { groups: vec![LogGroup { labels, entries }], ..LogBatch::default() }
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
    /// These of the pairs of many entries.
    pub fn of(pairs: &Arc<Vec<(Bytes, Bytes)>>, range: Range<usize>) -> Metadata {
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            _ if range.is_empty() => Metadata::default(),
            (Ok(start), Ok(end)) => Metadata { shared: Some(pairs.clone()), start, end },
            _ => pairs[range].iter().cloned().collect(),
        }
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> &[(Bytes, Bytes)] {
        self.shared.as_ref().map_or(&[], |pairs| &pairs[self.start as usize..self.end as usize])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shared.is_none()
    }

    /// One more pair.
    pub fn push(&mut self, name: Bytes, value: Bytes) {
        let pairs = self.pairs().iter().cloned();
        *self = pairs.chain([(name, value)]).collect();
    }
}

impl FromIterator<(Bytes, Bytes)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (Bytes, Bytes)>>(pairs: I) -> Metadata {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let end = pairs.len();
        Metadata::of(&Arc::new(pairs), 0..end)
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Metadata) -> bool {
        self.pairs() == other.pairs()
    }
}

impl Eq for Metadata {}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs()).finish()
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
        Some(other.as_any().downcast_ref() == Some(self))
    }

    fn data_edge(&self) -> Option<DataEdge> {
        Some(DataEdge { component: self.0.component().to_owned(), signal: "loki_log" })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

capsule!(LogsReceiver, "loki.LogsReceiver");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_share_their_pairs_change_them_alone() {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let all = Arc::new(vec![(text("a"), text("1")), (text("b"), text("2")), (text("a"), text("3"))]);
        let (mut one, mut other) = (Metadata::of(&all, 0..1), Metadata::of(&all, 1..3));
        assert_eq!(other.pairs(), &all[1..]);
        one.push(text("c"), text("4"));
        other.push(text("d"), text("5"));
        assert_eq!(
            format!("{one:?} {other:?}"),
            r#"[(b"a", b"1"), (b"c", b"4")] [(b"b", b"2"), (b"a", b"3"), (b"d", b"5")]"#
        );
        assert!(Metadata::of(&all, 2..2).is_empty() && Metadata::of(&all, 2..2) == Metadata::default());
        assert_eq!(Metadata::of(&all, 0..2), all[..2].iter().cloned().collect());
    }
}
