//! What an earlier run has left.

use std::collections::HashMap;

use bytes::Bytes;
use sdk_protocols_remote_write::{Part, Version, join};

use super::super::meta::Counts;
use super::part::PartOf;

/// No request is larger, decompressed.
const MOST_REQUEST_BYTES: usize = 64 << 20;

/// A request that was not settled.
pub(crate) struct Found {
    pub(crate) draft: u64,
    pub(crate) version: Version,
    pub(crate) items: u32,
    pub(crate) counts: Counts,
    pub(crate) highest_timestamp: i64,
    /// Not before this, in milliseconds since 1970: when its last file was written to for the last time.
    pub(crate) taken_at_ms: i64,
    /// As it is sent.
    pub(crate) body: Box<[u8]>,
}

/// What is left of a draft.
struct Left {
    draft: u64,
    taken_at_ms: i64,
    parts: Vec<Bytes>,
}

/// The requests that are in the files, in the order in which they were begun: that is the order of each series. Drafts of which
/// no request can be made are the second list.
pub(super) fn read(mut files: sdk_queue::Found) -> (Vec<Found>, Vec<u64>) {
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut drafts: Vec<Left> = Vec::new();
    while let Some(file) = files.next_file() {
        for (draft, part) in file.parts {
            let place = *places.entry(draft).or_insert_with(|| {
                drafts.push(Left { draft, taken_at_ms: 0, parts: Vec::new() });
                drafts.len() - 1
            });
            drafts[place].taken_at_ms = file.written_at_ms;
            drafts[place].parts.push(part);
        }
    }
    let (mut found, mut useless) = (Vec::new(), Vec::new());
    for left in drafts {
        match Found::of(&left) {
            Some(request) => found.push(request),
            None => useless.push(left.draft),
        }
    }
    (found, useless)
}

// === impl Found ===

impl Found {
    fn of(left: &Left) -> Option<Found> {
        let mut parts: Vec<PartOf<'_>> = left.parts.iter().filter_map(|bytes| PartOf::parse(bytes)).collect();
        let version = parts.first()?.version;
        if version == Version::V2 {
            // What follows a gap names symbols that were in it.
            let whole = parts.iter().zip(0..).take_while(|(part, index)| part.index == *index).count();
            parts.truncate(whole);
        }
        let mut sum = Found {
            draft: left.draft,
            version,
            items: 0,
            counts: Counts::default(),
            highest_timestamp: i64::MIN,
            taken_at_ms: left.taken_at_ms,
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
}
