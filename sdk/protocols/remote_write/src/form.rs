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
//! say of where they stand, so a request may begin with any row. What would then be copied from before the request is written
//! out, or copied from the row before: a few rows in the first 250.

mod draft;
mod element;

use std::ops::Range;

use base_stdx::protobuf::push_varint;

use self::draft::Draft;
use self::element::{COPY, Element, LEAST_COPY, MOST_COPIED, common, push_copy, push_literal};

/// A copy is from one of so many rows before, and reaches back so many bytes. With 32 rows, requests of hosts were a tenth larger
/// than what is compressed as any text is; now they are a little smaller.
const WINDOW: usize = 250;
const REACH: usize = u16::MAX as usize;
/// Labels of more bytes are not written in this way: some rows have to be within reach.
const LONGEST_LABELS: usize = 4 << 10;

const VALUE: usize = 8;
/// A field of six digits of seven bits: any time from 1971 to 2109.
pub(crate) const TIME: usize = 7;
const TIMES: Range<i64> = 1 << 35..1 << 42;
/// What stands before a value, and the length of a row without its head and its labels.
const BEFORE_VALUE: [u8; 3] = [0x12, (1 + VALUE + TIME) as u8, 0x09];
const SAMPLE: usize = BEFORE_VALUE.len() + VALUE + TIME;
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
    back: Back,
}

/// From how many rows before elements copy.
#[derive(Clone, Copy, Default)]
struct Back {
    first: u8,
    last: u8,
    /// The most of any.
    farthest: u8,
}

/// The rows of a request that are being written.
pub(crate) struct Rows<'a, L> {
    pub rows: Range<usize>,
    /// The labels of a row, as field 1 of the time series.
    pub labels: L,
    /// Of all rows of the form.
    pub values: &'a [f64],
    /// The field that ends each row.
    pub time: &'a [u8],
}

/// A row that copies from more than what is there.
struct Torn<'a> {
    /// All of the row before it, as if it had a time before it, and of it; nothing, if it is the first.
    before: &'a [u8],
    row: &'a [u8],
    /// How many bytes before it can be copied from.
    there: usize,
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
            let back = if rows.len() < Form::UNMADE { Back::default() } else { draft.row(values) };
            draft.end();
            rows.push(Row { at, bytes, back });
        }
        let at = u32::try_from(draft.elements.len()).ok()?;
        rows.push(Row { at, bytes: 0, back: Back::default() });
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

    /// Appends rows to a block; how many bytes they are. `room` is empty, and stays so.
    pub(crate) fn write<'a>(
        &self,
        rows: &Rows<'_, impl Fn(usize) -> &'a [u8]>,
        room: &mut Vec<u8>,
        to: &mut Vec<u8>,
    ) -> usize {
        let Rows { rows: Range { start, end }, values, time, .. } = *rows;
        let (mut next, mut bytes) = (start, 0);
        while next < end {
            let whole = self.first_whole(next, start, end);
            for row in next..whole {
                if row > start {
                    room.extend_from_slice(time);
                    rows.push_text(row - 1, room);
                    room.extend_from_slice(time);
                }
                let before = room.len().saturating_sub(time.len());
                rows.push_text(row, room);
                let (before, text) = room.split_at(before);
                self.mend(row, Torn { before, row: text, there: bytes }, to);
                bytes += text.len();
                room.clear();
            }
            next = self.first_torn(whole, start, end);
            bytes += self.fill(whole..next, values, to);
        }
        push_literal(to, time);
        bytes + time.len()
    }

    /// In a request that begins and ends with these rows, the first row from `row` on of which all can be copied that is.
    fn first_whole(&self, row: usize, start: usize, end: usize) -> usize {
        (row..end).find(|row| self.is_whole(*row, start)).unwrap_or(end)
    }

    /// And the first one of which not all can.
    fn first_torn(&self, row: usize, start: usize, end: usize) -> usize {
        let last = if start == 0 { row } else { end.min(start + WINDOW + 1) };
        (row..last).find(|row| !self.is_whole(*row, start)).unwrap_or(end)
    }

    /// The first one has no time before it, so what copies from it may be torn, unless its form begins with it, too.
    #[inline]
    fn is_whole(&self, row: usize, start: usize) -> bool {
        match start {
            0 => row >= Form::UNMADE,
            _ => row - start > usize::from(self.rows[row].back.farthest),
        }
    }

    /// A page's first rows, which are written as they are: nothing is there that they could be copied from.
    const UNMADE: usize = 2;

    /// Appends a row that is torn.
    fn mend(&self, row: usize, text: Torn<'_>, to: &mut Vec<u8>) {
        let mut elements = &self.elements[self.rows[row].at as usize..self.rows[row + 1].at as usize];
        let (mut at, mut told) = (0, 0);
        while let Some(element) = Element::first_of(elements) {
            if element.distance.is_some_and(|distance| distance <= text.there + at) {
                text.push(told..at, to);
                to.extend_from_slice(&elements[..element.length]);
                told = at + element.of;
            }
            at += element.of;
            elements = &elements[element.length..];
        }
        text.push(told..text.row.len(), to);
    }

    /// Appends rows to a block that ends with the last value before them; how many bytes they are. `values` are those of
    /// all rows.
    fn fill(&self, rows: Range<usize>, values: &[f64], to: &mut Vec<u8>) -> usize {
        if rows.is_empty() {
            return 0;
        }
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
            let low = same_low(value, written(values[index - usize::from(row.back.last)]));
            let low = low.min(room_in(to[at - COPY]));
            to[at - COPY] += low << 2;
            high = match index + 1 < rows.end {
                true => {
                    let high = same_high(value, written(values[index - usize::from(next.back.first)]));
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

// === impl Rows ===

impl<'a, L: Fn(usize) -> &'a [u8]> Rows<'_, L> {
    /// A row's text and its value, without the time before it.
    fn push_text(&self, row: usize, to: &mut Vec<u8>) {
        push_head(to, (self.labels)(row));
        to.extend_from_slice(&written(self.values[row]).to_le_bytes());
    }
}

// === impl Torn ===

impl Torn<'_> {
    /// Appends some of the row, as copies of the row before where the two begin or end alike.
    fn push(&self, part: Range<usize>, to: &mut Vec<u8>) {
        let (mut at, mut told) = (part.start, part.start);
        while let Some(begin) = self.row[at..part.end].first_chunk::<LEAST_COPY>() {
            let here = &self.row[at..part.end.min(at + MOST_COPIED)];
            let alike = |distance: usize| {
                let from = self.before.get((self.before.len() + at).checked_sub(distance)?..)?;
                let is_there = distance <= self.there + at;
                (is_there && from.first_chunk() == Some(begin)).then(|| (common(from, here), distance))
            };
            let Some((same, distance)) = alike(self.before.len()).max(alike(self.row.len())) else {
                at += 1;
                continue;
            };
            push_literal(to, &self.row[told..at]);
            push_copy(to, same, distance, true);
            at += same;
            told = at;
        }
        push_literal(to, &self.row[told..part.end]);
    }
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
