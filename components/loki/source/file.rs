//! `loki.source.file`: reads log files as they grow.

mod compressed;
mod handle;
mod identity;
mod names;
mod progress;
mod siblings;
mod tail;
mod text;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{CounterVec, Gauge, GaugeVec};
use base_stdx::GoDuration;
use base_sys::fs::Sync;
use base_sys::glob::Glob;
use base_sys::seldom::Seldom;
use language_eval::{Arguments, Block, BodyNode, Invalid, Target, ToValue, Validate, Value, Word};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_signals::{FanOut, LogBatch, LogsReceiver};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::compressed::Format;
use self::identity::Known;
use self::names::Names;
use self::progress::Progress;
use self::tail::{Cuts, From, Settings, Status, Tail, TailMetrics};
use self::text::TextForm;
use super::positions::Key;

/// Reads log files as they grow, through rotation and truncation, and goes on after a restart where it was.
///
/// The position of each file is kept in `positions.yml`, in Alloy's form. It moves only past lines that are delivered: a
/// crash, or a dead backend, repeats lines rather than losing them.
///
/// Beside each position stands, in comments that Alloy passes over, which file it is of: device, inode, and a checksum of the
/// first kilobyte. If another file has the name after a restart, the old one is looked for in its folder (by its inode; a copy, also
/// one compressed by gzip or bzip2, by its first bytes), and its rest is read first, under the labels of the target. So are
/// files that had the name in between: those that are called as rotation calls them (`app.log.1`, `app.log-20260101.gz`,
/// `app-20260101.log`), were written to after the old one, and are no targets themselves. Then the new file is read from
/// its start.
///
/// An entry has 16 MiB at most. A longer line becomes several entries, each cut is counted in
/// `ferroalloy_loki_source_file_cut_lines_total`, and the log names the file and the place, once a minute.
#[derive(Arguments, Clone, Debug)]
#[block(validate)]
pub struct FileArguments {
    /// The files: `__path__` and labels for their entries. Labels that begin with `__` do not leave the component.
    #[attr]
    targets: Vec<Target>,
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// How the files' bytes are text, by IANA name. Empty passes bytes on as they are; a byte order mark wins.
    #[attr(optional)]
    encoding: String,
    /// The files are compressed: each is read once, to its end.
    #[block]
    decompression: Option<Decompression>,
    /// How often a file is looked at.
    #[block(default = FileWatch::default())]
    file_watch: FileWatch,
    /// `__path__` is a pattern.
    #[block(default = FileMatch::default())]
    file_match: FileMatch,
    /// Begin files that have no position at their end.
    #[attr(optional)]
    tail_from_end: bool,
    /// Positions of Promtail or an older agent, taken over when there are none of our own.
    #[attr(optional)]
    legacy_positions_file: String,
    /// What to do with a position that is no number.
    #[attr(default = OnPositionsFileError::RestartFromBeginning)]
    on_positions_file_error: OnPositionsFileError,
}

/// The files are compressed.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Decompression {
    /// They are.
    #[attr]
    enabled: bool,
    /// Wait this long before a file is read: it may still be written.
    #[attr(default = GoDuration::ZERO)]
    initial_delay: GoDuration,
    /// `gz`, `z` (zlib) or `bz2`.
    #[attr]
    format: Format,
}

/// How often a file is looked at.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct FileWatch {
    /// While it grows.
    #[attr(default = GoDuration::from_millis(250))]
    min_poll_frequency: GoDuration,
    /// When it has been still for long.
    #[attr(default = GoDuration::from_millis(250))]
    max_poll_frequency: GoDuration,
}

/// `__path__` is a pattern, `__path_exclude__` one for what is left out.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct FileMatch {
    /// It is.
    #[attr(optional)]
    enabled: bool,
    /// How often to look for files.
    #[attr(default = GoDuration::from_secs(10))]
    sync_period: GoDuration,
    /// Leave out files that were last changed longer ago than this. 0 means none.
    #[attr(default = GoDuration::ZERO)]
    ignore_older_than: GoDuration,
}

/// What to do with a position that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum OnPositionsFileError {
    /// Do not read the file.
    #[word(name = "skip")]
    Skip,
    /// Begin at its end.
    #[word(name = "restart_from_end")]
    RestartFromEnd,
    /// Begin at its start.
    #[word(name = "restart_from_beginning")]
    RestartFromBeginning,
}

