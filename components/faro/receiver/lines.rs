//! From a payload to a batch of lines.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sdk_labels::Labels;
use sdk_signals::{LogBatch, LogEntry, LogGroup};

use super::arguments::LogFormat;
use super::line::{Line, Pairs};
use super::maps::Kept;
use super::payload::{Exception, Frame, Payload};

/// Bytes of all lines of one payload, each with what all have in common: a small body can ask for very many.
const MAX_BYTES: usize = 64 << 20;

/// How lines are made.
pub(super) struct Writer {
    pub format: LogFormat,
    pub labels: BTreeMap<String, String>,
}

/// What was found for the files of stack traces.
pub(super) type Found = HashMap<String, Arc<Kept>>;

/// The lines of a payload are too much together.
#[derive(Debug, thiserror::Error)]
#[error("the lines of the payload have more than {MAX_BYTES} bytes")]
pub(super) struct TooMuch;

// === impl Writer ===

impl Writer {
    /// All lines, in Alloy's order: logs, exceptions, measurements, events.
    pub fn batch(&self, payload: &Payload, maps: &Found) -> Result<LogBatch, TooMuch> {
        let common = payload.meta.pairs();
        let mut lines = Lines { writer: self, next: base_sys::clock::now_ns(), bytes: 0, batch: LogBatch::default() };
        for log in &payload.logs {
            lines.add(&log.pairs(), &common)?;
        }
        for exception in &payload.exceptions {
            lines.add(&exception.pairs(&translated(exception, maps)), &common)?;
        }
        for measurement in &payload.measurements {
            lines.add(&measurement.pairs(), &common)?;
        }
        for event in &payload.events {
            lines.add(&event.pairs(), &common)?;
        }
        Ok(lines.batch)
    }

    fn labels_of(&self, line: &Line<'_>) -> Labels {
        let labels = self.labels.iter().filter_map(|(name, value)| {
            let value = if value.is_empty() { line.get(name)?.into_owned() } else { value.clone() };
            Some((name.as_str(), value))
        });
        Labels::from_pairs(labels.collect::<Vec<_>>())
    }
}

/// The frames, in the original source where a map tells it.
fn translated(exception: &Exception, maps: &Found) -> Vec<Frame> {
    let frames = exception.stacktrace.frames.iter();
    frames
        .map(|frame| {
            maps.get(&frame.filename).and_then(|kept| kept.map.translate(frame)).unwrap_or_else(|| frame.clone())
        })
        .collect()
}

/// The batch, while it grows.
struct Lines<'w> {
    writer: &'w Writer,
    /// Each line is a nanosecond later than the one before: Loki takes equal lines of one time for one line.
    next: i64,
    bytes: usize,
    batch: LogBatch,
}

impl Lines<'_> {
    fn add(&mut self, own: &Pairs<'_>, common: &Pairs<'_>) -> Result<(), TooMuch> {
        let line = Line::new(own, common);
        let labels = self.writer.labels_of(&line);
        let text = line.write(self.writer.format);
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            return Err(TooMuch);
        }
        let entry = LogEntry::new(self.next, text);
        self.next += 1;
        match self.batch.groups.last_mut() {
            Some(group) if group.labels == labels => group.entries.push(entry),
            _ => self.batch.groups.push(LogGroup { labels, entries: vec![entry] }),
        }
        Ok(())
    }
}
