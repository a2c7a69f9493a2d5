//! `discovery.file`: targets that files list.

mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Histogram, Kind};
use base_stdx::duration::GoDuration;
use base_sys::glob::Glob;
use base_sys::{clock, fs, task};
use language_eval::{Arguments, Target};
use sdk_component::metrics::Counter;
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use tokio::sync::watch::Sender;
use tokio::time::Instant;

use crate::groups;
use crate::rounds::{DiscoveryExports, Found, Told, interval};
use watch::Watch;

/// Name of the label that tells in which file a target was listed.
const PATH_LABEL: &str = "__meta_filepath";

/// Whoever writes a file writes more than once: wait for the rest.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads targets from files.
///
/// A file holds a list of groups, each with `targets` (addresses) and the `labels` that they share, as Prometheus's file
/// service discovery has them: JSON in files that end in `.json`, YAML in those that end in `.yml` or `.yaml`. Each target
/// gets the label `__meta_filepath`. A file that changes is read at once. What a file listed last stays while it cannot be
/// read; the targets of a file that is gone are gone.
#[derive(Arguments)]
pub struct FileArguments {
    /// Paths of the files; `*` stands for any text within a name, `?` for one character, `[a-z]` for one of these.
    #[attr]
    files: Vec<String>,
    /// How often all files are read, changed or not.
    #[attr(default = GoDuration::from_secs(300))]
    refresh_interval: GoDuration,
}

/// The component.
pub struct File {
    told: Told,
    metrics: Metrics,
    wanted: Sender<Arc<Wanted>>,
}

/// Checked arguments.
struct Wanted {
    patterns: Vec<(String, Glob)>,
    interval: Duration,
}

struct Metrics {
    read_errors: Counter,
    watch_errors: Counter,
    duration: Histogram,
    /// When each file that was read was last changed, in seconds since 1970.
    changed: Arc<Mutex<BTreeMap<String, f64>>>,
}

/// What each file listed when it was last read.
type Listed = BTreeMap<PathBuf, Vec<Target>>;

impl Component for File {
    const NAME: &'static str = "discovery.file";

    type Arguments = FileArguments;
    type Exports = DiscoveryExports;

    fn build(context: &Context, arguments: FileArguments) -> Result<File, Problem> {
        let wanted = Sender::new(Arc::new(check(arguments)?));
        Ok(File { told: Told::new(context), metrics: Metrics::new(context), wanted })
    }