/// Where new files are begun that are begun at their end is saved so many times sooner than anything else.
const FIRST_SAVE: u32 = 20;

/// The component.
pub struct File {
    context: Context,
    positions: Progress,
    metrics: Metrics,
    arguments: watch::Sender<Arc<FileArguments>>,
    forward_to: watch::Sender<FanOut<LogBatch>>,
    names: Arc<Names>,
    tailers: Mutex<HashMap<Key, Tailer>>,
    /// Says that positions cannot be saved.
    unsaved: Seldom,
    /// Is not cancelled.
    never: CancellationToken,
}

struct Metrics {
    read_bytes: GaugeVec,
    file_bytes: GaugeVec,
    read_lines: CounterVec,
    cuts: Arc<Cuts>,
    active: Gauge,
}

struct Tailer {
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<Option<()>>>,
    status: Arc<Status>,
    /// Another one makes another tailer.
    decompression: Option<Decompression>,
}

impl Validate for FileArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if TextForm::named(&self.encoding).is_none() {
            return Err(Invalid::field("encoding", format!("{:?} is no encoding that is known here", self.encoding))
                .with_hint("use a name of the IANA list, such as \"UTF-16LE\" or \"windows-1252\""));
        }
        if self.file_match.sync_period.as_nanos() <= 0 {
            return Err(Invalid::field("file_match", "sync_period must be greater than 0"));
        }
        if self.file_watch.min_poll_frequency.as_nanos() <= 0 {
            return Err(Invalid::field("file_watch", "min_poll_frequency must be greater than 0"));
        }
        if self.file_watch.max_poll_frequency < self.file_watch.min_poll_frequency {
            return Err(Invalid::field("file_watch", "max_poll_frequency must not be less than min_poll_frequency"));
        }
        Ok(())
    }
}

impl Component for File {
    const NAME: &'static str = "loki.source.file";

    type Arguments = FileArguments;
    type Exports = ();

    fn build(context: &Context, arguments: FileArguments) -> Result<File, Problem> {
        let positions = Progress::open(context.data_path()).map_err(|error| Problem::environment(error.to_string()))?;
        if !arguments.legacy_positions_file.is_empty() {
            positions.take_over(Path::new(&arguments.legacy_positions_file)).map_err(Problem::environment)?;
        }
        let scope = context.metrics();
        let metrics = Metrics {
            read_bytes: scope.gauge_vec("loki_source_file_read_bytes_total", "Number of bytes read.", &["path"]),
            file_bytes: scope.gauge_vec("loki_source_file_file_bytes_total", "Number of bytes total.", &["path"]),
            read_lines: scope.counter_vec("loki_source_file_read_lines_total", "Number of lines read.", &["path"]),
            cuts: Arc::new(Cuts::new(scope.counter(
                "ferroalloy_loki_source_file_cut_lines_total",
                "Number of cuts through lines that are longer than 16 MiB.",
            ))),
            active: scope.gauge("loki_source_file_files_active_total", "Number of active files."),
        };
        Ok(File {
            context: context.clone(),
            positions,
            metrics,
            forward_to: watch::Sender::new(fan_out(context, &arguments)),
            arguments: watch::Sender::new(Arc::new(arguments)),
            names: Arc::new(Names::new()),
            tailers: Mutex::default(),
            unsaved: Seldom::default(),
            never: CancellationToken::new(),
        })
    }

