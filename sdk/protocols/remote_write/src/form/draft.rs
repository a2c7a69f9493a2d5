//! Making a form.

use std::ops::Range;

use super::element::{LEAST_COPY, MOST_COPIED, common, common_end, push_copy, push_literal};
use super::{BEFORE_VALUE, Back, REACH, TIME, VALUE, WINDOW, push_head, same_high, same_low, written};

/// Places that are looked at for each copy.
const CANDIDATES: usize = 16;
const SLOTS: usize = 1 << 13;

/// A form that is being written.
pub(super) struct Draft {
    /// The texts, without the values between them.
    text: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// The last place with such bytes, from 1; and for each place the one before.
    slots: Vec<u32>,
    before: Vec<u32>,
    pub(super) elements: Vec<u8>,
}

// === impl Draft ===

impl Draft {
    pub(super) fn new() -> Draft {
        Draft { text: Vec::new(), starts: Vec::new(), slots: vec![0; SLOTS], before: Vec::new(), elements: Vec::new() }
    }

    /// Another row: how long its text is.
    pub(super) fn begin(&mut self, labels: &[u8]) -> usize {
        let start = self.text.len();
        self.starts.push(start);
        // Times are all the same, and nothing but a time is copied from one.
        self.text.extend([0; TIME]);
        push_head(&mut self.text, labels);
        self.text.len() - start
    }

    /// The last row can be copied from.
    pub(super) fn end(&mut self) {
        let start = self.starts.last().copied().unwrap_or(0) + TIME;
        self.before.resize(start, 0);
        for place in start..self.text.len() {
            let mut before = 0;
            if let Some(bytes) = self.text[place..].first_chunk() {
                before = std::mem::replace(&mut self.slots[slot(*bytes)], place as u32 + 1);
            }
            self.before.push(before);
        }
    }

    /// The rows that the last one may copy from.
    fn window(&self) -> Range<usize> {
        let last = self.starts.len() - 1;
        let rows = last.saturating_sub(WINDOW)..last;
        let too_far = |row: &usize| self.distance(self.text.len(), self.starts[*row], *row) > REACH;
        rows.start + rows.clone().take_while(too_far).count()..last
    }

    fn text_of(&self, row: usize) -> &[u8] {
        let end = self.starts.get(row + 1).copied().unwrap_or(self.text.len());
        &self.text[self.starts[row]..end]
    }

    /// Writes the elements of the last row.
    pub(super) fn row(&mut self, values: &[f64]) -> Back {
        let last = self.starts.len() - 1;
        let text = self.text_of(last);
        // The first row has no time before it.
        let value = |row: usize| written(values.get(row).copied().unwrap_or(0.0));
        let (mut head, mut first, mut most) = (0, 0, 0);
        let may_begin = &text[..(text.len() - BEFORE_VALUE.len()).min(MOST_COPIED)];
        for other in self.window().filter(|row| *row > 0) {
            let own = usize::from(same_high(value(last - 1), value(other - 1)));
            let same = common(self.text_of(other), may_begin).min(MOST_COPIED - own);
            let with_value = same + own;
            if with_value >= most {
                (head, first, most) = (same, other, with_value);
            }
        }
        let (mut tail, mut end, mut most) = (0, 0, 0);
        let may_end = &text[head.max(text.len().saturating_sub(MOST_COPIED))..];
        for other in self.window() {
            let own = usize::from(same_low(value(last), value(other)));
            let same = common_end(&self.text_of(other)[TIME..], may_end).min(MOST_COPIED - own);
            let with_value = same + own;
            if with_value >= most {
                (tail, end, most) = (same, other, with_value);
            }
        }

        let (start, length) = (self.starts[last], text.len());
        let distance = self.distance(start, self.starts[first], first);
        push_copy(&mut self.elements, head, distance, false);
        let others = self.middle(start + head, start + length - tail);
        let from = self.starts[end] + self.text_of(end).len() - tail;
        let distance = self.distance(start + length - tail, from, end);
        push_copy(&mut self.elements, tail, distance, false);
        let [first, last, farthest] = [first, end, others.min(first).min(end)].map(|row| (last - row) as u8);
        Back { first, last, farthest }
    }

    /// Writes the elements of what stands between the first and the last: the first row that they copy from.
    fn middle(&mut self, mut at: usize, end: usize) -> usize {
        let mut told = at;
        let mut first = usize::MAX;
        while at < end {
            let Some((length, from, row)) = self.longest(at, end) else {
                at += 1;
                continue;
            };
            push_literal(&mut self.elements, &self.text[told..at]);
            let distance = self.distance(at, from, row);
            push_copy(&mut self.elements, length, distance, true);
            first = first.min(row);
            at += length;
            told = at;
        }
        push_literal(&mut self.elements, &self.text[told..end]);
        first
    }

    /// The longest copy of what stands here: its length, and from where, in which row.
    fn longest(&self, at: usize, end: usize) -> Option<(usize, usize, usize)> {
        let here = &self.text[at..end.min(at + MOST_COPIED)];
        let window = self.window();
        let mut best: Option<(usize, usize, usize)> = None;
        let mut next = self.slots[slot(*here.first_chunk()?)];
        for _ in 0..CANDIDATES {
            let Some(from) = (next as usize).checked_sub(1).filter(|from| *from >= self.starts[window.start]) else {
                break;
            };
            next = self.before[from];
            let longer = best.map_or(0, |(length, ..)| length);
            if longer == here.len() || self.text.get(from + longer) != here.get(longer) {
                continue;
            }
            let row = self.starts.partition_point(|start| *start <= from) - 1;
            let there = &self.text_of(row)[from - self.starts[row]..];
            let same = common(there, here);
            if same >= LEAST_COPY && same > longer {
                best = Some((same, from, row));
            }
        }
        best
    }

    /// How far a place of the last row is behind one of another row, with the values between them.
    fn distance(&self, at: usize, from: usize, row: usize) -> usize {
        at - from + VALUE * (self.starts.len() - 1 - row)
    }
}

fn slot(bytes: [u8; LEAST_COPY]) -> usize {
    (u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> (32 - SLOTS.trailing_zeros())) as usize
}
