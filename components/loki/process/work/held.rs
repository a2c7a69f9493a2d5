//! Lines that stages keep from one batch to another, and whom to tell when they have left.

use std::sync::Arc;

use bytes::Bytes;
use sdk_labels::Labels;
use sdk_signals::{Delivery, Metadata, Outcome, Settle};

use super::Work;
use super::store::{Line, Span, Value};

/// A line that a stage keeps from one batch to another.
#[derive(Debug)]
pub struct Held {
    /// Its text; the stage appends to it.
    pub text: Vec<u8>,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// Its labels.
    pub labels: Labels,
    metadata: Metadata,
    origin: Labels,
    row: Vec<Kept>,
    others: Vec<(Arc<str>, Kept)>,
    answers: Answers,
}

/// Whom to tell what became of lines: the answers of the batches that they came from, by the number of the batch. While a
/// stage holds them, losing them means that nobody knows.
#[derive(Clone, Debug, Default)]
struct Answers(Vec<(u64, Settle)>);

/// The answers that a line carries on its way through the stages. A stage that drops the line (and counts it) answers by
/// that.
#[derive(Clone, Debug)]
pub(super) struct Carried(Answers);

/// A [`Value`] that owns what it refers to.
#[derive(Clone, Debug)]
enum Kept {
    Plain(Value),
    Label(Labels),
    Text(Box<[u8]>),
}

// === impl Answers ===

impl Answers {
    fn add(&mut self, number: u64, settle: Settle) {
        match self.0.iter().any(|(known, _)| *known == number) {
            // One answer for each batch is enough; this one has nothing to say.
            true => settle.settle(Outcome::Delivered),
            false => self.0.push((number, settle)),
        }
    }

    fn add_all(&mut self, others: Answers) {
        for (number, settle) in others.0 {
            self.add(number, settle);
        }
    }
}

// === impl Carried ===

impl Carried {
    /// The line goes on: its answers are those of the batch it leaves with.
    pub(super) fn leave(mut self) -> impl Iterator<Item = Settle> {
        std::mem::take(&mut self.0.0).into_iter().map(|(_, settle)| settle)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        for (_, settle) in self.0.0.drain(..) {
            settle.settle(Outcome::Dropped);
        }
    }
}

// === impl Held ===

impl Held {
    /// Whoever waits for the other line, waits for this one.
    pub fn take_answers(&mut self, other: Held) {
        self.answers.add_all(other.answers);
    }
}

// === impl Work ===

impl Work {
    /// Takes a line out of the batch for a stage to keep; the batch counts as delivered only when it has left.
    pub fn hold(&mut self, mut line: Line) -> Held {
        let mut held = Held {
            text: self.store.text(&line).to_vec(),
            timestamp: line.timestamp,
            labels: self.streams.labels(line.stream).clone(),
            metadata: line.metadata.pairs().iter().cloned().collect(),
            origin: self.streams.labels(line.origin).clone(),
            row: Vec::with_capacity(self.store.width),
            others: Vec::new(),
            answers: Answers::default(),
        };
        for (slot, _) in self.store.plan.slots() {
            held.row.push(self.kept(&line, self.store.value(&line, slot)));
        }
        for (name, value) in line.others.iter().flat_map(|others| others.iter()) {
            held.others.push((name.clone(), self.kept(&line, *value)));
        }
        self.own_up(&mut held, &mut line);
        held
    }

    /// The text of the line has become part of the kept one: whoever waits for the line, waits for that.
    pub fn absorb(&mut self, held: &mut Held, mut line: Line) {
        self.own_up(held, &mut line);
    }

    fn own_up(&mut self, held: &mut Held, line: &mut Line) {
        if let Some(mut carried) = line.carried.take() {
            held.answers.add_all(std::mem::take(&mut carried.0));
        }
        if line.is_own && held.answers.0.iter().all(|(number, _)| *number != self.number) {
            let (_, settle) = self.answer.get_or_insert_with(Delivery::pending);
            held.answers.0.push((self.number, settle.clone()));
        }
    }

    /// Another line with this text and all else of a kept one goes on; the kept one stays, but owes no answers any more.
    pub fn release_copy(&mut self, held: &mut Held, text: Vec<u8>, order: u32) -> Line {
        let copy = Held {
            text,
            timestamp: held.timestamp,
            labels: held.labels.clone(),
            metadata: held.metadata.clone(),
            origin: held.origin.clone(),
            row: held.row.clone(),
            others: held.others.clone(),
            answers: std::mem::take(&mut held.answers),
        };
        self.release(copy, order)
    }

    /// A kept line goes on, in the place of the line with this order. Its place in the list is the caller's business.
    pub fn release(&mut self, held: Held, order: u32) -> Line {
        let stream = self.streams.id(&held.labels);
        let origin = self.streams.id(&held.origin);
        let row = self.store.new_row(Value::Absent);
        let input = Bytes::from(held.text);
        let mut line = Line {
            text: Span::whole(&input),
            input,
            timestamp: held.timestamp,
            metadata: held.metadata,
            stream,
            origin,
            order,
            row,
            others: None,
            is_own: false,
            carried: Some(Box::new(Carried(held.answers))),
        };
        let plan = self.store.plan.clone();
        for ((slot, _), kept) in plan.slots().zip(held.row) {
            let value = self.unkept(kept);
            self.store.set(&line, slot, value);
        }
        for (name, kept) in held.others {
            let value = self.unkept(kept);
            line.others.get_or_insert_default().push((name, value));
        }
        line
    }

    /// Nothing of a kept line but its text goes on, as a part of this line: so do its answers.
    pub fn carry(line: &mut Line, held: Held) {
        match &mut line.carried {
            Some(carried) => carried.0.add_all(held.answers),
            None => line.carried = Some(Box::new(Carried(held.answers))),
        }
    }

    fn kept(&self, line: &Line, value: Value) -> Kept {
        match value {
            Value::Text(span) => Kept::Text(self.store.bytes(line, span).into()),
            Value::Label(stream) => Kept::Label(self.streams.labels(stream).clone()),
            plain => Kept::Plain(plain),
        }
    }

    fn unkept(&mut self, kept: Kept) -> Value {
        match kept {
            Kept::Plain(value) => value,
            Kept::Label(labels) => Value::Label(self.streams.id(&labels)),
            Kept::Text(text) => self.store.push(&text).map_or(Value::Null, Value::Text),
        }
    }
}
