//! Label sets by number: what a line in a batch carries instead of its labels.
//!
//! A stage that changes labels asks for "that set with these changes" and gets a number back; the answer is remembered,
//! so a million lines that get the same label cost one label set, not a million.

mod known;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use sdk_labels::Labels;

pub use known::Known;

/// How many label sets and changes are remembered before starting over. Labels made from high-cardinality values would
/// otherwise grow this without end.
const MAX_REMEMBERED: usize = 1 << 16;

/// The same for their bytes: a whole line may become the value of a label.
const MAX_REMEMBERED_BYTES: usize = 16 << 20;

/// A label set, by its number in [`Streams`]. Good within one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(u32);

/// The label sets that a pipeline has seen, and the changes it has made to them.
#[derive(Default)]
pub struct Streams {
    sets: Vec<Labels>,
    ids: HashMap<Labels, StreamId, RandomState>,
    /// The set before and what was changed, as bytes → the set after.
    changes: HashMap<Box<[u8]>, StreamId, RandomState>,
    /// Of the texts in both.
    bytes: usize,
    /// How often everything was forgotten: numbers of another epoch stand for nothing.
    epoch: u64,
}

/// Changes to a label set, collected for [`Streams::changed`]. Keep it and [`Changes::clear`] it: its room is used again.
#[derive(Default)]
pub struct Changes {
    /// Length and text of each name and value. Lengths make it unambiguous whatever the values hold.
    key: Vec<u8>,
}

/// Stands for the length of a value that is not there: the label is removed.
const REMOVED: u32 = u32::MAX;

// === impl Changes ===

impl Changes {
    /// For changes to this set.
    pub fn begin(&mut self, from: StreamId) {
        self.key.clear();
        self.key.extend_from_slice(&from.0.to_le_bytes());
    }

    /// Sets a label. An empty value is a value (spec §9.13). Of two changes to one name the later counts.
    pub fn set(&mut self, name: &str, value: &str) {
        self.text(name);
        self.text(value);
    }

    /// Removes a label, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.text(name);
        self.key.extend_from_slice(&REMOVED.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        // Texts come from lines, and lines are shorter than 4 GiB.
        self.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.key.extend_from_slice(text.as_bytes());
    }

    fn read(&self) -> Vec<(&str, Option<&str>)> {
        let mut rest = &self.key[4..];
        let mut changes = Vec::new();
        let take = |rest: &mut &[u8]| -> Option<usize> {
            let (length, after) = rest.split_first_chunk::<4>()?;
            *rest = after;
            Some(u32::from_le_bytes(*length) as usize)
        };
        while let Some(length) = take(&mut rest) {
            let (name, after) = rest.split_at(length);
            rest = after;
            let value = match take(&mut rest) {
                Some(length) if length != REMOVED as usize => {
                    let (value, after) = rest.split_at(length);
                    rest = after;
                    std::str::from_utf8(value).ok()
                }
                _ => None,
            };
            changes.push((std::str::from_utf8(name).unwrap_or_default(), value));
        }
        changes
    }
}

// === impl Streams ===

impl Streams {
    /// To be called between batches: forgets everything when there is too much of it.
    pub fn tidy(&mut self) {
        let remembered = self.sets.len().max(self.changes.len());
        if remembered > MAX_REMEMBERED || self.bytes > MAX_REMEMBERED_BYTES {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.sets.clear();
        self.ids.clear();
        self.changes.clear();
        self.bytes = 0;
        self.epoch += 1;
    }

    /// The number of a label set.
    pub fn id(&mut self, labels: &Labels) -> StreamId {
        if let Some(id) = self.ids.get(labels) {
            return *id;
        }
        let id = StreamId(u32::try_from(self.sets.len()).expect("tidied long before 4 billion sets"));
        self.bytes += labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.sets.push(labels.clone());
        self.ids.insert(labels.clone(), id);
        id
    }

    /// The label set behind a number.
    pub fn labels(&self, id: StreamId) -> &Labels {
        &self.sets[id.0 as usize]
    }

    /// How many numbers have been given out; every id is below.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// A number as an index for tables beside this one.
    pub fn index(id: StreamId) -> usize {
        id.0 as usize
    }

    /// The set that results from the changes to the set that they began with.
    pub fn changed(&mut self, changes: &Changes) -> StreamId {
        let (from, _) = changes.key.split_first_chunk::<4>().expect("changes begin with a set");
        let from = StreamId(u32::from_le_bytes(*from));
        if changes.key.len() == 4 {
            return from;
        }
        if let Some(id) = self.changes.get(changes.key.as_slice()) {
            return *id;
        }
        let labels = apply(self.labels(from), &changes.read());
        let id = self.id(&labels);
        self.bytes += changes.key.len();
        self.changes.insert(changes.key.as_slice().into(), id);
        id
    }
}

fn apply(labels: &Labels, changes: &[(&str, Option<&str>)]) -> Labels {
    let untouched = labels.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    // Of two changes to one name the later counts: `from_pairs` keeps the last of equal names, and a removal is a
    // change without a pair.
    let mut pairs: Vec<(&str, &str)> = untouched.collect();
    for (at, (name, value)) in changes.iter().enumerate() {
        let overruled = changes[at + 1..].iter().any(|(later, _)| later == name);
        if let (false, Some(value)) = (overruled, value) {
            pairs.push((name, value));
        }
    }
    Labels::from_pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_never_come_again_are_forgotten_by_their_number_and_by_their_bytes() {
        for value_bytes in [1, 1 << 20] {
            let mut streams = Streams::default();
            let mut changes = Changes::default();
            for number in 0..1_000_000 {
                // A batch for each.
                streams.tidy();
                assert!(streams.len() <= MAX_REMEMBERED + 2 && streams.bytes < 2 * MAX_REMEMBERED_BYTES);
                let base = streams.id(&Labels::from_pairs([("app", "demo")]));
                changes.begin(base);
                changes.set("id", &format!("{number}{}", "x".repeat(value_bytes)));
                streams.changed(&changes);
                if streams.epoch > 2 {
                    break;
                }
            }
            assert!(streams.epoch > 2, "values of {value_bytes} bytes");
        }
    }

    #[test]
    fn the_same_change_gives_the_same_set_and_the_later_of_two_changes_counts() {
        let mut streams = Streams::default();
        let base = streams.id(&Labels::from_pairs([("app", "demo"), ("stream", "old")]));
        let mut changes = Changes::default();
        changes.begin(base);
        changes.set("stream", "stdout");
        let first = streams.changed(&changes);
        assert_eq!(first, streams.changed(&changes));
        assert_eq!(streams.labels(first).to_string(), r#"{app="demo", stream="stdout"}"#);
        changes.begin(first);
        changes.set("stream", "old");
        assert_eq!(base, streams.changed(&changes));
        changes.begin(base);
        changes.set("app", "x");
        changes.remove("app");
        changes.set("stream", "");
        let other = streams.changed(&changes);
        assert_eq!(streams.labels(other).to_string(), r#"{stream=""}"#);
        changes.begin(base);
        assert_eq!(base, streams.changed(&changes));
    }
}