    fn update(&self, arguments: FileArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut wanted = self.wanted.subscribe();
        // What a broken file listed stays also when the arguments change.
        let (mut listed, mut failing) = (Listed::new(), false);
        loop {
            let now = wanted.borrow_and_update().clone();
            tokio::select! {
                () = self.follow(now, &mut listed, &mut failing) => {}
                _ = wanted.changed() => {}
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

// === impl File ===

impl File {
    async fn follow(&self, wanted: Arc<Wanted>, listed: &mut Listed, failing: &mut bool) {
        let mut watch = Watch::new(wanted.patterns.iter().map(|(pattern, _)| pattern.as_str()));
        if watch.is_blind() {
            self.metrics.watch_errors.inc();
        }
        loop {
            // Before the files are read, so that no change is missed; and always again, as a directory may be a new one.
            watch.look();
            let next = Instant::now() + wanted.interval;
            let (files, last) = (wanted.clone(), listed.clone());
            let Some(round) = task::blocking("discovery.file", move || files.read(last)).await.returned() else {
                return;
            };
            self.metrics.count(&round);
            *listed = round.listed;
            let targets = listed.values().flatten().cloned().collect();
            self.told.tell(Ok(Found { targets, problem: round.problems.into_iter().next() }), failing);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = watch.changed() => tokio::time::sleep(SETTLE).await,
            }
        }
    }
}

/// What reading all files has brought.
struct Round {
    listed: Listed,
    /// Of those that could be read.
    changed: BTreeMap<String, f64>,
    problems: Vec<String>,
    took: Duration,
}

// === impl Wanted ===

impl Wanted {
    fn read(&self, mut last: Listed) -> Round {
        let began = Instant::now();
        let (mut listed, mut changed, mut problems) = (Listed::new(), BTreeMap::new(), Vec::new());
        for path in self.patterns.iter().flat_map(|(_, glob)| glob.find()) {
            if listed.contains_key(&path) {
                continue;
            }
            match read(&path) {
                Ok((targets, at)) => {
                    changed.insert(path.display().to_string(), at);
                    listed.insert(path, targets);
                }
                Err(error) => {
                    problems.push(format!("cannot read {}: {error}", path.display()));
                    let before = last.remove(&path).unwrap_or_default();
                    listed.insert(path, before);
                }
            }
        }
        Round { listed, changed, problems, took: began.elapsed() }
    }
}

/// The targets of a file, and when it was last changed, in whole seconds since 1970.
fn read(path: &Path) -> Result<(Vec<Target>, f64), String> {
    let shown = path.to_str().ok_or("its name is not UTF-8")?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let text = fs::read_bounded(path, groups::MAX_TEXT).map_err(|error| error.to_string())?;
    let targets = match extension.to_ascii_lowercase().as_str() {
        "json" => groups::from_json(&text, (PATH_LABEL, shown))?,
        "yml" | "yaml" => {
            let text = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
            groups::from_yaml(text, (PATH_LABEL, shown))?
        }
        _ => return Err("its name must end in .json, .yml or .yaml".to_owned()),
    };
    let changed =
        std::fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(|error| error.to_string())?;
    Ok((targets, clock::to_ns(changed).div_euclid(1_000_000_000) as f64))
}

fn check(arguments: FileArguments) -> Result<Wanted, Problem> {
    let pattern = |pattern: String| {
        let glob = Glob::new(&go_pattern(&pattern))
            .map_err(|error| Problem::at("files", format!("cannot read pattern {pattern:?}: {error}")))?;
        Ok((pattern, glob))
    };
    let patterns = arguments.files.into_iter().map(pattern).collect::<Result<_, Problem>>()?;
    Ok(Wanted { patterns, interval: interval(arguments.refresh_interval)? })
}

/// These patterns know neither alternatives in braces nor `**`.
fn go_pattern(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    for letter in pattern.chars() {
        match letter {
            '*' if plain.ends_with('*') && !plain.ends_with("\\*") => {}
            '{' | '}' if !plain.ends_with('\\') => plain.extend(['\\', letter]),
            letter => plain.push(letter),
        }
    }
    plain
}

// === impl Metrics ===

impl Metrics {
    fn new(context: &Context) -> Metrics {
        let metrics = context.metrics();
        let counter = |name: &str, help: &str| metrics.counter(name, help);
        let changed = Arc::<Mutex<BTreeMap<String, f64>>>::default();
        // The summary tells sum and count only, so one bucket is enough.
        let duration = Histogram::new(&[1.0]);
        let (times, summed) = (changed.clone(), duration.clone());
        metrics.collect(Box::new(move |page| {
            let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.";
            let mut family = page.family("prometheus_sd_file_mtime_seconds", help, Kind::Gauge);
            for (path, seconds) in &*times.lock().unwrap_or_else(PoisonError::into_inner) {
                family.sample(&[("filename", path)], *seconds);
            }
            let help = "The duration of the File-SD scan in seconds.";
            page.family("prometheus_sd_file_scan_duration_seconds", help, Kind::Summary).summary(
                &[],
                &[],
                summed.sum(),
                summed.count(),
            );
        }));
        Metrics {
            read_errors: counter("prometheus_sd_file_read_errors_total", "The number of File-SD read errors."),
            watch_errors: counter(
                "prometheus_sd_file_watcher_errors_total",
                "The number of File-SD errors caused by filesystem watch failures.",
            ),
            duration,
            changed,
        }
    }

    fn count(&self, round: &Round) {
        self.read_errors.add(round.problems.len() as u64);
        self.duration.observe(round.took.as_secs_f64());
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.retain(|path, _| round.listed.contains_key(Path::new(path)));
        changed.extend(round.changed.clone());
    }
}

#[cfg(test)]
mod tests;
