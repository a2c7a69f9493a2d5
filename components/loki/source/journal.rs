//! `loki.source.journal`: reads the journal of systemd, from its files.
//!
//! No library of systemd is needed, so it works in any image that sees the files. Reading happens on the blocking pool, a
//! batch at a time; the position that is saved is the cursor of the last entry whose delivery is known, in journald's own
//! words, so that positions of Alloy are taken over.

mod access;
mod cursor;
mod entry;
mod file;
mod files;
mod folders;
mod xz;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::{Counter, CounterVec};
use base_stdx::GoDuration;
use base_sys::fs::Sync;
use base_sys::task;
use language_eval::{Arguments, Block, BodyNode, ToValue};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_relabel::{NameRule, Rules};
use sdk_signals::{Delivery, FanOut, LogBatch, LogsReceiver};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::source::positions::{self, Positions, SAVE_EVERY, SAVES_PER_SYNC};
use cursor::Cursor;
use entry::Entries;
use files::{Journal as Files, Matches, Start};
use folders::Watch;
use sdk_signals::window::{Progress, Window};

/// How long a stop waits for what is on its way; what is not delivered by then is read again after the next start.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);
/// Batches on their way.
const IN_FLIGHT: usize = 16;
/// Entries of a batch.
const BATCH_ENTRIES: usize = 1000;
/// Bytes of a batch's fields.
const BATCH_BYTES: usize = 1 << 20;
/// New files are looked for so often even when nothing is told of them.
const RESCAN_EVERY: Duration = Duration::from_secs(10);
/// A journal that cannot be opened, or has no file, is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// A batch that was refused is read again after this.
const REFUSED: Duration = Duration::from_millis(500);

/// Reads the journal of systemd.
///
/// The files are read as they are, no library of systemd is needed: in a container it is enough to mount
/// `/var/log/journal` (or `/run/log/journal`) and to set `path`. The process must be allowed to read them, mostly by being
/// in the group `systemd-journal`. Each field of an entry is a label for `relabel_rules`, `__journal_` and its name in
/// small letters: `__journal__systemd_unit`. Fields may be compressed with zstd, lz4 or xz; those that are damaged or
/// hold more than 16 MiB are left out and counted in `loki_source_journal_target_parsing_errors_total`.
#[derive(Arguments)]
pub struct JournalArguments {
    /// The line is all fields as JSON, not the message alone.
    #[attr(optional)]
    format_as_json: bool,
    /// Without a position, or with one that is older, begin this far back.
    #[attr(default = GoDuration::from_secs(7 * 3600))]
    max_age: GoDuration,
    /// The folder of the journal; empty means this machine's own.
    #[attr(optional)]
    path: String,
    /// Rules for the labels of each entry.
    #[attr(optional)]
    relabel_rules: Option<Rules>,
    /// Only entries with these fields: `FIELD=value` pairs with blanks between them. Pairs of one field are alternatives.
    #[attr(optional)]
    matches: String,
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// Labels for every entry.
    #[attr(optional)]
    labels: BTreeMap<String, String>,
    /// The positions of Promtail or the Agent, to go on from when there are none of our own.
    #[block]
    legacy_position: Option<LegacyPosition>,
}

/// A position of Promtail or the Agent.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LegacyPosition {
    /// Its positions file.
    #[attr]
    file: String,
    /// The name of the job there.
    #[attr]
    name: String,
}

/// The component.
pub struct Journal {
    context: Context,
    wanted: watch::Sender<Arc<Wanted>>,
    lines: Counter,
    errors: CounterVec,
    shown: Arc<Mutex<Option<Cursor>>>,
}

/// Checked arguments.
struct Wanted {
    path: Option<PathBuf>,
    max_age: Duration,
    matches: Matches,
    entries: Arc<Entries>,
    forward_to: FanOut<LogBatch>,
    legacy: Option<LegacyPosition>,
}

/// What one look at the files gave.
struct Read {
    files: Files,
    batch: LogBatch,
    lines: u64,
    /// By reason.
    errors: Vec<(&'static str, u64)>,
    position: Option<Cursor>,
}

/// Why following ended.
enum Ended {
    Told,
    /// The arguments changed, or what was on its way was lost: begin again from the saved position.
    Again(Duration),
}

// === impl Journal ===

impl Component for Journal {
    const NAME: &'static str = "loki.source.journal";

    type Arguments = JournalArguments;
    type Exports = ();

    fn build(context: &Context, arguments: JournalArguments) -> Result<Journal, Problem> {
        let metrics = context.metrics();
        let wanted = check(context, arguments)?;
        Ok(Journal {
            context: context.clone(),
            lines: metrics
                .counter("loki_source_journal_target_lines_total", "Total number of successful journal lines read"),
            errors: metrics.counter_vec(
                "loki_source_journal_target_parsing_errors_total",
                "Total number of parsing errors while reading journal messages",
                &["error"],
            ),
            wanted: watch::Sender::new(Arc::new(wanted)),
            shown: Arc::default(),
        })
    }

