//! A payload cut into pieces of at most so many items, each a payload of its own.
//!
//! What lies between two resources is cut without copying. A resource that has to be cut is written anew, piece by piece:
//! its own fields (the resource, the scope, a metric's name and unit, the schema URLs, whatever is unknown) go in front of
//! each piece. So grouping is kept, and a metric is cut between its points.

use bytes::Bytes;

use crate::Signal;
use crate::walk::{Level, count_below};
use crate::wire::{Fields, Value, put_bytes};

/// Pieces may repeat headers up to this many times the size of what is cut; past it the group stays whole, so that a
/// payload with a huge resource and tiny records cannot blow up memory.
const MAX_HEADER_AMPLIFICATION: usize = 4;

/// A part of a payload, itself a payload when its segments are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, in order; joining them is writing them one after another.
    pub segments: Vec<Bytes>,
    /// How many items they hold.
    pub items: usize,
}

impl Piece {
    /// Its bytes as one buffer; copies only when there are several segments.
    #[must_use]
    pub fn join(mut self) -> Bytes {
        if self.segments.len() == 1 {
            return self.segments.swap_remove(0);
        }
        self.segments.concat().into()
    }

    /// Bytes in all segments.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }
}

/// Cuts `payload` into pieces: the first of at most `first` items, the others of at most `max` (both at least 1).
#[must_use]
pub fn split(signal: Signal, payload: &Bytes, first: usize, max: usize) -> Vec<Piece> {
    let (first, max) = (first.max(1), max.max(1));
    let mut done = Vec::new();
    let mut open = Piece::default();
    let mut budget = first;
    // The untouched stretch of the payload that belongs to the open piece and was not sliced yet.
    let mut run = 0..0;
    for field in Fields::of(payload) {
        let Some(below) = Level::Payload.below(signal, field.number) else {
            run.end = field.end;
            continue;
        };
        let inner = field.value.bytes();
        let items = count_below(signal, below, inner);
        if open.items + items <= budget {
            open.items += items;
            run.end = field.end;
            continue;
        }
        push_run(&mut open, payload, &mut run);
        if open.items == budget {
            done.push(std::mem::take(&mut open));
            budget = max;
        }
        for (i, (body, items)) in cut(signal, below, inner, budget - open.items, max).into_iter().enumerate() {
            if i > 0 {
                done.push(std::mem::take(&mut open));
                budget = max;
            }
            let mut whole = Vec::with_capacity(body.len() + 8);
            put_bytes(&mut whole, field.number, &body);
            open.segments.push(whole.into());
            open.items += items;
        }
        run = field.end..field.end;
    }
    push_run(&mut open, payload, &mut run);
    if !open.segments.is_empty() {
        done.push(open);
    }
    done
}

fn push_run(open: &mut Piece, payload: &Bytes, run: &mut std::ops::Range<usize>) {
    if run.start < run.end {
        open.segments.push(payload.slice(run.clone()));
    }
    run.start = run.end;
}

/// The bodies of one group, cut: the first of at most `first` items, the others of at most `max`.
fn cut(signal: Signal, level: Level, group: &[u8], first: usize, max: usize) -> Vec<(Vec<u8>, usize)> {
    let mut header = Vec::new();
    let mut items = 0;
    for field in Fields::of(group) {
        match (level.below(signal, field.number), field.value) {
            (Some(Level::Item), _) => items += 1,
            (Some(below), Value::Bytes(inner)) => items += count_below(signal, below, inner),
            _ => header.extend_from_slice(&group[field.start..field.end]),
        }
    }
    if header.len().saturating_mul(items / max) > MAX_HEADER_AMPLIFICATION * group.len() {
        return vec![(group.to_vec(), items)];
    }
    let mut done = Vec::new();
    let mut open = (header.clone(), 0);
    let mut budget = first;
    for field in Fields::of(group) {
        let Some(below) = level.below(signal, field.number) else { continue };
        let inner = field.value.bytes();
        let items = if below == Level::Item { 1 } else { count_below(signal, below, inner) };
        if open.1 + items > budget && open.1 == budget {
            done.push(std::mem::replace(&mut open, (header.clone(), 0)));
            budget = max;
        }
        if open.1 + items <= budget {
            open.0.extend_from_slice(&group[field.start..field.end]);
            open.1 += items;
            continue;
        }
        for (i, (body, items)) in cut(signal, below, inner, budget - open.1, max).into_iter().enumerate() {
            if i > 0 {
                done.push(std::mem::replace(&mut open, (header.clone(), 0)));
                budget = max;
            }
            put_bytes(&mut open.0, field.number, &body);
            open.1 += items;
        }
        // A group that stayed whole may have gone past the budget.
        budget = budget.max(open.1);
    }
    done.push(open);
    done
}
