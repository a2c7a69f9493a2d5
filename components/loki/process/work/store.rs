//! Lines as views, and their extracted values in rows of slots.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sdk_signals::Metadata;

use super::held::Carried;
use crate::process::plan::{Plan, Slot};
use crate::process::streams::{StreamId, Streams};

/// What the stages of one batch may write in all. A template can make a line of any length; beyond this bound a stage
/// leaves the value as it was.
const MAX_ARENA: usize = 1 << 30;

/// A part of a line's input, or of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) in_arena: bool,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// An extracted value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// The name is not there.
    Absent,
    /// The label of this name in that set, if it has one: how every line starts (spec §3).
    Label(StreamId),
    /// There, but nothing: JSON's null, or a key that an expression did not find (spec §9.1).
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A JSON number.
    Number(f64),
    /// Text; lists and objects are text too.
    Text(Span),
}

/// An extracted value with its text at hand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Seen<'a> {
    Absent,
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a [u8]),
}

/// One line on its way through the stages.
#[derive(Debug)]
pub struct Line {
    /// As it came, or as a stage that holds lines joined it.
    pub input: Bytes,
    /// What the line is now.
    pub text: Span,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// Structured metadata.
    pub metadata: Metadata,
    /// Its labels now.
    pub stream: StreamId,
    /// Its labels when the extracted values began: names without a slot are looked up here.
    pub origin: StreamId,
    /// Its place among the lines of the batch; stages that part and rejoin lines sort by it.
    pub order: u32,
    pub(super) row: u32,
    /// Values of names without a slot; only in pipelines that look at every name.
    pub(super) others: Option<Box<Vec<(Arc<str>, Value)>>>,
    /// It came with the current batch, and was not kept from an earlier one.
    pub(super) is_own: bool,
    /// Whom to tell what became of lines of earlier batches that are in it.
    pub(super) carried: Option<Box<Carried>>,
}

/// Lines' extracted values and the texts made on the way.
pub struct Store {
    pub(super) arena: Vec<u8>,
    pub(super) rows: Vec<Value>,
    pub(super) width: usize,
    pub(super) plan: Arc<Plan>,
}

/// Where a stage finds the text it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The line.
    Line,
    /// An extracted value.
    Extracted(Slot),
}

// === impl Span ===

impl Span {
    /// Nothing.
    pub const EMPTY: Span = Span { in_arena: false, start: 0, end: 0 };

    /// All of a line's input. Lines beyond [`MAX_LINE`] never get here.
    pub(super) fn whole(input: &Bytes) -> Span {
        Span { in_arena: false, start: 0, end: input.len() as u32 }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it is nothing.
    pub fn is_empty(self) -> bool {
        self.end == self.start
    }

    /// A part of it.
    pub fn part(self, range: std::ops::Range<usize>) -> Span {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        Span { in_arena: self.in_arena, start: self.start + range.start as u32, end: self.start + range.end as u32 }
    }

    /// Without its first bytes.
    pub fn skip(self, count: usize) -> Span {
        self.part(count..self.len())
    }
}

// === impl Store ===

impl Store {
    pub(super) fn new(plan: Arc<Plan>) -> Store {
        Store { arena: Vec::new(), rows: Vec::new(), width: plan.width(), plan }
    }

    /// The names of the slots.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes of a span.
    pub fn bytes<'a>(&'a self, line: &'a Line, span: Span) -> &'a [u8] {
        let from: &[u8] = if span.in_arena { &self.arena } else { &line.input };
        &from[span.start as usize..span.end as usize]
    }

    /// What the line is now.
    pub fn text<'a>(&'a self, line: &'a Line) -> &'a [u8] {
        self.bytes(line, line.text)
    }

    /// Puts a text into the arena; `None` when the batch has made too much already.
    pub fn push(&mut self, text: &[u8]) -> Option<Span> {
        let start = self.arena.len();
        if text.len() > MAX_ARENA - start {
            return None;
        }
        self.arena.extend_from_slice(text);
        Some(Span { in_arena: true, start: start as u32, end: self.arena.len() as u32 })
    }