    fn update(&self, arguments: JournalArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(&self.context, arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let file = self.context.data_path().join("positions.yml");
        let mut positions = positions::load(file).await?;
        let mut wanted = self.wanted.subscribe();
        loop {
            let now = wanted.borrow_and_update().clone();
            let ended = self.follow(&now, &mut wanted, &mut positions, &stop).await;
            positions::save(&mut positions).await;
            match ended {
                Ended::Told => return Ok(()),
                Ended::Again(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.stopped() => return Ok(()),
                },
            }
        }
    }

    fn describe(&self) -> Description {
        let cursor = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let text = cursor.map_or_else(String::new, |cursor| cursor.to_string());
        let position = BodyNode::Attribute { name: "position".to_owned(), value: text.to_value() };
        Description { debug_info: vec![position] }
    }
}

impl Journal {
    fn key(&self) -> String {
        format!("cursor-{}", self.context.id())
    }

    /// Reads and follows until told, or until it must begin again.
    async fn follow(
        &self,
        wanted: &Arc<Wanted>,
        changes: &mut watch::Receiver<Arc<Wanted>>,
        positions: &mut Positions,
        stop: &Stop,
    ) -> Ended {
        let start = self.start(wanted, positions).await;
        let (path, matches) = (wanted.path.clone(), wanted.matches.clone());
        let opened = task::blocking("journal", move || Files::open(path.as_deref(), matches, start)).await;
        let mut files = match opened.returned() {
            Some(Ok(files)) => files,
            Some(Err(why)) => {
                tracing::error!(error = why, "the journal cannot be read; trying again");
                self.context.unhealthy(why);
                return self.pause(changes, stop, RETRY).await;
            }
            None => return Ended::Told,
        };
        let mut watch = Watch::new(&files.folders());
        let mut window = Window::new(IN_FLIGHT);
        let mut saves = 0;
        let mut save = tokio::time::interval_at(Instant::now() + SAVE_EVERY, SAVE_EVERY);
        let mut rescanned = Instant::now();
        let mut said = None;
        loop {
            let emptiness = files.emptiness();
            if said.as_ref() != Some(&emptiness) {
                match &emptiness {
                    Some(why) => {
                        tracing::warn!(error = why, "there is no journal to read yet");
                        self.context.unhealthy(why.clone());
                    }
                    None => self.context.healthy("journal is followed"),
                }
                said = Some(emptiness);
            }
            let rescan = watch.take_files_changed() || rescanned.elapsed() >= RESCAN_EVERY;
            if rescan {
                rescanned = Instant::now();
            }
            let entries = wanted.entries.clone();
            let reading = task::blocking("journal", move || Read::of(files, &entries, rescan)).await;
            let Some(read) = reading.returned() else { return Ended::Told };
            for (reason, count) in &read.errors {
                self.errors.with(&[reason]).add(*count);
            }
            let (idle, more) = (read.batch.is_empty(), read.files.more);
            files = read.files;
            if rescan {
                watch.also(&files.folders());
            }
            if let Some(ended) = self.hand_on(wanted, read.batch, read.lines, read.position, &mut window, stop).await {
                self.drain(&mut window, positions, stop).await;
                return ended;
            }
            // Goes on at once when there may be more, but not before there is room for it.
            let mut goes_on = !idle || more;
            while !goes_on || window.is_full() {
                tokio::select! {
                    () = stop.stopped() => {
                        self.drain(&mut window, positions, stop).await;
                        return Ended::Told;
                    }
                    changed = changes.changed() => {
                        if changed.is_ok() {
                            self.drain(&mut window, positions, stop).await;
                            return Ended::Again(Duration::ZERO);
                        }
                    }
                    _ = save.tick() => {
                        saves = (saves + 1) % SAVES_PER_SYNC;
                        positions::save_to(positions, if saves == 0 { Sync::Disk } else { Sync::Kernel }).await;
                    }
                    progress = window.progress() => match progress {
                        Progress::Delivered(cursor) => self.delivered(positions, cursor),
                        Progress::Abandoned => return Ended::Again(REFUSED),
                    },
                    () = watch.woken(), if !goes_on => goes_on = true,
                }
            }
            if stop.is_stopped() || changes.has_changed().unwrap_or(true) {
                self.drain(&mut window, positions, stop).await;
                return if stop.is_stopped() { Ended::Told } else { Ended::Again(Duration::ZERO) };
            }
        }
    }

    /// Hands a batch on; Some: it was not taken.
    async fn hand_on(
        &self,
        wanted: &Wanted,
        batch: LogBatch,
        lines: u64,
        position: Option<Cursor>,
        window: &mut Window<Cursor>,
        stop: &Stop,
    ) -> Option<Ended> {
        let delivery = match batch.is_empty() {
            // Entries that are left out are done with.
            true => Delivery::delivered(),
            false => tokio::select! {
                taken = wanted.forward_to.consume(batch) => match taken {
                    Ok(delivery) => delivery,
                    Err(refused) => {
                        tracing::debug!(%refused, "entries were refused; they are read again");
                        return Some(Ended::Again(refused.retry_after.unwrap_or(REFUSED)));
                    }
                },
                // Not taken, so not delivered: it is read again after the next start.
                () = stop.stopped() => return Some(Ended::Told),
            },
        };
        self.lines.add(lines);
        if let Some(position) = position {
            window.push(position, delivery);
        }
        None
    }

