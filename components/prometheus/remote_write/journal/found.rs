//! What an earlier run has left.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use base_sys::fs;
use sdk_protocols_remote_write::{Part, Version, join};

use super::super::meta::Counts;
use super::entry::{Entry, PartOf, entries};

/// A file is not read beyond this; ours are far smaller.
const MOST_FILE_BYTES: usize = 256 << 20;
/// And no request is larger, decompressed.
const MOST_REQUEST_BYTES: usize = 64 << 20;

/// A request that was not settled.
pub(crate) struct Found {
    pub(crate) draft: u64,
    pub(crate) first_file: u64,
    pub(crate) version: Version,
    pub(crate) items: u32,
    pub(crate) counts: Counts,
    pub(crate) highest_timestamp: i64,
    /// Not before this, in milliseconds since 1970: when its last file was written to for the last time.
    pub(crate) taken_at_ms: i64,
    /// As it is sent.
    pub(crate) body: Box<[u8]>,
}

/// The requests that these files hold, in the order in which they were begun: that is the order of each series. Nothing here
/// fails the start.
pub(super) fn read(name: &str, files: &[(u64, PathBuf)]) -> Vec<Found> {
    let mut contents = Vec::new();
    for (id, path) in files {
        match fs::read_bounded(path, MOST_FILE_BYTES) {
            Ok(bytes) => contents.push((*id, modified_ms(path), bytes)),
            Err(error) => {
                tracing::error!(endpoint = name, path = %path.display(), %error, "cannot read what was taken before the end");
            }
        }
    }
    let mut done = HashSet::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut drafts: Vec<(u64, u64, i64, Vec<PartOf<'_>>)> = Vec::new();
    let mut damaged_bytes = 0;
    for (id, modified, bytes) in &contents {
        entries(
            bytes,
            |bytes| damaged_bytes += bytes,
            |entry| match entry {
                Entry::Done(draft) => drop(done.insert(draft)),
                Entry::Part(draft, part) => {
                    let place = *places.entry(draft).or_insert_with(|| {
                        drafts.push((draft, *id, *modified, Vec::new()));
                        drafts.len() - 1
                    });
                    drafts[place].2 = *modified;
                    drafts[place].3.push(part);
                }
            },
        );
    }
    if damaged_bytes > 0 {
        tracing::warn!(endpoint = name, damaged_bytes, "some of what was taken before the end cannot be read");
    }
    drafts.retain(|(draft, ..)| !done.contains(draft));
    let found = drafts.into_iter().filter_map(|(draft, first_file, taken_at_ms, parts)| {
        Some(Found { taken_at_ms, ..found(draft, first_file, parts)? })
    });
    found.collect()
}

fn modified_ms(path: &Path) -> i64 {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(i64::MAX)
}

fn found(draft: u64, first_file: u64, mut parts: Vec<PartOf<'_>>) -> Option<Found> {
    let version = parts.first()?.version;
    if version == Version::V2 {
        // What follows a gap names symbols that were in it.
        let whole = parts.iter().zip(0..).take_while(|(part, index)| part.index == *index).count();
        parts.truncate(whole);
    }
    let mut sum = Found {
        draft,
        first_file,
        version,
        items: 0,
        counts: Counts::default(),
        highest_timestamp: i64::MIN,
        taken_at_ms: i64::MAX,
        body: Box::default(),
    };
    for part in &parts {
        let Counts { exemplars, histograms, metadata } = &mut sum.counts;
        sum.items = sum.items.saturating_add(part.items);
        *exemplars = exemplars.saturating_add(part.counts.exemplars);
        *histograms = histograms.saturating_add(part.counts.histograms);
        *metadata = metadata.saturating_add(part.counts.metadata);
        sum.highest_timestamp = sum.highest_timestamp.max(part.highest_timestamp);
    }
    let parts: Vec<Part<'_>> = parts.iter().map(|part| part.part).collect();
    sum.body = join(parts.into_iter(), MOST_REQUEST_BYTES)?;
    (sum.items > 0).then_some(sum)
}