    /// Puts a text of the line with something behind it into the arena, as [`Store::push`] does.
    pub fn push_with(&mut self, line: &Line, text: Span, behind: &[u8]) -> Option<Span> {
        let (start, range) = (self.arena.len(), text.start as usize..text.end as usize);
        if range.len() + behind.len() > MAX_ARENA - start {
            return None;
        }
        match text.in_arena {
            true => self.arena.extend_from_within(range),
            false => self.arena.extend_from_slice(&line.input[range]),
        }
        self.arena.extend_from_slice(behind);
        Some(Span { in_arena: true, start: start as u32, end: self.arena.len() as u32 })
    }

    /// Sets an extracted value.
    pub fn set(&mut self, line: &Line, slot: Slot, value: Value) {
        self.rows[line.row as usize * self.width + slot.0 as usize] = value;
    }

    /// Sets an extracted value if anybody looks at it.
    pub fn set_if_read(&mut self, line: &Line, slot: Option<Slot>, value: Value) {
        if let Some(slot) = slot {
            self.set(line, slot, value);
        }
    }

    /// Sets an extracted value by a name that only the data knows.
    pub fn set_by_name(&mut self, line: &mut Line, name: &str, value: Value) {
        if let Some(slot) = self.plan.slot(name) {
            return self.set(line, slot, value);
        }
        if !self.plan.keeps_all() {
            return;
        }
        let others = line.others.get_or_insert_default();
        match others.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => others.push((name.into(), value)),
        }
    }

    /// The extracted value as it is stored.
    pub fn value(&self, line: &Line, slot: Slot) -> Value {
        self.rows[line.row as usize * self.width + slot.0 as usize]
    }

    /// The extracted value.
    pub fn see<'a>(&'a self, line: &'a Line, slot: Slot, streams: &'a Streams) -> Seen<'a> {
        self.seen(line, self.plan.name(slot), self.value(line, slot), streams)
    }

    fn seen<'a>(&'a self, line: &'a Line, name: &str, value: Value, streams: &'a Streams) -> Seen<'a> {
        match value {
            Value::Absent => Seen::Absent,
            Value::Null => Seen::Null,
            Value::Bool(value) => Seen::Bool(value),
            Value::Number(value) => Seen::Number(value),
            Value::Text(span) => Seen::Text(self.bytes(line, span)),
            Value::Label(stream) => match streams.labels(stream).get(name) {
                Some(value) => Seen::Text(value.as_bytes()),
                None => Seen::Absent,
            },
        }
    }

    /// The extracted value of a name that the plan may not know.
    pub fn see_by_name<'a>(&'a self, line: &'a Line, name: &str, streams: &'a Streams) -> Seen<'a> {
        match self.plan.slot(name) {
            Some(slot) => self.see(line, slot, streams),
            None => {
                let value = line.others.iter().flat_map(|others| others.iter()).find(|(known, _)| &**known == name);
                self.seen(line, name, value.map_or(Value::Label(line.origin), |(_, value)| *value), streams)
            }
        }
    }

    /// Whether the name is there at all.
    pub fn has(&self, line: &Line, slot: Slot, streams: &Streams) -> bool {
        self.see(line, slot, streams) != Seen::Absent
    }

    /// A span with the value as text, to take parts of: labels and numbers are written into the arena first. `None` for
    /// what is absent or cannot be text.
    pub fn span_of(&mut self, line: &Line, slot: Slot, streams: &Streams) -> Option<Span> {
        match self.value(line, slot) {
            Value::Text(span) => Some(span),
            Value::Absent | Value::Null => None,
            Value::Bool(true) => self.push(b"true"),
            Value::Bool(false) => self.push(b"false"),
            Value::Number(number) if !number.is_finite() => self.push(base_stdx::float::plain(number).as_bytes()),
            Value::Number(number) => {
                if let Some(whole) = whole(number) {
                    return self.push(itoa::Buffer::new().format(whole).as_bytes());
                }
                let start = self.arena.len();
                if start >= MAX_ARENA {
                    return None;
                }
                // Writing into memory does not fail.
                let _ = write!(self.arena, "{number}");
                Some(Span { in_arena: true, start: start as u32, end: self.arena.len() as u32 })
            }
            Value::Label(stream) => {
                let value = streams.labels(stream).get(self.plan.name(slot))?;
                self.push(value.as_bytes())
            }
        }
    }

    /// The extracted value as a part of what came in, which outlives the batch; `None` if it is none.
    pub fn input_of(&self, line: &Line, slot: Slot) -> Option<Bytes> {
        match self.value(line, slot) {
            Value::Text(span) if !span.in_arena => Some(line.input.slice(span.start as usize..span.end as usize)),
            _ => None,
        }
    }

    /// Every name that is there, with its value: slots first, then other names. Only complete in a pipeline that looks
    /// at every name.
    pub fn everything<'a>(
        &'a self,
        line: &'a Line,
        streams: &'a Streams,
    ) -> impl Iterator<Item = (&'a str, Seen<'a>)> + 'a {
        let slots = self.plan.slots().map(move |(slot, name)| (&**name, self.see(line, slot, streams)));
        let others = line
            .others
            .iter()
            .flat_map(|others| others.iter())
            .map(move |(name, value)| (&**name, self.seen(line, name, *value, streams)));
        let labels = streams
            .labels(line.origin)
            .iter()
            .filter(move |(name, _)| {
                let known = line.others.iter().flat_map(|others| others.iter()).any(|(other, _)| &**other == *name);
                !known && self.plan.slot(name).is_none()
            })
            .map(|(name, value)| (name, Seen::Text(value.as_bytes())));
        slots.chain(others).chain(labels).filter(|(_, seen)| *seen != Seen::Absent)
    }

    pub(super) fn new_row(&mut self, value: Value) -> u32 {
        let row = (self.rows.len() / self.width.max(1)) as u32;
        self.rows.resize(self.rows.len() + self.width, value);
        row
    }

    /// Another row with the same values.
    pub(super) fn copy_row(&mut self, row: u32) -> u32 {
        let copy = (self.rows.len() / self.width.max(1)) as u32;
        let start = row as usize * self.width;
        self.rows.extend_from_within(start..start + self.width);
        copy
    }
}