    fn delivered(&self, positions: &mut Positions, cursor: Cursor) {
        positions.set(&self.key(), "", cursor.to_string());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    /// Waits for what is on its way; not for long when told to stop.
    async fn drain(&self, window: &mut Window<Cursor>, positions: &mut Positions, stop: &Stop) {
        let limit = tokio::time::sleep(LAST_DELIVERIES.min(stop.grace()));
        tokio::pin!(limit);
        while !window.is_empty() {
            tokio::select! {
                progress = window.progress() => match progress {
                    Progress::Delivered(cursor) => self.delivered(positions, cursor),
                    Progress::Abandoned => return,
                },
                () = &mut limit => return,
            }
        }
    }

    async fn pause(&self, changes: &mut watch::Receiver<Arc<Wanted>>, stop: &Stop, pause: Duration) -> Ended {
        tokio::select! {
            () = stop.stopped() => Ended::Told,
            _ = changes.changed() => Ended::Again(Duration::ZERO),
            () = tokio::time::sleep(pause) => Ended::Again(Duration::ZERO),
        }
    }

    /// Where to begin: behind the saved position, unless that is too long ago.
    async fn start(&self, wanted: &Wanted, positions: &mut Positions) -> Start {
        let now_us = u64::try_from(base_sys::clock::now_ns() / 1000).unwrap_or_default();
        let oldest = now_us.saturating_sub(u64::try_from(wanted.max_age.as_micros()).unwrap_or(u64::MAX));
        // Alloy writes what it takes over from others under the labels {}.
        let saved = positions.get(&self.key(), "").or_else(|| positions.get(&self.key(), "{}")).map(str::to_owned);
        let saved = match (saved, &wanted.legacy) {
            (Some(saved), _) => Some(saved),
            (None, Some(legacy)) => self.legacy(legacy).await,
            (None, None) => None,
        };
        match saved.map(|saved| saved.parse::<Cursor>()) {
            Some(Ok(cursor)) if cursor.realtime >= oldest => Start::After(cursor),
            Some(Ok(_)) => {
                tracing::info!(max_age = ?wanted.max_age, "the saved position is older than max_age; what lies between is passed over");
                Start::Since(oldest)
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the saved position cannot be used; beginning max_age ago");
                Start::Since(oldest)
            }
            None => Start::Since(oldest),
        }
    }

    async fn legacy(&self, legacy: &LegacyPosition) -> Option<String> {
        let (file, key) = (PathBuf::from(&legacy.file), format!("cursor-{}", legacy.name));
        let read = task::blocking("legacy positions", move || positions::legacy(&file, &key)).await;
        match read.returned()? {
            Ok(position) => position,
            Err(error) => {
                tracing::warn!(file = legacy.file, %error, "the legacy position cannot be read");
                None
            }
        }
    }
}

// === impl Read ===

impl Read {
    fn of(mut files: Files, entries: &Entries, rescan: bool) -> Read {
        if rescan {
            files.rescan();
        }
        let before = files.position();
        let mut batch = LogBatch { rereadable: true, ..LogBatch::default() };
        let (mut lines, mut bytes) = (0, 0);
        let mut errors: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut full = false;
        while !full {
            let Some(record) = files.next() else { break };
            bytes += record.fields.iter().map(|field| field.value.len()).sum::<usize>();
            match entries.add(&record, &mut batch) {
                Ok(()) => lines += 1,
                Err(reason) => *errors.entry(reason).or_default() += 1,
            }
            full = lines as usize >= BATCH_ENTRIES || bytes >= BATCH_BYTES;
        }
        files.more |= full;
        for (reason, count) in files.faults.drain() {
            *errors.entry(reason).or_default() += count;
        }
        let position = files.position().filter(|position| before != Some(*position));
        Read { batch, lines, errors: errors.into_iter().collect(), position, files }
    }
}

fn check(context: &Context, arguments: JournalArguments) -> Result<Wanted, Problem> {
    let matches = Matches::parse(&arguments.matches).map_err(|error| Problem::at("matches", error))?;
    let rules = arguments.relabel_rules.filter(|rules| !rules.is_empty());
    Ok(Wanted {
        path: (!arguments.path.is_empty()).then(|| Path::new(&arguments.path).to_owned()),
        max_age: arguments.max_age.to_std().unwrap_or_default(),
        matches,
        entries: Arc::new(Entries::new(
            context.id(),
            &arguments.labels,
            rules.map(|rules| rules.with_names(NameRule::Legacy)),
            arguments.format_as_json,
        )),
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
        legacy: arguments.legacy_position,
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
