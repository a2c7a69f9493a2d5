//! The series of a page, compressed before their values are known.
//!
//! A page has the same series scrape after scrape, and nearly all of a request is their labels. So what stands between two
//! values is made elements of a snappy block once, and with more care than a request could be given; a scrape then costs a
//! copy of a few bytes and a literal for each value.
//!
//! ```text
//! request:      text value text value … text value, time
//! text of row:  time of the row before │ 0a length │ labels │ 12 10 09
//! elements:     copy │ … │ copy
//! ```
//! For that all values have one length: a zero is written too, which a reader takes for what it is. The first and the last
//! element of a text are copies of where another row's text begins and ends. So what a value has in common with the values
//! that stand there goes with these copies: the exponent, the zeros of a whole number. Distances are all that the elements
//! say of where they stand, so a request may begin with any row: the first rows are compressed as any text is, until those
//! stand there that are copied from.

use std::ops::Range;

use base_stdx::protobuf::push_varint;

/// A copy is from one of so many rows before, and reaches back so many bytes. With 32 rows, requests of hosts were a tenth larger
/// than what is compressed as any text is; now they are a little smaller.
const WINDOW: usize = 250;
const REACH: usize = u16::MAX as usize;
/// Labels of more bytes are not written in this way: some rows have to be within reach.
const LONGEST_LABELS: usize = 4 << 10;
/// Where a text is worth a copy.
const LEAST_COPY: usize = 4;
/// The longest copy that an element can say.
const MOST_COPIED: usize = 64;
/// The reach of a short copy, and its longest.
const NEAR: usize = 1 << 11;
const MOST_NEAR: usize = 11;
/// Places that are looked at for each copy.
const CANDIDATES: usize = 16;
const SLOTS: usize = 1 << 13;

const VALUE: usize = 8;
/// A field of six digits of seven bits: any time from 1971 to 2109.
pub(crate) const TIME: usize = 7;
const TIMES: Range<i64> = 1 << 35..1 << 42;
/// What stands before a value, and the length of a row without its head and its labels.
const BEFORE_VALUE: [u8; 3] = [0x12, (1 + VALUE + TIME) as u8, 0x09];
const SAMPLE: usize = BEFORE_VALUE.len() + VALUE + TIME;
/// An element with its distance.
const COPY: usize = 3;
/// Elements are copied so many bytes at a time.
const AT_ONCE: usize = 16;

/// The series of a page, as a snappy block with blanks for the values.
pub struct Form {
    /// And one behind the last.
    rows: Box<[Row]>,
    /// Of all texts, and [`AT_ONCE`] bytes.
    elements: Box<[u8]>,
}

/// A row's text.
#[derive(Clone, Copy)]
struct Row {
    /// Where its elements are.
    at: u32,
    bytes: u16,
    /// From how many rows before its first and its last element copy.
    first_from: u8,
    last_from: u8,
}

/// A form that is being written.
struct Draft {
    /// The texts, without the values between them.
    text: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// The last place with such bytes, from 1; and for each place the one before.
    slots: Vec<u32>,
    before: Vec<u32>,
    elements: Vec<u8>,
}

// === impl Form ===

impl Form {
    /// Of series, by their labels as field 1 of the time series; None if they are not fit for it. `values` are an example:
    /// rows copy from such as have values of their kind.
    pub fn of<'a>(series: impl Iterator<Item = &'a [u8]>, values: &[f64]) -> Option<Form> {
        let mut draft = Draft::new();
        let mut rows = Vec::new();
        for labels in series {
            if labels.is_empty() || labels.len() > LONGEST_LABELS {
                return None;
            }
            let (at, bytes) = (u32::try_from(draft.elements.len()).ok()?, draft.begin(labels) as u16);
            let (first_from, last_from) = if rows.len() < Form::FIRST { (0, 0) } else { draft.row(values) };
            draft.end();
            rows.push(Row { at, bytes, first_from, last_from });
        }
        let at = u32::try_from(draft.elements.len()).ok()?;
        rows.push(Row { at, bytes: 0, first_from: 0, last_from: 0 });
        draft.elements.extend([0; AT_ONCE]);
        Some(Form { rows: rows.into(), elements: draft.elements.into() })
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.rows.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.elements.len() + size_of_val(&*self.rows)
    }

    /// Whether it has room for this time.
    pub fn takes(timestamp: i64) -> bool {
        TIMES.contains(&timestamp)
    }

    /// A part that begins with this row needs so many rows that are compressed as any text is. Nothing is copied from what
    /// stands before the second row of these.
    pub(crate) fn first_rows(row: usize) -> usize {
        if row == 0 { Form::FIRST } else { WINDOW + 1 }
    }

    /// A page's first two rows.
    const FIRST: usize = 2;

    /// Appends rows to a block that ends with the last value before them; how many bytes they are. `values` are those of
    /// all rows.
    pub(crate) fn fill(&self, rows: Range<usize>, values: &[f64], to: &mut Vec<u8>) -> usize {
        let texts = &self.rows[rows.start..=rows.end];
        let (Some(begin), Some(end)) = (texts.first(), texts.last()) else { return 0 };
        let start = to.len();
        to.resize(start + (end.at - begin.at) as usize + rows.len() * (1 + VALUE) + 2 * AT_ONCE, 0);
        let mut at = start;
        let mut bytes = 0;
        // Of the value before, those that go with the next copy. The first one's has been written.
        let mut high = 0;
        for (index, pair) in rows.clone().zip(texts.windows(2)) {
            let [row, next] = pair else { break };
            let length = (next.at - row.at) as usize;
            for offset in (0..length).step_by(AT_ONCE) {
                let from = (row.at as usize) + offset;
                to[at + offset..][..AT_ONCE].copy_from_slice(&self.elements[from..][..AT_ONCE]);
            }
            to[at] += high << 2;
            at += length;
            let value = written(values[index]);
            let low = same_low(value, written(values[index - usize::from(row.last_from)]));
            let low = low.min(room_in(to[at - COPY]));
            to[at - COPY] += low << 2;
            high = match index + 1 < rows.end {
                true => {
                    let high = same_high(value, written(values[index - usize::from(next.first_from)]));
                    high.min(VALUE as u8 - low).min(room_in(self.elements[next.at as usize]))
                }
                false => 0,
            };
            let own = VALUE - usize::from(low + high);
            // Written as a whole, and then cut.
            let room = &mut to[at..][..1 + VALUE];
            if value == 0 && own > 4 {
                // Once, and then from there.
                room[..4].copy_from_slice(&[0, 0, ((own - 1 - LEAST_COPY) << 2 | 1) as u8, 1]);
                at += 4;
            } else {
                room[0] = (own.wrapping_sub(1) << 2) as u8;
                room[1..].copy_from_slice(&(value >> (8 * (low & 7))).to_le_bytes());
                at += if own == 0 { 0 } else { 1 + own };
            }
            bytes += usize::from(row.bytes) + VALUE;
        }
        to.truncate(at);
        bytes
    }
}

