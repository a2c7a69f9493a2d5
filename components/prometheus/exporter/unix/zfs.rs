//! `/proc/spl/kstat/zfs`: the caches of ZFS, its pools and their datasets.

use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};

use super::collector::{Collector, Failure, Paths, Scratch};
use super::listing::entries;

pub(crate) struct Zfs {
    root: PathBuf,
}

/// Where its families' names begin, and the file.
const FILES: [(&str, &str); 11] = [
    ("abd", "abdstats"),
    ("arc", "arcstats"),
    ("dbuf", "dbufstats"),
    ("dmu_tx", "dmu_tx"),
    ("dnode", "dnodestats"),
    ("fm", "fm"),
    ("vdev_cache", "vdev_cache_stats"),
    ("vdev_mirror", "vdev_mirror_stats"),
    ("xuio", "xuio_stats"),
    ("zfetch", "zfetchstats"),
    ("zil", "zil"),
];

const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];

/// Types of numbers in the second column.
const INT64: &str = "3";
const UINT64: &str = "4";

/// So many columns has the table of a pool's input and output at least.
const IO_COLUMNS: usize = 12;

impl Zfs {
    pub fn new(paths: &Paths) -> Zfs {
        Zfs { root: paths.procfs.join("spl/kstat/zfs") }
    }
}

impl Collector for Zfs {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let pools = entries(&self.root).map_err(|_| Failure::NoData)?;
        for (subsystem, file) in FILES {
            let path = self.root.join(file);
            // Not every version has all of them.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for (name, value) in numbers(&text, &path, &[INT64, UINT64])? {
                show(page, &format!("zfs_{subsystem}"), file, name, &[], value);
            }
        }
        for (pool, folder) in &pools {
            let path = folder.join("io");
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for (name, value) in table(&text, &path)? {
                show(page, "zfs_zpool", "io", name, &[("zpool", pool)], value);
            }
        }
        for (pool, folder) in &pools {
            for (file, path) in entries(folder).unwrap_or_default() {
                if !file.starts_with("objset-") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).map_err(|_| Failure::NoData)?;
                let dataset = dataset(&text).unwrap_or_default();
                for (name, value) in numbers(&text, &path, &[UINT64])? {
                    show(page, "zfs_zpool_dataset", "objset", name, &[("dataset", dataset), ("zpool", pool)], value);
                }
            }
        }
        for (pool, folder) in &pools {
            let Ok(text) = std::fs::read_to_string(folder.join("state")) else { continue };
            let current = text.lines().next().unwrap_or_default().to_lowercase();
            let mut family = page.family("node_zfs_zpool_state", "kstat.zfs.misc.state", Kind::Gauge);
            for state in STATES {
                family.sample(&[("state", state), ("zpool", pool)], f64::from(u8::from(state == current)));
            }
        }
        Ok(())
    }
}

fn show(page: &mut FamilyWriter<'_>, of: &str, file: &str, name: &str, labels: &[(&str, &str)], value: f64) {
    let key = format!("kstat.zfs.misc.{file}.{name}");
    // A dot within the name parts it too.
    let name = key.rsplit('.').next().unwrap_or_default().replace('-', "_");
    page.family(&format!("node_{of}_{name}"), &key, Kind::Untyped).sample(labels, value);
}

/// Lines of `name type data` behind a heading of these words. The data may have blanks in it.
fn rows(text: &str) -> Option<impl Iterator<Item = [&str; 3]>> {
    let word = |text: &'_ str| text.find(char::is_whitespace).unwrap_or(text.len());
    let mut lines = text.lines();
    lines.find(|line| line.split_whitespace().eq(["name", "type", "data"]))?;
    Some(lines.filter_map(move |line| {
        let (name, rest) = line.trim().split_at(word(line.trim()));
        let rest = rest.trim_start();
        let (kind, data) = rest.split_at(word(rest));
        let data = data.trim_start();
        (!data.is_empty()).then_some([name, kind, data])
    }))
}

/// What a line holds as a number. How much memory is available is below zero when it is short of it.
fn number(data: &str, kind: &str) -> Option<f64> {
    match kind {
        INT64 if data.starts_with('-') => data.parse::<i64>().ok().map(|value| value as f64),
        _ => data.parse::<u64>().ok().map(|value| value as f64),
    }
}

/// The rows of these types.
fn numbers<'t>(text: &'t str, path: &Path, types: &[&str]) -> Result<Vec<(&'t str, f64)>, Failure> {
    let rows = rows(text).ok_or_else(|| Failure::malformed(path, "there is no \"name type data\""))?;
    rows.filter(|[name, kind, _]| types.contains(kind) && *name != "dataset_name")
        .map(|[name, kind, data]| {
            number(data, kind).map(|value| (name, value)).ok_or_else(|| Failure::malformed(path, data))
        })
        .collect()
}

fn dataset(text: &str) -> Option<&str> {
    rows(text)?.find(|[name, ..]| *name == "dataset_name").map(|[_, _, name]| name)
}

/// A line of names that begins with `nread`, and a line of numbers.
fn table<'t>(text: &'t str, path: &Path) -> Result<Vec<(&'t str, f64)>, Failure> {
    let mut lines = text.lines();
    let is_heading = |line: &&str| line.starts_with("nread") && line.split_whitespace().count() >= IO_COLUMNS;
    let Some(names) = lines.find(is_heading) else { return Ok(Vec::new()) };
    let Some(values) = lines.next() else { return Ok(Vec::new()) };
    let mut values = values.split_whitespace();
    names
        .split_whitespace()
        .map(|name| {
            let value = values.next().and_then(|value| number(value, UINT64));
            value.map(|value| (name, value)).ok_or_else(|| Failure::malformed(path, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_zero_and_names_with_blanks_are_read() {
        let text = "7 1 0x01 3 1 2 3\nname type data\nmemory_available_bytes 3 -1048576\nhits 4 18446744073709551615\n\
                    dataset_name 7 tank/my  films\nc 4 -1\n";
        let all = numbers(text, Path::new("f"), &[INT64]).unwrap();
        assert_eq!(all, [("memory_available_bytes", -1_048_576.0)]);
        assert_eq!(dataset(text), Some("tank/my  films"));
        // What has no sign is not below zero.
        assert!(numbers(text, Path::new("f"), &[UINT64]).is_err());
    }
}