/// Gives lines metadata that shares one piece of memory: of the pairs, each line gets those up to its end.
pub fn set_metadata(lines: &mut [Line], pairs: Vec<(Bytes, Bytes)>, ends: Vec<usize>) {
    let pairs = Arc::new(pairs);
    let mut start = 0;
    for (line, end) in lines.iter_mut().zip(ends) {
        line.metadata = Metadata::of(&pairs, start..end);
        start = end;
    }
}

// === impl Source ===

impl Source {
    /// The text to take parts of; `None` when the value is absent or cannot be text.
    pub fn span(self, store: &mut Store, line: &Line, streams: &Streams) -> Option<Span> {
        match self {
            Source::Line => Some(line.text),
            Source::Extracted(slot) => store.span_of(line, slot, streams),
        }
    }
}

/// A number that is whole, as nearly all in logs are: writing a fraction takes ten times as long.
fn whole(number: f64) -> Option<i64> {
    let whole = number as i64;
    // Beyond 2^53 neighbours are more than one apart. -0 is written with its sign.
    let is_whole =
        whole as f64 == number && whole.unsigned_abs() < 1 << 53 && (whole != 0 || number.is_sign_positive());
    is_whole.then_some(whole)
}

// === impl Seen ===

impl Seen<'_> {
    /// As text, as Alloy converts it (spec §3): numbers in shortest plain decimal. `None` for null and what is absent.
    pub fn text<'t>(&'t self, number: &'t mut String) -> Option<&'t [u8]> {
        match self {
            Seen::Absent | Seen::Null => None,
            Seen::Bool(true) => Some(b"true"),
            Seen::Bool(false) => Some(b"false"),
            Seen::Text(text) => Some(text),
            Seen::Number(value) => {
                number.clear();
                if !value.is_finite() {
                    number.push_str(&base_stdx::float::plain(*value));
                    return Some(number.as_bytes());
                }
                if let Some(whole) = whole(*value) {
                    number.push_str(itoa::Buffer::new().format(whole));
                    return Some(number.as_bytes());
                }
                // Writing into memory does not fail.
                let _ = write!(number, "{value}");
                Some(number.as_bytes())
            }
        }
    }
}
