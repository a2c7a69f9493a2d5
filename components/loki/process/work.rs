//! The table that a batch is while it runs through the stages: lines as views, extracted values in rows of slots, and
//! one arena for every text that a stage makes.

mod held;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use sdk_signals::{Delivery, LogBatch, LogEntry, LogGroup, Settle};
use tokio::time::Instant;

use super::plan::Plan;
use super::streams::Streams;

pub use held::Held;
pub use store::{Line, Seen, Source, Span, Store, Value, set_metadata};

/// Longer lines pass as they are: spans count in 32 bits.
const MAX_LINE: usize = u32::MAX as usize;

/// A batch between two ends of a pipeline.
pub struct Work {
    /// In order.
    pub lines: Vec<Line>,
    /// Texts and extracted values.
    pub store: Store,
    /// Label sets.
    pub streams: Streams,
    /// When the batch came, for what waits.
    pub now: Instant,
    /// When the batch came, by the wall clock: nanoseconds since 1970.
    pub wall: i64,
    /// How long the batch is to be kept back before it goes on (`stage.limit`).
    pub delay: std::time::Duration,
    /// Number of the batch, to tell its answer from those of earlier ones.
    number: u64,
    answer: Option<(Delivery, Settle)>,
    passed: Vec<LogGroup>,
    /// Of all lines that may be in the table.
    rereadable: bool,
    /// Stages hold lines, so that lines of any batch before may be in it.
    holds: bool,
    next_order: u32,
    /// By stream: the batch in which its group below was made, and that group.
    group_of: Vec<(u64, usize)>,
}

/// What came out of a batch.
pub struct Finished {
    /// To be handed on.
    pub batch: LogBatch,
    /// Answers of earlier batches whose lines are in it.
    pub released: Vec<Settle>,
    /// Resolves when the lines that stages held back of this batch have left; `None` when none was held.
    pub held: Option<Delivery>,
    /// How long to wait before handing it on.
    pub delay: std::time::Duration,
}

// === impl Work ===

impl Work {
    /// An empty table for the pipeline of this plan.
    pub fn new(plan: Arc<Plan>, holds: bool) -> Work {
        Work {
            lines: Vec::new(),
            store: Store::new(plan),
            streams: Streams::default(),
            now: Instant::now(),
            wall: 0,
            delay: std::time::Duration::ZERO,
            number: 0,
            answer: None,
            passed: Vec::new(),
            rereadable: true,
            holds,
            next_order: 0,
            group_of: Vec::new(),
        }
    }

    /// Makes the table hold a new batch.
    pub fn open(&mut self, batch: LogBatch) {
        self.lines.clear();
        self.store.rows.clear();
        self.streams.tidy();
        self.now = Instant::now();
        self.wall = base_sys::clock::now_ns();
        self.delay = std::time::Duration::ZERO;
        self.number += 1;
        self.next_order = 0;
        self.rereadable = batch.rereadable && (self.rereadable || !self.holds);
        self.lines.reserve(batch.len());
        for group in batch.groups {
            let stream = self.streams.id(&group.labels);
            let mut too_long = Vec::new();
            for entry in group.entries {
                if entry.line.len() > MAX_LINE {
                    too_long.push(entry);
                    continue;
                }
                let row = self.store.new_row(Value::Label(stream));
                let text = Span::whole(&entry.line);
                self.lines.push(Line {
                    input: entry.line,
                    text,
                    timestamp: entry.timestamp,
                    metadata: entry.metadata,
                    stream,
                    origin: stream,
                    order: self.next_order,
                    row,
                    others: None,
                    is_own: true,
                    carried: None,
                });
                self.next_order += 1;
            }
            if !too_long.is_empty() {
                self.passed.push(LogGroup { labels: group.labels, entries: too_long });
            }
        }
    }

    /// Gives a line another text, as if it had come so. Extracted values stay what they are.
    pub fn replace_text(&mut self, line: &mut Line, text: Bytes) {
        // Their texts lie in the old input.
        let plan = self.store.plan.clone();
        for (slot, _) in plan.slots() {
            if let Value::Text(span) = self.store.value(line, slot)
                && !span.in_arena
            {
                let text = line.input.slice(span.start as usize..span.end as usize);
                let value = self.store.push(&text).map_or(Value::Null, Value::Text);
                self.store.set(line, slot, value);
            }
        }
        for (_, value) in line.others.iter_mut().flat_map(|others| others.iter_mut()) {
            if let Value::Text(span) = value
                && !span.in_arena
            {
                let text = &line.input[span.start as usize..span.end as usize];
                *value = self.store.push(text).map_or(Value::Null, Value::Text);
            }
        }
        line.text = Span::whole(&text);
        line.input = text;
    }

    /// A second line with the same labels, metadata, time and extracted values.
    pub fn copy(&mut self, line: &Line, text: Span) -> Line {
        Line {
            input: line.input.clone(),
            text,
            timestamp: line.timestamp,
            metadata: line.metadata.clone(),
            stream: line.stream,
            origin: line.origin,
            order: line.order,
            row: self.store.copy_row(line.row),
            others: line.others.clone(),
            is_own: line.is_own,
            carried: line.carried.clone(),
        }
    }

    /// The labels of every line become extracted values, as at the entry of each (nested) pipeline.
    pub fn adopt_labels(&mut self) {
        let plan = self.store.plan.clone();
        for line in &mut self.lines {
            let labels = self.streams.labels(line.stream);
            for (slot, name) in plan.slots() {
                if labels.get(name).is_some() {
                    self.store.set(line, slot, Value::Label(line.stream));
                }
            }
            if plan.keeps_all() {
                for (name, _) in labels.iter() {
                    self.store.set_by_name(line, name, Value::Label(line.stream));
                }
            }
        }
    }

    /// The end of the pipeline: lines are grouped by their labels again.
    pub fn finish(&mut self) -> Finished {
        let arena = Bytes::from(std::mem::take(&mut self.store.arena));
        let mut batch = LogBatch { groups: std::mem::take(&mut self.passed), rereadable: self.rereadable };
        self.group_of.resize(self.streams.len(), (0, 0));
        let lines = self.lines.len();
        let mut released = Vec::new();
        for line in self.lines.drain(..) {
            if let Some(carried) = line.carried {
                released.extend(carried.leave());
            }
            let (made_in, group) = &mut self.group_of[Streams::index(line.stream)];
            if *made_in != self.number {
                *made_in = self.number;
                *group = batch.groups.len();
                let labels = self.streams.labels(line.stream).clone();
                // Most batches are of one stream.
                let entries = Vec::with_capacity(if batch.groups.is_empty() { lines } else { 0 });
                batch.groups.push(LogGroup { labels, entries });
            }
            let Span { in_arena, start, end } = line.text;
            let text = if in_arena {
                arena.slice(start as usize..end as usize)
            } else {
                let mut input = line.input;
                input.truncate(end as usize);
                bytes::Buf::advance(&mut input, start as usize);
                input
            };
            batch.groups[*group].entries.push(LogEntry {
                timestamp: line.timestamp,
                line: text,
                metadata: line.metadata,
            });
        }
        let held = self.answer.take().map(|(delivery, settle)| {
            // The pipeline's own part of the answer: what was not held is answered by whoever takes the batch.
            settle.settle(sdk_signals::Outcome::Delivered);
            delivery
        });
        Finished { batch, released, held, delay: self.delay }
    }
}
