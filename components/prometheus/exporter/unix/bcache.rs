//! `/sys/fs/bcache`: fast disks that cache slow ones.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::entries;

pub(crate) struct Bcache {
    root: PathBuf,
    /// What share of a cache is used is expensive to count.
    priority_stats: bool,
}

type Family = (&'static str, &'static str, &'static str, Kind);

/// Of a set of caches: file, family, help, type.
const OF_SETS: [Family; 10] = [
    ("average_key_size", "average_key_size_sectors", "Average data per key in the btree (sectors).", Kind::Gauge),
    ("btree_cache_size", "btree_cache_size_bytes", "Amount of memory currently used by the btree cache.", Kind::Gauge),
    (
        "cache_available_percent",
        "cache_available_percent",
        "Percentage of cache device without dirty data, usable for writeback (may contain clean cached data).",
        Kind::Gauge,
    ),
    ("congested", "congested", "Congestion.", Kind::Gauge),
    (
        "root_usage_percent",
        "root_usage_percent",
        "Percentage of the root btree node in use (tree depth increases if too high).",
        Kind::Gauge,
    ),
    ("tree_depth", "tree_depth", "Depth of the btree.", Kind::Gauge),
    (
        "internal/active_journal_entries",
        "active_journal_entries",
        "Number of journal entries that are newer than the index.",
        Kind::Gauge,
    ),
    ("internal/btree_nodes", "btree_nodes", "Total nodes in the btree.", Kind::Gauge),
    (READ_AVERAGE, "btree_read_average_duration_seconds", "Average btree read duration.", Kind::Gauge),
    (
        "internal/cache_read_races",
        "cache_read_races_total",
        "Counts instances where while data was being read from the cache, the bucket was reused and invalidated - i.e. \
         where the pointer was stale after the read completed.",
        Kind::Counter,
    ),
];
/// Its name says microseconds; node_exporter takes them for nanoseconds, and so must who shows the same.
const READ_AVERAGE: &str = "internal/btree_read_average_duration_us";

/// Of a disk that is cached.
const OF_DISKS: [Family; 8] = [
    ("dirty_data", "dirty_data_bytes", "Amount of dirty data for this backing device in the cache.", Kind::Gauge),
    (
        "stats_total/bypassed",
        "bypassed_bytes_total",
        "Amount of IO (both reads and writes) that has bypassed the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_hits",
        "cache_hits_total",
        "Hits counted per individual IO as bcache sees them.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_misses",
        "cache_misses_total",
        "Misses counted per individual IO as bcache sees them.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_bypass_hits",
        "cache_bypass_hits_total",
        "Hits for IO intended to skip the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_bypass_misses",
        "cache_bypass_misses_total",
        "Misses for IO intended to skip the cache.",
        Kind::Counter,
    ),
    (
        "stats_total/cache_miss_collisions",
        "cache_miss_collisions_total",
        "Instances where data insertion from cache miss raced with write (data already present).",
        Kind::Counter,
    ),
    (READ_AHEADS, "cache_readaheads_total", "Count of times readahead occurred.", Kind::Counter),
];
/// Not counted any more; shown if it is not zero.
const READ_AHEADS: &str = "stats_total/cache_readaheads";

/// Lines of `writeback_rate_debug`.
const WRITEBACK: [Family; 5] = [
    (
        "target",
        "dirty_target_bytes",
        "Current dirty data target threshold for this backing device in bytes.",
        Kind::Gauge,
    ),
    ("rate", "writeback_rate", "Current writeback rate for this backing device in bytes.", Kind::Gauge),
    (
        "proportional",
        "writeback_rate_proportional_term",
        "Current result of proportional controller, part of writeback rate",
        Kind::Gauge,
    ),
    (
        "integral",
        "writeback_rate_integral_term",
        "Current result of integral controller, part of writeback rate",
        Kind::Gauge,
    ),
    ("change", "writeback_change", "Last writeback rate change step for this backing device.", Kind::Gauge),
];

/// Of a disk that caches.
const OF_CACHES: [Family; 3] = [
    ("io_errors", "io_errors", "Number of errors that have occurred, decayed by io_error_halflife.", Kind::Gauge),
    (
        "metadata_written",
        "metadata_written_bytes_total",
        "Sum of all non data writes (btree writes and all other metadata).",
        Kind::Counter,
    ),
    ("written", "written_bytes_total", "Sum of all data that has been written to the cache.", Kind::Counter),
];

/// Lines of `priority_stats`.
const PRIORITIES: [Family; 2] = [
    (
        "Unused",
        "priority_stats_unused_percent",
        "The percentage of the cache that doesn't contain any data.",
        Kind::Gauge,
    ),
    ("Metadata", "priority_stats_metadata_percent", "Bcache's metadata overhead.", Kind::Gauge),
];

const NANOSECOND: f64 = 1e-9;

impl Bcache {
    pub fn new(paths: &Paths, priority_stats: bool) -> Bcache {
        Bcache { root: paths.sysfs.join("fs/bcache"), priority_stats }
    }
}

impl Collector for Bcache {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let mut show = |(_, name, help, kind): Family, labels: &[(&str, &str)], value: f64| {
            page.family(&format!("node_bcache_{name}"), help, kind).sample(labels, value);
        };
        for (uuid, set) in entries(&self.root).unwrap_or_default() {
            if !uuid.contains('-') {
                continue;
            }
            let uuid = ("uuid", uuid.as_str());
            for family in OF_SETS {
                let value = read(&set.join(family.0))? as f64;
                show(family, &[uuid], if family.0 == READ_AVERAGE { value * NANOSECOND } else { value });
            }
            for (disk, folder) in devices(&set, "bdev")? {
                let labels = [("backing_device", disk.as_str()), uuid];
                for family in OF_DISKS {
                    let value = read(&folder.join(family.0))?;
                    if family.0 != READ_AHEADS || value != 0 {
                        show(family, &labels, value as f64);
                    }
                }
                let path = folder.join("writeback_rate_debug");
                let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
                for family in WRITEBACK {
                    let value = line(&text, family.0).unwrap_or("0");
                    let value = signed(value.trim_end_matches("/sec"));
                    let value = value.ok_or_else(|| Failure::malformed(&path, family.0))?;
                    show(family, &labels, value as f64);
                }
            }
            for (cache, folder) in devices(&set, "cache")? {
                let labels = [("cache_device", cache.as_str()), uuid];
                for family in OF_CACHES {
                    show(family, &labels, read(&folder.join(family.0))? as f64);
                }
                if self.priority_stats {
                    let path = folder.join("priority_stats");
                    let text = std::fs::read_to_string(&path).map_err(|error| Failure::reading(&path, &error))?;
                    for family in PRIORITIES {
                        let value = line(&text, family.0).unwrap_or("0").trim_end_matches('%').parse::<u64>();
                        let value = value.map_err(|_| Failure::malformed(&path, family.0))?;
                        show(family, &labels, value as f64);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The folders of a set whose name is this and a number.
fn devices(set: &Path, name: &str) -> Result<Vec<(String, PathBuf)>, Failure> {
    let is_one = |entry: &(String, PathBuf)| {
        entry.0.strip_prefix(name).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    Ok(entries(set)?.into_iter().filter(is_one).collect())
}

/// A file that is not there is zero: kernels have different ones.
fn read(path: &Path) -> Result<u64, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Failure::reading(path, &error)),
    };
    size(text.trim_end_matches('\n')).ok_or_else(|| Failure::malformed(path, &text))
}

/// The last word of the line with this name.
fn line<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split_whitespace().last()
}

fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => Some(-i64::try_from(size(rest)?).ok()?),
        None => i64::try_from(size(text)?).ok(),
    }
}

/// A number as the kernel's `bch_hprint` writes it: `1.10k`, whose fraction counts 1024ths divided by 100.
fn size(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let Some(power) = "kMGTPEZY".find(unit) else {
        return text.parse::<f64>().ok().map(|number| number as u64);
    };
    let mut parts = text[..text.len() - 1].split('.');
    let whole: f64 = parts.next()?.parse().ok()?;
    let fraction: f64 = parts.next().map_or(Some(0.0), |fraction| fraction.parse().ok())?;
    let exponent = i32::try_from(power).ok()? + 1;
    Some(((whole + fraction / 10.24) * 1024_f64.powi(exponent)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_bch_hprint() {
        for (text, expected) in
            [("0", 0), ("542", 542), ("20.0k", 20480), ("1.1k", 1124), ("1.10k", 2024), ("2M", 2 << 20)]
        {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        assert_eq!(signed("-1.0k"), Some(-1024));
        assert_eq!(size("much"), None);
        assert_eq!(size(""), None);
    }
}
