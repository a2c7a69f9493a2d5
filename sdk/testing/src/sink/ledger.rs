//! Every numbered line that arrived: how often, in which order, and when.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// What is known of the lines that arrived.
#[derive(Default)]
pub struct Ledger {
    lines: HashMap<u64, Arrival>,
    /// Of each stream, by its labels: the highest number that has arrived.
    newest: HashMap<Vec<u8>, u64>,
    reordered: u64,
    strange: u64,
    /// Numbers that were refused for good.
    refused: HashSet<u64>,
    kills: Vec<Instant>,
    oldest_repeat: Duration,
}

struct Arrival {
    copies: u64,
    first: Instant,
}

/// What became of the lines that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that never arrived, though nobody refused them.
    pub lost: u64,
    /// The first of them.
    pub first_lost: Option<u64>,
    /// Lines that came too often: a line that came three times counts twice.
    pub repeated: u64,
    /// Lines that came for the first time when a later one of their stream had come already.
    pub reordered: u64,
    /// Lines that the backend refused for good, and that never arrived.
    pub refused: u64,
    /// Lines that nobody wrote so.
    pub strange: u64,
    /// How long a line had been there that came again: until the first kill behind its arrival ([`Ledger::kill`]), or, where
    /// nothing was killed at all, until it came again.
    pub oldest_repeat: Duration,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn arrived(&mut self, stream: &[u8], number: Option<u64>) {
        let Some(number) = number else {
            self.strange += 1;
            return;
        };
        let now = Instant::now();
        if let Some(known) = self.lines.get_mut(&number) {
            known.copies += 1;
            let earlier = self.kills.partition_point(|kill| *kill < known.first);
            let until = match self.kills.get(earlier) {
                Some(kill) => *kill,
                // It was on its way twice when that one came.
                None if earlier > 0 => known.first,
                None => now,
            };
            self.oldest_repeat = self.oldest_repeat.max(until - known.first);
            return;
        }
        self.lines.insert(number, Arrival { copies: 1, first: now });
        match self.newest.get_mut(stream) {
            Some(newest) if *newest > number => self.reordered += 1,
            Some(newest) => *newest = number,
            None => drop(self.newest.insert(stream.to_vec(), number)),
        }
    }

    pub(super) fn refused(&mut self, number: u64) {
        self.refused.insert(number);
    }

    /// What sends here is killed now.
    pub fn kill(&mut self) {
        self.kills.push(Instant::now());
    }

    /// Of the lines with these numbers, and of all that arrived.
    pub fn verdict(&self, written: impl Iterator<Item = u64>) -> Verdict {
        let mut verdict = Verdict {
            reordered: self.reordered,
            strange: self.strange,
            oldest_repeat: self.oldest_repeat,
            ..Verdict::default()
        };
        for number in written {
            match self.lines.get(&number) {
                None if self.refused.contains(&number) => verdict.refused += 1,
                None => {
                    verdict.lost += 1;
                    verdict.first_lost = Some(verdict.first_lost.map_or(number, |first| first.min(number)));
                }
                Some(arrival) => verdict.repeated += arrival.copies - 1,
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_repeated_reordered_and_refused_are_told_apart() {
        let mut ledger = Ledger::default();
        for number in [0, 1, 3, 2, 3, 3, 7] {
            ledger.arrived(b"{a}", Some(number));
        }
        ledger.arrived(b"{b}", Some(5));
        ledger.arrived(b"{b}", None);
        ledger.refused(6);
        let verdict = ledger.verdict(0..8);
        let expected = Verdict { lost: 1, repeated: 2, reordered: 1, refused: 1, strange: 1, ..verdict };
        assert_eq!(verdict, expected);
    }
}