    fn update(&self, arguments: FileArguments) -> Result<Update, Problem> {
        let (sender, forward_to) = (self.arguments.clone(), self.forward_to.clone());
        let fan_out = fan_out(&self.context, &arguments);
        Ok(Update::then(move || {
            forward_to.send_replace(fan_out);
            sender.send_replace(Arc::new(arguments));
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let names = self.names.clone();
        drop(self.context.spawn(&stop, async move { names.run().await }));
        let mut changes = self.arguments.subscribe();
        let mut resolve_at = Instant::now();
        let mut saves = 0u32;
        let mut are_new = false;
        loop {
            let now = Instant::now();
            // They may have changed while positions were saved, and be seen here for the first time.
            let (arguments, changed) = {
                let arguments = changes.borrow_and_update();
                (arguments.clone(), arguments.has_changed())
            };
            if changed || now >= resolve_at {
                let resolved = {
                    let arguments = arguments.clone();
                    base_sys::task::blocking("loki.source.file", move || resolve(&arguments)).await
                };
                if let Some(resolved) = resolved.returned() {
                    let new = self.reconcile(&arguments, resolved);
                    are_new = arguments.tail_from_end && !new.files.is_empty();
                    let firsts = self.clone().write_down(&arguments, &new).await;
                    self.begin(&arguments, new, firsts, &stop);
                }
                resolve_at = match arguments.file_match.enabled {
                    true => now + arguments.file_match.sync_period.to_std().unwrap_or_default(),
                    false => now + Duration::from_secs(365 * 86_400),
                };
            }
            let (save_every, saves_per_sync) = self.positions.rhythm();
            let save_in = if are_new { save_every / FIRST_SAVE } else { save_every };
            tokio::select! {
                () = stop.stopped() => break,
                () = tokio::time::sleep(save_in) => {
                    are_new = false;
                    saves = (saves + 1) % saves_per_sync;
                    if saves == 0 {
                        self.sweep();
                    }
                    self.clone().save(if saves == 0 { Sync::Disk } else { Sync::Kernel }).await;
                }
                () = tokio::time::sleep_until(resolve_at) => {}
                // Left unseen for the next round, which acts on it.
                changed = changes.changed() => if changed.is_ok() { changes.mark_changed() },
            }
        }
        let tailers: Vec<_> = self.lock().values_mut().filter_map(|tailer| tailer.task.take()).collect();
        for task in tailers {
            let _ = task.await;
        }
        self.save(Sync::Disk).await;
        Ok(())
    }

    fn describe(&self) -> Description {
        let tailers = self.lock();
        let attribute = |name: &str, value: Value| BodyNode::Attribute { name: name.to_owned(), value };
        let file = |(key, tailer): (&Key, &Tailer)| BodyNode::Block {
            name: "targets_info".to_owned(),
            label: None,
            body: vec![
                attribute("path", key.path.to_value()),
                attribute("labels", key.labels.to_value()),
                attribute("is_running", tailer.status.running.load(Relaxed).to_value()),
                attribute("read_offset", tailer.status.offset.load(Relaxed).to_value()),
            ],
        };
        Description { debug_info: tailers.iter().map(file).collect() }
    }
}

fn fan_out(context: &Context, arguments: &FileArguments) -> FanOut<LogBatch> {
    FanOut::new(arguments.forward_to.iter().map(|receiver| receiver.0.clone())).counted(context.metrics())
}

/// A file to read, with the labels of its target.
struct Resolved {
    path: String,
    labels: Labels,
}

/// Files that nobody reads yet.
#[derive(Default)]
struct New {
    files: Vec<(Key, Settings)>,
    /// Whatever is a target: it is read by itself.
    others: Arc<HashSet<PathBuf>>,
}

/// The files of the targets.
fn resolve(arguments: &FileArguments) -> Vec<Resolved> {
    let mut files = Vec::new();
    for target in &arguments.targets {
        let path = target.get("__path__").unwrap_or_default();
        let labels = Labels::from_pairs(target.iter().filter(|(name, _)| !name.starts_with("__")));
        if !arguments.file_match.enabled {
            if path.is_empty() {
                tracing::error!(%labels, "a target without __path__ is left out");
                continue;
            }
            files.push(Resolved { path: path.to_owned(), labels });
            continue;
        }
        let exclude = target.get("__path_exclude__").filter(|pattern| !pattern.is_empty()).map(Glob::new).transpose();
        let (found, exclude) = match (Glob::new(path), exclude) {
            (Ok(glob), Ok(exclude)) => (glob.files(arguments.file_match.ignore_older_than.as_nanos()), exclude),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "cannot search for files");
                continue;
            }
        };
        for path in found {
            if exclude.as_ref().is_some_and(|exclude| exclude.matches(&path)) {
                continue;
            }
            let Ok(absolute) = std::path::absolute(&path) else { continue };
            if let Some(path) = absolute.to_str() {
                files.push(Resolved { path: path.to_owned(), labels: labels.clone() });
            }
        }
    }
    files
}

/// How the file of a target is read; nothing if the encoding is unknown, which was looked at before.
fn settings(arguments: &FileArguments, key: &Key, labels: &Labels) -> Option<Settings> {
    let filename = [("filename", key.path.as_str())];
    let labels = Labels::from_pairs(labels.iter().filter(|(name, _)| *name != "filename").chain(filename));
    let period = |duration: GoDuration| duration.to_std().unwrap_or_default();
    let watch = &arguments.file_watch;
    let poll = (period(watch.min_poll_frequency), period(watch.max_poll_frequency));
    Some(Settings { labels, form: TextForm::named(&arguments.encoding)?, poll })
}

/// How the files are compressed, if they are.
fn decompression(arguments: &FileArguments) -> Option<Decompression> {
    arguments.decompression.clone().filter(|decompression| decompression.enabled)
}

fn is_missing(path: &str) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

// === impl File ===

impl File {
    /// Ends what is gone, and says what is new.
    fn reconcile(&self, arguments: &FileArguments, resolved: Vec<Resolved>) -> New {
        let decompression = decompression(arguments);
        let mut wanted = HashMap::new();
        let mut targets: HashMap<String, Vec<Key>> = HashMap::new();
        for file in resolved {
            let key = Key { path: file.path, labels: file.labels.to_string() };
            targets.entry(key.path.clone()).or_default().push(key.clone());
            wanted.insert(key, file.labels);
        }
        self.sweep();
        let mut tailers = self.lock();
        // Other labels do not make it another file: it is read on where it is.
        let renamed: Vec<Key> = tailers.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        for old in renamed {
            let keys = targets.get(&old.path).into_iter().flatten();
            let Some(new) = keys.into_iter().find(|key| !tailers.contains_key(key)) else { continue };
            if let Some(tailer) = tailers.remove(&old) {
                self.positions.rename(&old, new.clone());
                tailers.insert(new.clone(), tailer);
            }
        }
        tailers.retain(|key, tailer| {
            let gone = !wanted.contains_key(key);
            if gone && tailer.decompression.is_none() && !tailer.stop.is_cancelled() && is_missing(&key.path) {
                tailer.status.leave();
                return true;
            }
            if !gone && !tailer.status.stay() {
                return false;
            }
            let changed = tailer.decompression != decompression;
            if gone || changed {
                tailer.stop.cancel();
            }
            if gone {
                self.forget(key);
            }
            !gone && !changed
        });
        let mut new = Vec::new();
        for (key, labels) in wanted {
            let Some(settings) = settings(arguments, &key, &labels) else { continue };
            if let Some(tailer) = tailers.get(&key) {
                tailer.status.change(settings);
                continue;
            }
            // It had other labels before the last stop.
            if targets.get(&key.path).is_some_and(|keys| keys.len() == 1) {
                self.positions.take_over_path(&key);
            }
            new.push((key, settings));
        }
        self.metrics.active.set(tailers.len() as f64);
        New { files: new, others: Arc::new(targets.into_keys().map(PathBuf::from).collect()) }
    }

