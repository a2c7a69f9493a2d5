//! Metrics that other programs wrote into `*.prom` files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use base_metrics::{FamilyWriter, Kind};
use sdk_protocols_exposition as exposition;

use super::collector::{Collector, Failure, Scratch};
use super::filter::Pattern;

pub(crate) struct Textfile {
    directory: String,
    /// Said already, so none is said again until it is well in between.
    complained: BTreeSet<String>,
}

/// The largest file that is read.
const MAX_FILE_BYTES: usize = 16 << 20;
/// The most files that are read.
const MAX_FILES: usize = 10_000;

struct Family {
    name: String,
    help: Option<String>,
    kind: Kind,
    /// The series' text and value.
    samples: Vec<(String, f64)>,
}

impl Textfile {
    /// Without a directory there is nothing to read, which is fine.
    pub fn new(directory: String) -> Textfile {
        Textfile { directory, complained: BTreeSet::new() }
    }
}

impl Collector for Textfile {
    fn collect(&mut self, _: &mut Scratch, page: &mut FamilyWriter<'_>) -> Result<(), Failure> {
        let (mut errors, mut read, mut times) = (Vec::new(), Vec::new(), BTreeMap::new());
        for path in files(&self.directory, &mut errors) {
            match families(&path) {
                Ok((families, seconds)) => {
                    times.insert(path.display().to_string(), seconds);
                    read.extend(families.into_iter().map(|family| (path.clone(), family)));
                }
                Err(error) => errors.push(format!("failed to parse textfile data from {:?}: {error}", path.display())),
            }
        }
        let mut sources: HashMap<&str, Vec<String>> = HashMap::new();
        for (path, family) in &read {
            let (paths, path) = (sources.entry(&family.name).or_default(), path.display().to_string());
            // A file may come back to a name.
            if paths.last() != Some(&path) {
                paths.push(path);
            }
        }
        for (_, family) in &read {
            let sources = || sources.get(&*family.name).map(|paths| paths.join(", ")).unwrap_or_default();
            let help = family.help.clone().unwrap_or_else(|| format!("Metric read from {}", sources()));
            let mut samples = page.family(&family.name, &help, family.kind);
            for (series, value) in &family.samples {
                samples.as_written(series, *value);
            }
        }
        let mut mtimes =
            page.family("node_textfile_mtime_seconds", "Unixtime mtime of textfiles successfully read.", Kind::Gauge);
        for (path, seconds) in &times {
            mtimes.sample(&[("file", path)], *seconds);
        }
        page.gauge(
            "node_textfile_scrape_error",
            "1 if there was an error opening or reading a file, 0 otherwise",
            f64::from(u8::from(!errors.is_empty())),
        );
        // A file that is broken for weeks does not hide the one that broke tonight.
        for error in errors.iter().filter(|error| !self.complained.contains(*error)) {
            tracing::error!(collector = "textfile", "{error}");
        }
        self.complained = errors.into_iter().collect();
        Ok(())
    }
}

/// All `*.prom` files, in the order of their names.
fn files(directory: &str, errors: &mut Vec<String>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in directories(directory) {
        match std::fs::read_dir(&directory) {
            Ok(entries) => {
                let paths = entries.flatten().map(|entry| entry.path());
                files.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "prom")));
            }
            Err(error) => {
                errors.push(format!("failed to read textfile collector directory {:?}: {error}", directory.display()));
            }
        }
    }
    files.sort();
    files.truncate(MAX_FILES);
    files
}

/// The directories whose names match; the name itself when none does.
fn directories(name: &str) -> Vec<PathBuf> {
    if name.is_empty() {
        return Vec::new();
    }
    let mut found = vec![PathBuf::from(if name.starts_with('/') { "/" } else { "" })];
    for part in name.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let Ok(pattern) = Pattern::wildcard(part) else { return vec![name.into()] };
        let children = |path: PathBuf| {
            let listed = std::fs::read_dir(if path.as_os_str().is_empty() { Path::new(".") } else { &path });
            let names = listed.into_iter().flatten().flatten().map(|entry| entry.file_name());
            let matching: Vec<PathBuf> = names
                .filter(|name| name.to_str().is_some_and(|name| pattern.is_match(name)))
                .map(|name| path.join(name))
                .collect();
            matching
        };
        found = found.into_iter().flat_map(children).filter(|path| path.is_dir()).collect();
    }
    if found.is_empty() { vec![name.into()] } else { found }
}

