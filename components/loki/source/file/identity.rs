//! What tells a file from others of its name after a restart.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::handle::{self, Handle};

/// Device and inode.
pub type Id = (u64, u64);

/// A file, as far as it can be known again: by its inode if it was renamed, by its first bytes if it was copied or compressed.
///
/// The inode alone does not do, as file systems give those of deleted files to new ones at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    id: Option<Id>,
    /// So many bytes it begins with have this checksum.
    start: (usize, u32),
    /// When it was last written to, in nanoseconds since 1970, as far as was seen.
    pub modified: u64,
}

/// The files that had a name, as far as a restart wants to know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The one that the position is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Identity>,
    /// Those before it that were not delivered whole, and up to where they were; the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<(Identity, u64)>,
    /// The last ones that were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<Identity>,
}

/// Files that are done are known at most so many at a time: they are told from new ones by their age already.
const MAX_DONE: usize = 32;

/// Files that were written to so long before the current one are told from new ones by that.
const LATE: u64 = 5_000_000_000;

/// A program that compresses a file keeps its time, some of them in whole seconds.
const COARSE: u64 = 1_000_000_000;

// === impl Identity ===

impl Identity {
    /// `start` is how many first bytes are known, and their checksum.
    pub fn new(id: Option<Id>, start: (usize, u32), modified: SystemTime) -> Identity {
        let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let modified = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
        Identity { id, start, modified }
    }

    /// There was nothing in it by which to know it.
    pub fn was_empty(&self) -> bool {
        self.start.0 == 0
    }

    /// Whether it may be this inode.
    pub fn has_id(&self, id: Option<Id>) -> bool {
        self.id.is_some() && self.id == id
    }

    /// Whether it is this very file.
    pub fn is(&self, other: &Handle) -> bool {
        self.has_id(other.identity().id) && self.begins(other)
    }

    /// Whether it is the text of this file, which may be a copy.
    pub fn is_text_of(&self, other: &Handle) -> bool {
        !self.was_empty() && self.begins(other)
    }

    fn begins(&self, other: &Handle) -> bool {
        let (length, sum) = self.start;
        other.begins_with(length, sum)
    }

    /// Whether the other was written to behind it, as far as the other's time can be believed.
    pub fn is_before(&self, other: &Handle) -> bool {
        let time = if other.is_compressed() { self.modified / COARSE * COARSE } else { self.modified };
        other.identity().modified >= time
    }
}

// === impl Known ===

impl Known {
    /// The file that is written behind whatever is known: whoever was written to earlier is no new file.
    pub fn latest(&self) -> Option<&Identity> {
        let behind = self.behind.iter().map(|(behind, _)| behind);
        self.now.as_ref().or_else(|| behind.chain(&self.done).max_by_key(|file| file.modified))
    }

    /// A file of which nothing was read yet, and which was not opened: it is looked for as an empty one is.
    pub fn seen(metadata: &Metadata) -> Known {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Known { now: Some(Identity::new(handle::id(metadata), (0, 0), modified)), ..Known::default() }
    }

    /// Whether the position is of this inode.
    pub fn is_now(&self, file: &Handle) -> bool {
        self.now.as_ref().is_some_and(|now| now.has_id(file.identity().id))
    }

    /// Whether this file was delivered whole.
    pub fn is_done(&self, file: &Handle) -> bool {
        self.done.iter().any(|done| done.is(file) || (file.is_compressed() && done.is_text_of(file)))
    }

    /// A file was delivered whole.
    pub fn add_done(&mut self, file: Identity) {
        // An inode alone would tell of the file that has it next.
        if file.was_empty() {
            return;
        }
        let newest = file.modified.max(self.now.as_ref().map_or(0, |now| now.modified));
        self.done.retain(|done| done.modified.saturating_add(LATE) >= newest);
        if self.done.len() >= MAX_DONE {
            self.done.remove(0);
        }
        self.done.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_empty_file_nothing_is_kept_that_would_tell_of_the_next_with_its_inode() {
        let mut known = Known::default();
        known.add_done(Identity::new(Some((1, 2)), (0, 0), SystemTime::UNIX_EPOCH));
        assert_eq!(known, Known::default());
        known.add_done(Identity::new(Some((1, 2)), (4, 7), SystemTime::UNIX_EPOCH));
        assert_eq!(known.done.len(), 1);
    }
}