    /// Writes down which files have the names that are new, before any of them is opened: one that is rotated away after that
    /// is looked for by the next life, even if this one is killed in its first moments. Says what was written.
    ///
    /// Not for a file that is begun at its end: where that is, is known when it is open.
    async fn write_down(self: Arc<Self>, arguments: &FileArguments, new: &New) -> HashMap<Key, Known> {
        if arguments.tail_from_end || decompression(arguments).is_some() {
            return HashMap::new();
        }
        let unknown = new.files.iter().map(|(key, _)| key).filter(|key| self.positions.get(key).is_none());
        let unknown: Vec<Key> = unknown.cloned().collect();
        if unknown.is_empty() {
            return HashMap::new();
        }
        let this = self.clone();
        let firsts = base_sys::task::blocking("positions", move || this.positions.begin(unknown)).await;
        self.save(Sync::Kernel).await;
        firsts.returned().unwrap_or_default()
    }

    /// Starts what is new.
    fn begin(&self, arguments: &FileArguments, new: New, mut firsts: HashMap<Key, Known>, stop: &Stop) {
        let decompression = decompression(arguments);
        let mut tailers = self.lock();
        for (key, settings) in new.files {
            let first = firsts.remove(&key);
            if let Some(tailer) = self.start(arguments, settings, decompression.clone(), &key, first, &new.others, stop)
            {
                tailers.insert(key, tailer);
            }
        }
        self.metrics.active.set(tailers.len() as f64);
    }