/// A row as forms have it, without the time in its end.
pub(crate) fn push_row(to: &mut Vec<u8>, labels: &[u8], value: f64) {
    push_head(to, labels);
    to.extend_from_slice(&written(value).to_le_bytes());
}

fn push_head(to: &mut Vec<u8>, labels: &[u8]) {
    to.push(0x0a);
    push_varint(to, (labels.len() + SAMPLE) as u64);
    to.extend_from_slice(labels);
    to.extend_from_slice(&BEFORE_VALUE);
}

/// -0 is taken for zero, as Prometheus and Alloy do.
#[inline]
fn written(value: f64) -> u64 {
    if value == 0.0 { 0 } else { value.to_bits() }
}

/// How many bytes more a long copy can have.
#[inline]
fn room_in(tag: u8) -> u8 {
    MOST_COPIED as u8 - 1 - (tag >> 2)
}

/// How many bytes two values have in common at the low end, which is written first.
#[inline]
fn same_low(a: u64, b: u64) -> u8 {
    ((a ^ b).trailing_zeros() / 8) as u8
}

#[inline]
fn same_high(a: u64, b: u64) -> u8 {
    ((a ^ b).leading_zeros() / 8) as u8
}

// === impl Draft ===

impl Draft {
    fn new() -> Draft {
        Draft { text: Vec::new(), starts: Vec::new(), slots: vec![0; SLOTS], before: Vec::new(), elements: Vec::new() }
    }

    /// Another row: how long its text is.
    fn begin(&mut self, labels: &[u8]) -> usize {
        let start = self.text.len();
        self.starts.push(start);
        // Times are all the same, and nothing but a time is copied from one.
        self.text.extend([0; TIME]);
        push_head(&mut self.text, labels);
        self.text.len() - start
    }

    /// The last row can be copied from.
    fn end(&mut self) {
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

    /// Writes the elements of the last row: from how many rows before the first and the last one are.
    fn row(&mut self, values: &[f64]) -> (u8, u8) {
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
        self.push_copy(head, self.distance(start, self.starts[first], first), false);
        self.middle(start + head, start + length - tail);
        let from = self.starts[end] + self.text_of(end).len() - tail;
        self.push_copy(tail, self.distance(start + length - tail, from, end), false);
        ((last - first) as u8, (last - end) as u8)
    }

    /// Writes the elements of what stands between the first and the last.
    fn middle(&mut self, mut at: usize, end: usize) {
        let mut told = at;
        while at < end {
            let Some((length, from, row)) = self.longest(at, end) else {
                at += 1;
                continue;
            };
            self.push_literal(told..at);
            self.push_copy(length, self.distance(at, from, row), true);
            at += length;
            told = at;
        }
        self.push_literal(told..end);
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

    fn push_copy(&mut self, length: usize, distance: usize, may_be_short: bool) {
        let [low, high, ..] = distance.to_le_bytes();
        if may_be_short && (LEAST_COPY..=MOST_NEAR).contains(&length) && distance < NEAR {
            self.elements.extend([high << 5 | ((length - LEAST_COPY) as u8) << 2 | 1, low]);
        } else {
            self.elements.extend([((length - 1) as u8) << 2 | 2, low, high]);
        }
    }

    fn push_literal(&mut self, range: Range<usize>) {
        let Some(length) = range.len().checked_sub(1) else { return };
        match length {
            ..60 => self.elements.push((length as u8) << 2),
            60..0x100 => self.elements.extend([60 << 2, length as u8]),
            _ => {
                let [low, high, ..] = length.to_le_bytes();
                self.elements.extend([61 << 2, low, high]);
            }
        }
        self.elements.extend_from_slice(&self.text[range]);
    }
}

/// How many bytes two texts begin with in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes they end with in common.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[a.len() - length..], &b[b.len() - length..]);
    let words = a.as_rchunks::<8>().1.iter().rev().zip(b.as_rchunks::<8>().1.iter().rev());
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    let rest = length - same;
    same + a[..rest].iter().rev().zip(b[..rest].iter().rev()).take_while(|(a, b)| a == b).count()
}

fn slot(bytes: [u8; LEAST_COPY]) -> usize {
    (u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> (32 - SLOTS.trailing_zeros())) as usize
}
