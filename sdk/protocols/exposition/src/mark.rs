//! Knowing a series again without keeping its text.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::quality::RandomState;

/// Stands for a series as it is written in a page: two that are written differently have different ones, but for one case
/// in 2^64, which nobody can bring about who does not know this process' seed. There is one of these for each line of each
/// target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// In halves: it need not begin at a multiple of eight.
    hash: [u32; 2],
    length: u32,
}

/// Makes marks.
#[derive(Clone, Debug)]
pub(crate) struct Marker(&'static RandomState);

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl Mark {
    /// The mark of a series.
    pub fn of(series: &[u8]) -> Mark {
        Marker::new().mark(series)
    }

    /// How many bytes the series has, written.
    pub(crate) fn length(self) -> usize {
        self.length as usize
    }
}

impl Marker {
    pub(crate) fn new() -> Marker {
        Marker(&SEED)
    }

    pub(crate) fn mark(&self, text: &[u8]) -> Mark {
        let hash = self.0.hash_one(text);
        Mark { hash: [hash as u32, (hash >> 32) as u32], length: u32::try_from(text.len()).unwrap_or(u32::MAX) }
    }
}
