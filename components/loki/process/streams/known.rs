//! What became of lines that had the same values: found again by comparing a few words with those of lines before, without
//! hashing texts, writing down changes or building a label set.

use super::{StreamId, Streams};
use crate::process::work::Value;

/// How many lines that differ are remembered: two for each of so many hashes.
const HASHES: usize = 128;
const WAYS: usize = 2;

/// Longer texts are no labels that come again and again, and would be much to remember.
const MAX_TEXT: usize = 256;

/// Remembers which label set a stage made for a stream and the values it looked at.
pub struct Known {
    /// How many values there are.
    width: usize,
    /// Nothing is asked for before the first line has come.
    answers: Vec<Answer>,
    /// Those of the answers, `width` for each.
    prints: Vec<Print>,
    /// What is asked for, and its hash.
    from: StreamId,
    asked: Vec<Print>,
    middles: Vec<u8>,
    too_long: bool,
    hash: u64,
    /// Of the numbers in the answers.
    epoch: u64,
}

#[derive(Clone, Default)]
struct Answer {
    /// The set before and the set after.
    sets: Option<(StreamId, StreamId)>,
    /// What prints do not hold of long texts.
    middles: Box<[u8]>,
}

/// A value: two of them are equal if their prints are, and of texts of more than sixteen bytes what is between the ends.
#[derive(Clone, Copy, Default, PartialEq)]
struct Print {
    /// The kind, and the length of a text.
    kind: u64,
    low: u64,
    high: u64,
}

// === impl Known ===

impl Known {
    /// For so many values of each line.
    pub fn new(width: usize) -> Known {
        Known {
            width,
            answers: Vec::new(),
            prints: Vec::new(),
            from: StreamId(0),
            asked: Vec::with_capacity(width),
            middles: Vec::new(),
            too_long: false,
            hash: 0,
            epoch: 0,
        }
    }

    /// To be called before the lines of a batch.
    pub fn prepare(&mut self, streams: &Streams) {
        if self.answers.is_empty() || self.epoch != streams.epoch {
            self.epoch = streams.epoch;
            self.answers.clear();
            self.answers.resize(HASHES * WAYS, Answer::default());
            self.prints.resize(HASHES * WAYS * self.width, Print::default());
        }
    }

    /// Asks for a line with these labels.
    #[inline]
    pub fn begin(&mut self, from: StreamId) {
        self.from = from;
        self.asked.clear();
        self.middles.clear();
        self.too_long = false;
        self.hash = u64::from(from.0);
    }

    /// The next value of the line, and its text if it is one.
    #[inline]
    pub fn value(&mut self, value: Value, text: &[u8]) {
        let print = match value {
            // Neither can be a label.
            Value::Absent | Value::Null => Print::default(),
            Value::Label(stream) => Print { kind: 1, low: u64::from(stream.0), high: 0 },
            Value::Bool(value) => Print { kind: 2, low: u64::from(value), high: 0 },
            Value::Number(value) => Print { kind: 3, low: value.to_bits(), high: 0 },
            Value::Text(_) => {
                if text.len() > MAX_TEXT {
                    self.too_long = true;
                } else if text.len() > 2 * END {
                    self.middles.extend_from_slice(&text[END..text.len() - END]);
                }
                Print::of_text(text)
            }
        };
        // Numbers and texts differ anywhere in their words; the multiplication takes it to the top.
        let words = print.kind ^ print.low.rotate_left(7) ^ print.high.rotate_left(29);
        self.hash = (self.hash.rotate_left(23) ^ words).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.asked.push(print);
    }

    /// The label set that a line with the same labels and values got.
    #[inline]
    pub fn answer(&self) -> Option<StreamId> {
        if self.too_long {
            return None;
        }
        let first = self.place();
        (first..first + WAYS).find_map(|at| match self.answers.get(at)? {
            Answer { sets: Some((from, to)), middles } if *from == self.from => {
                let prints = &self.prints[at * self.width..][..self.width];
                (*prints == *self.asked && **middles == *self.middles).then_some(*to)
            }
            _ => None,
        })
    }

    /// This is the answer to what was asked.
    pub fn learn(&mut self, to: StreamId) {
        if self.too_long {
            return;
        }
        let first = self.place();
        let width = self.width;
        // The one that was learned last stays.
        self.answers[first..first + WAYS].rotate_right(1);
        self.prints.copy_within(first * width..(first + WAYS - 1) * width, (first + 1) * width);
        self.answers[first] = Answer { sets: Some((self.from, to)), middles: self.middles.as_slice().into() };
        self.prints[first * width..][..width].copy_from_slice(&self.asked);
    }

    /// Of the first of the answers that may be the one.
    fn place(&self) -> usize {
        (self.hash >> (u64::BITS - HASHES.ilog2())) as usize * WAYS
    }
}

// === impl Print ===

/// So many bytes of each end of a text are in its print.
const END: usize = size_of::<u64>();

impl Print {
    #[inline]
    fn of_text(text: &[u8]) -> Print {
        let (low, high) = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (text.first_chunk(), text.last_chunk()) {
                (Some(first), Some(last)) => (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()),
                _ => (text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
            },
        };
        Print { kind: 4 | (text.len() as u64) << 3, low, high }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sdk_labels::Labels;

    use super::*;
    use crate::process::work::Span;

    /// Values that are easily taken for one another.
    fn value() -> impl Strategy<Value = (Value, Vec<u8>)> {
        let text = prop_oneof!["[ab]{0,3}", "[ab]{7,9}", "a{5,20}b?", "a{8}[ab]{1,3}a{8}", "a{255,258}"];
        let other = prop_oneof![
            Just(Value::Absent),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (0..4u32).prop_map(|stream| Value::Label(StreamId(stream))),
            prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(97.0)].prop_map(Value::Number),
        ];
        prop_oneof![
            3 => text.prop_map(|text| (Value::Text(Span::EMPTY), text.into_bytes())),
            2 => other.prop_map(|value| (value, Vec::new())),
        ]
    }

    proptest! {
        #[test]
        fn answers_are_those_of_the_same_line(lines in prop::collection::vec((0..3u32, value(), value()), 1..600)) {
            let mut known = Known::new(2);
            known.prepare(&Streams::default());
            let mut seen: Vec<(u32, Vec<String>)> = Vec::new();
            for (stream, first, second) in lines {
                known.begin(StreamId(stream));
                let mut key = Vec::new();
                let text_lengths = [first.1.len(), second.1.len()];
                for (value, text) in [first, second] {
                    known.value(value, &text);
                    key.push(match value {
                        Value::Absent | Value::Null => String::new(),
                        Value::Number(number) => format!("{}", number.to_bits()),
                        value => format!("{value:?} {text:?}"),
                    });
                }
                let line = (stream, key);
                match known.answer() {
                    Some(StreamId(to)) => prop_assert_eq!(&seen[to as usize], &line),
                    None => {
                        // A text that is too long to be remembered has no answer.
                        let is_long = text_lengths.iter().any(|length| *length > MAX_TEXT);
                        known.learn(StreamId(seen.len() as u32));
                        prop_assert_eq!(known.answer(), (!is_long).then_some(StreamId(seen.len() as u32)));
                        seen.push(line);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_that_were_forgotten_are_no_answers() {
        let mut streams = Streams::default();
        let mut known = Known::new(0);
        known.prepare(&streams);
        let id = streams.id(&Labels::from_pairs([("a", "1")]));
        known.begin(id);
        known.learn(id);
        known.prepare(&streams);
        assert_eq!(known.answer(), Some(id));
        streams.forget();
        known.prepare(&streams);
        assert_eq!(known.answer(), None);
    }
}