/// The families of a file, and when it was changed in seconds since 1970. A file with one bad line gives nothing.
fn families(path: &Path) -> Result<(Vec<Family>, f64), String> {
    let bytes = base_sys::fs::read_bounded(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    let changed =
        std::fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(|error| error.to_string())?;
    if bytes.last().is_some_and(|last| *last != b'\n') {
        // It is being written, or its writer was killed: "12" may be the beginning of "12345".
        return Err(
            "its last line does not end: is it written in place, and not renamed when it is complete?".to_owned()
        );
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "text that is not UTF-8".to_owned());
    let mut families: Vec<Family> = Vec::new();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut parser = exposition::Parser::new(&bytes, exposition::Format::Text);
    while let Some(entry) = parser.next() {
        match entry.map_err(|error| error.to_string())? {
            exposition::Entry::Help { name, text: help } => {
                helps.insert(text(name)?, text(help)?);
            }
            exposition::Entry::Type { name, kind } => {
                families.push(Family { name: text(name)?, help: None, kind: page_kind(kind), samples: Vec::new() });
            }
            exposition::Entry::Sample(sample) => {
                if sample.timestamp.is_some() {
                    return Err("it contains unsupported client-side timestamps, skipping entire file".to_owned());
                }
                let series = text(sample.series)?;
                let name = &series[..series.find(['{', ' ', '\t']).unwrap_or(series.len())];
                let of_last = families.last().is_some_and(|family| belongs(name, family));
                if !of_last {
                    let name = name.to_owned();
                    families.push(Family { name, help: None, kind: Kind::Untyped, samples: Vec::new() });
                }
                let family = families.last_mut().expect("there is one, or one was just added");
                family.samples.push((series, sample.value));
            }
            exposition::Entry::Unit { .. } | exposition::Entry::Comment => {}
        }
    }
    for family in &mut families {
        family.help = helps.get(&family.name).cloned();
    }
    Ok((families, (base_sys::clock::to_ns(changed) / 1_000_000_000) as f64))
}

fn belongs(name: &str, family: &Family) -> bool {
    let suffix = name.strip_prefix(family.name.as_str());
    match family.kind {
        Kind::Histogram => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
        Kind::Summary => matches!(suffix, Some("" | "_sum" | "_count")),
        _ => suffix == Some(""),
    }
}

fn page_kind(kind: exposition::Kind) -> Kind {
    match kind.as_str() {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Untyped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(directory: &str) -> String {
        let (mut page, mut text) = (base_metrics::Page::new(), String::new());
        Textfile::new(directory.to_owned()).collect(&mut Scratch::default(), &mut page.writer()).unwrap();
        page.encode(&mut text, &base_metrics::Losses::default());
        text
    }

    #[test]
    fn files_of_other_programs_are_shown_and_broken_ones_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("a/one.prom", "# HELP job_ok It went well.\n# TYPE job_ok gauge\njob_ok{job=\"x\"} 1\nplain 2.5\n"),
            ("b/two.prom", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"),
            ("b/not.txt", "ignored 1\n"),
            ("c/bad.prom", "no value\n"),
            ("c/late.prom", "old 1 1700000000000\n"),
            ("c/half.prom", "whole 1\nhalf 12"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let expected = "# HELP h Metric read from ROOT/b/two.prom\n\
             # TYPE h histogram\n\
             h_bucket{le=\"1\"} 1\n\
             h_bucket{le=\"+Inf\"} 2\n\
             h_sum 3\n\
             h_count 2\n\
             # HELP job_ok It went well.\n\
             # TYPE job_ok gauge\n\
             job_ok{job=\"x\"} 1\n\
             # HELP node_textfile_mtime_seconds Unixtime mtime of textfiles successfully read.\n\
             # TYPE node_textfile_mtime_seconds gauge\n\
             node_textfile_mtime_seconds{file=\"ROOT/a/one.prom\"} 1\n\
             node_textfile_mtime_seconds{file=\"ROOT/b/two.prom\"} 1\n\
             # HELP node_textfile_scrape_error 1 if there was an error opening or reading a file, 0 otherwise\n\
             # TYPE node_textfile_scrape_error gauge\n\
             node_textfile_scrape_error ERROR\n\
             # HELP plain Metric read from ROOT/a/one.prom\n\
             # TYPE plain untyped\n\
             plain 2.5\n";
        let told = |directory: &str| page(directory).replace(root, "ROOT");
        assert_eq!(told(&format!("{root}/?*")), expected.replace("ERROR", "1"));
        std::fs::remove_dir_all(dir.path().join("c")).unwrap();
        assert_eq!(told(&format!("{root}/*")), expected.replace("ERROR", "0"));
        assert!(told(&format!("{root}/nowhere")).contains("node_textfile_scrape_error 1\n"));
        assert!(told("").contains("node_textfile_scrape_error 0\n"));
    }
}