    /// Forgets targets whose files are gone, and read to their end.
    fn sweep(&self) {
        let mut tailers = self.lock();
        tailers.retain(|key, tailer| {
            let left = tailer.status.has_left();
            if left {
                self.forget(key);
            }
            !left
        });
        self.metrics.active.set(tailers.len() as f64);
    }

    fn forget(&self, key: &Key) {
        self.positions.remove(key);
        for family in [&self.metrics.read_bytes, &self.metrics.file_bytes] {
            family.remove(&[&key.path]);
        }
        self.metrics.read_lines.remove(&[&key.path]);
    }

    fn start(
        &self,
        arguments: &FileArguments,
        settings: Settings,
        decompression: Option<Decompression>,
        key: &Key,
        first: Option<Known>,
        others: &Arc<HashSet<PathBuf>>,
        stop: &Stop,
    ) -> Option<Tailer> {
        let from = self.from(arguments, key)?;
        let path = [key.path.as_str()];
        let status = Arc::new(Status::new(settings));
        let is_new = first.is_some();
        let known = first.or_else(|| self.positions.known(key));
        let tail = Box::new(Tail {
            path: PathBuf::from(&key.path),
            from,
            known: known.map(|known| Box::new((known, others.clone()))),
            is_new,
            position: self.positions.track(key.clone()),
            file: 0,
            names: self.names.watch(Path::new(&key.path)),
            waiting: VecDeque::new(),
            behind: VecDeque::new(),
            forward_to: self.forward_to.subscribe(),
            metrics: TailMetrics {
                read_bytes: self.metrics.read_bytes.with(&path),
                file_bytes: self.metrics.file_bytes.with(&path),
                read_lines: self.metrics.read_lines.with(&path),
                cuts: self.metrics.cuts.clone(),
            },
            status: status.clone(),
        });
        let (child, token) = stop.child();
        // The tailer ends by the stop that it is given, after its last deliveries; the task must outlive that.
        let whole = Stop::new(self.never.clone(), stop.grace());
        let task = match &decompression {
            None => self.context.spawn(&whole, tail.run(child)),
            Some(decompression) => {
                let delay = decompression.initial_delay.to_std().unwrap_or_default();
                self.context.spawn(&whole, tail.run_compressed(decompression.format, delay, child))
            }
        };
        Some(Tailer { stop: token, task: Some(task), status, decompression })
    }

    /// Where to begin a file; nothing when it shall not be read.
    fn from(&self, arguments: &FileArguments, key: &Key) -> Option<From> {
        let Some(text) = self.positions.get(key) else {
            return Some(if arguments.tail_from_end { From::End } else { From::Offset(0) });
        };
        if let Ok(offset) = text.parse() {
            return Some(From::Offset(offset));
        }
        let policy = arguments.on_positions_file_error;
        tracing::warn!(path = key.path, position = text, policy = policy.as_str(), "the position is not a number");
        match policy {
            OnPositionsFileError::RestartFromBeginning => Some(From::Offset(0)),
            OnPositionsFileError::RestartFromEnd => Some(From::End),
            OnPositionsFileError::Skip => None,
        }
    }

    async fn save(self: Arc<Self>, sync: Sync) {
        if !self.positions.has_news(sync) {
            return;
        }
        let this = self.clone();
        let save = move || {
            let tailers = this.lock();
            // A file that a rotation has just taken away will be back.
            let is_read = |key: &Key| tailers.get(key).is_some_and(|tailer| tailer.status.running.load(Relaxed));
            let read: HashSet<Key> = tailers.keys().filter(|key| is_read(key)).cloned().collect();
            drop(tailers);
            this.positions.save(sync, |key| read.contains(key))
        };
        let Some(saved) = base_sys::task::blocking("positions", save).await.returned() else { return };
        match saved {
            Ok(()) if self.unsaved.end() => {
                tracing::info!("the positions file is written again");
                self.context.healthy("the positions file is written again");
            }
            Err(error) if self.unsaved.one() => {
                tracing::error!(%error, "cannot write the positions file; after a crash, lines would be repeated");
                self.context.unhealthy(format!("cannot write the positions file: {error}"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Tailer>> {
        self.tailers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
