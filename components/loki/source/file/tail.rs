//! Following one file.

mod catch_up;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base_sys::clock;
use base_sys::seldom::Seldom;
use base_sys::turn::together;
use bytes::Bytes;
use sdk_component::Stop;
use sdk_component::metrics::{Counter, Gauge};
use sdk_labels::Labels;
use sdk_signals::{BoxFuture, FanOut, LogBatch};
use tokio::sync::watch;
use tokio::time::Instant;

use super::compressed::Format;
use super::handle::{Handle, Standing};
use super::identity::{Identity, Known};
use super::names::{Named, News, Watched};
use super::progress::Position;
use super::text::{MAX_LINE_BYTES, TextForm};
use sdk_signals::window::{Progress, Window};

/// What a tailer is made of.
pub struct Tail {
    pub path: PathBuf,
    /// Where to begin in the file that is there first.
    pub from: From,
    /// The files that had the name before the last stop, and what is read by other tailers.
    pub known: Option<Box<(Known, Arc<HashSet<PathBuf>>)>>,
    /// Nothing was read of it before: what is known was seen just now.
    pub is_new: bool,
    pub position: Position,
    /// Counts the files that had the name: only the newest one's deliveries move the position.
    pub file: u64,
    /// Files that get the name.
    pub names: Watched,
    /// Those that have got it, in their order.
    pub waiting: VecDeque<Named>,
    /// Those that had it, and were read to their end, but not delivered.
    pub behind: VecDeque<Behind>,
    pub forward_to: watch::Receiver<FanOut<LogBatch>>,
    pub metrics: TailMetrics,
    pub status: Arc<Status>,
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Of every entry.
    pub labels: Labels,
    pub form: TextForm,
    /// How often it is looked at: while it grows, and when it has been still for long.
    pub poll: (Duration, Duration),
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Offset(u64),
    /// Behind the last newline that is there.
    End,
}

/// Counted for one file.
pub struct TailMetrics {
    pub read_bytes: Gauge,
    pub file_bytes: Gauge,
    pub read_lines: Counter,
    pub cuts: Arc<Cuts>,
}

/// Lines that were too long for one entry, of all files of a component.
pub struct Cuts {
    count: Counter,
    /// Tells of one.
    told: Seldom,
}

/// What a tailer shows, and what it is told.
pub struct Status {
    pub running: AtomicBool,
    pub offset: AtomicU64,
    stays: AtomicU8,
    settings: Mutex<Settings>,
    /// The tailer has not seen them yet.
    are_new: AtomicBool,
}

/// Whether a tailer waits for another file of the name: it does, it does not, it has ended.
const STAYS: u8 = 0;
const LEAVING: u8 = 1;
const LEFT: u8 = 2;

/// A file that was read to its end.
pub struct Behind {
    reading: Reading,
    delivered: u64,
}

/// A file as far as it was read.
#[derive(Clone)]
struct Reading {
    handle: Handle,
    cursor: Cursor,
    /// Behind a byte order mark.
    first: u64,
}

// === impl Cuts ===

impl Cuts {
    /// Counted by this.
    pub fn new(count: Counter) -> Cuts {
        Cuts { count, told: Seldom::default() }
    }

    /// A piece of a line ends here that goes on behind it.
    fn note(&self, path: &Path, offset: u64) {
        self.count.inc();
        if !self.told.one() {
            return;
        }
        tracing::warn!(
            path = %path.display(),
            offset,
            limit = MAX_LINE_BYTES,
            "a line is longer than an entry may be: it is cut here, and its rest is an entry of its own"
        );
    }
}

// === impl Status ===

impl Status {
    /// Before anything is read.
    pub fn new(settings: Settings) -> Status {
        Status {
            running: AtomicBool::new(false),
            offset: AtomicU64::new(0),
            stays: AtomicU8::new(STAYS),
            settings: Mutex::new(settings),
            are_new: AtomicBool::new(false),
        }
    }

    /// It is read like this from now on.
    pub fn change(&self, settings: Settings) {
        let mut now = self.settings();
        if *now != settings {
            *now = settings;
            self.are_new.store(true, Release);
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target is gone, as its file is: what was not read of that is still read, and delivered.
    pub fn leave(&self) {
        let _ = self.stays.compare_exchange(STAYS, LEAVING, AcqRel, Relaxed);
    }

    /// The target is back; false if its tailer has ended meanwhile.
    pub fn stay(&self) -> bool {
        self.stays.compare_exchange(LEAVING, STAYS, AcqRel, Relaxed) != Err(LEFT)
    }

    /// Whether the tailer has ended because its target was gone.
    pub fn has_left(&self) -> bool {
        self.stays.load(Relaxed) == LEFT
    }

    fn leaves(&self) -> bool {
        self.stays.compare_exchange(LEAVING, LEFT, AcqRel, Relaxed).is_ok()
    }
}

/// Where a batch ends, and in which of the files that had the name.
#[derive(Clone, Copy)]
struct Place {
    file: u64,
    end: u64,
}

/// A place in a text.
#[derive(Clone)]
struct Cursor {
    /// Of the files that had the name, the how manieth.
    file: u64,
    offset: u64,
    form: TextForm,
}

/// Batches on their way at the same time, from one file.
const MAX_BATCHES: usize = 128;

/// How much is read at once, at most and at least. A line longer than that makes it more.
const MAX_READ: usize = 256 << 10;
const MIN_READ: usize = 4 << 10;

/// Reading more than this from the disk leaves the reactor.
const INLINE_READ: usize = 64 << 10;

/// A file that is not there is looked for this seldom, at last.
const MAX_ABSENCE_POLL: Duration = Duration::from_secs(5);

/// A file that nothing has happened to for so long waits for the kernel to tell of the next thing.
const STILL: Duration = Duration::from_secs(2);

/// If the kernel will not tell, it is asked again this much later.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Even so, a file is looked at after a time between these: not everybody's writing is told of.
const LOOK_ANYWAY: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];

/// Files are looked at in steps of this: those that have an alarm, and the others.
const SELDOM_STEP: Duration = Duration::from_secs(1);
const OFTEN_STEP: Duration = Duration::from_millis(50);

/// A writer that was told of a rotation late goes on with the old file; so long it is waited for.
const LATE_WRITERS: Duration = Duration::from_millis(250);

/// A copy that was made so long before the last look may have been made behind it.
const COARSE_CLOCK: Duration = Duration::from_secs(2);

/// After a refusal or a loss downstream.
const RETRY: Duration = Duration::from_millis(250);

/// The tailer was asked to stop.
struct Stopped;

/// Somebody downstream lost what was handed on.
struct Lost;

// === impl Tail ===

impl Tail {
    /// Follows the file through growth, truncation and rotation until it is stopped.
    pub async fn run(mut self: Box<Self>, stop: Stop) {
        let mut window = Window::new(MAX_BATCHES);
        let run = async {
            let mut seen = self.known.take_if(|_| self.is_new);
            let mut from = match self.known.take() {
                Some(known) => From::Offset(Box::pin(self.catch_up(*known, &mut window, &stop)).await?),
                None => self.from,
            };
            let mut last: Option<Reading> = None;
            let mut previous: Option<Handle> = None;
            loop {
                let handle = self.next_file(previous.take(), &mut window, &stop).await?;
                // The one that was seen has lost its name before it could be opened.
                if let Some(seen) = seen.take_if(|seen| !seen.0.is_now(&handle)) {
                    self.waiting.push_front(Named { handle, at: Instant::now() });
                    from = From::Offset(Box::pin(self.catch_up(*seen, &mut window, &stop)).await?);
                    continue;
                }
                seen = None;
                let Some(mut reading) = self.begin(handle, from, last.take()) else {
                    wait(&stop, RETRY).await?;
                    continue;
                };
                self.status.running.store(true, Relaxed);
                let next = self.follow(&mut reading, &mut window, &stop).await?;
                from = From::Offset(0);
                previous = Some(reading.handle.clone());
                if next == Next::Anew {
                    last = Some(reading);
                }
            }
        };
        // It never ends well: a file may always grow.
        let _: Result<std::convert::Infallible, Stopped> = run.await;
        let drained = async {
            while !window.is_empty() {
                if self.lost(window.progress().await) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(stop.grace().mul_f64(0.9), drained).await;
        self.status.running.store(false, Relaxed);
    }

    /// Reads a compressed file to its end, once. Positions count what is behind the compression.
    pub async fn run_compressed(mut self: Box<Self>, format: Format, initial_delay: Duration, stop: Stop) {
        self.status.running.store(true, Relaxed);
        let mut window = Window::new(MAX_BATCHES);
        let run = async {
            wait(&stop, initial_delay).await?;
            let mut from = self.from;
            while let Err(Lost) = self.read_compressed(format, from, &mut window, &stop).await? {
                from = From::Offset(self.position.get());
                window.clear();
                wait(&stop, RETRY).await?;
            }
            Ok::<(), Stopped>(())
        };
        if run.await.is_err() {
            let drained = async { while !window.is_empty() && !self.lost(window.progress().await) {} };
            let _ = tokio::time::timeout(stop.grace().mul_f64(0.9), drained).await;
        }
        self.status.running.store(false, Relaxed);
    }

    async fn read_compressed(
        &mut self,
        format: Format,
        from: From,
        window: &mut Window<Place>,
        stop: &Stop,
    ) -> Result<Result<(), Lost>, Stopped> {
        let From::Offset(mut skip) = from else {
            tracing::info!(path = %self.path.display(), "a compressed file has no end to follow: nothing is read of it");
            return Ok(Ok(()));
        };
        let mut cursor = Cursor { file: self.file, offset: skip, form: self.form() };
        let mut pending = Vec::new();
        let mut reader = match format.open(&self.path) {
            Ok(reader) => Some(reader),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "cannot open the compressed file");
                return Ok(Ok(()));
            }
        };
        while let Some(mut open) = reader.take() {
            let read = base_sys::task::blocking("decompression", move || {
                let mut chunk = Vec::with_capacity(MAX_READ);
                let result = (&mut open).take(MAX_READ as u64).read_to_end(&mut chunk);
                (open, chunk, result)
            });
            let Some((open, chunk, result)) = read.await.returned() else { return Err(Stopped) };
            let at_end = chunk.len() < MAX_READ;
            if let Err(error) = &result {
                tracing::error!(path = %self.path.display(), %error, "the compressed file is damaged; what is before the damage is read");
            } else if !at_end {
                reader = Some(open);
            }
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= skipped as u64;
            pending.extend_from_slice(&chunk[skipped..]);
            let mut complete = cursor.form.complete(&pending);
            if at_end || result.is_err() {
                complete = pending.len();
            } else if complete == 0 && pending.len() >= MAX_LINE_BYTES {
                complete = pending.len();
                self.metrics.cuts.note(&self.path, cursor.offset + complete as u64);
            }
            if complete > 0 {
                let rest = pending.split_off(complete);
                let lines = Bytes::from(std::mem::replace(&mut pending, rest));
                self.hand_on(&mut cursor, window, lines, stop).await?;
                self.status.offset.store(cursor.offset, Relaxed);
                self.metrics.read_bytes.set(cursor.offset as f64);
            }
            while window.is_full() || (reader.is_none() && !window.is_empty()) {
                tokio::select! {
                    () = stop.stopped() => return Err(Stopped),
                    progress = window.progress() => if self.lost(progress) {
                        return Ok(Err(Lost));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// The next file that has the name: one that was seen getting it, or what has it now.
    async fn next_file(
        &mut self,
        previous: Option<Handle>,
        window: &mut Window<Place>,
        stop: &Stop,
    ) -> Result<Handle, Stopped> {
        self.take_names();
        while let Some(named) = self.waiting.pop_front() {
            if previous.as_ref().is_none_or(|previous| !previous.is(&named.handle)) {
                return Ok(named.handle);
            }
        }
        self.wait_for_file(window, stop).await
    }

    fn take_names(&mut self) {
        while let Some(named) = self.names.take() {
            self.waiting.push_back(named);
        }
    }

    async fn wait_for_file(&mut self, window: &mut Window<Place>, stop: &Stop) -> Result<Handle, Stopped> {
        let mut poll = self.poll().0;
        let mut told = false;
        loop {
            match Handle::open(&self.path) {
                Ok(handle) => return Ok(handle),
                Err(error) if !std::mem::replace(&mut told, true) => {
                    if error.kind() == io::ErrorKind::NotFound {
                        tracing::info!(path = %self.path.display(), "the file is not there; it is read when it appears");
                    } else {
                        tracing::error!(path = %self.path.display(), %error, "cannot open the file; trying again");
                    }
                }
                Err(_) => {}
            }
            if window.is_empty() && self.status.leaves() {
                return Err(Stopped);
            }
            tokio::select! {
                waited = wait(stop, poll) => waited?,
                progress = window.progress() => if self.lost(progress) {
                    self.read_behind_again(self.file, window, stop).await?;
                }
            }
            poll = (poll * 2).min(MAX_ABSENCE_POLL.max(self.poll().0));
        }
    }

    /// Finds the place to begin at. `last` is the file that had the name before.
    fn begin(&self, handle: Handle, from: From, last: Option<Reading>) -> Option<Reading> {
        let (form, first) = TextForm::of_mark(handle.mark()).unwrap_or((self.form(), 0));
        let size = handle.size().ok()?;
        let offset = match (from, last) {
            // The same text, written anew: what was read is read.
            (_, Some(last)) if last.handle.is_continued_by(&handle) => last.cursor.offset.min(size),
            (From::Offset(offset), _) if offset > size => {
                tracing::warn!(path = %self.path.display(), offset, size, "the file is shorter than it was read before: it was replaced meanwhile, reading it from its start");
                0
            }
            (From::Offset(offset), _) => offset,
            (From::End, _) => end_of_last_line(&handle, form, size).ok()?,
        };
        let offset = if offset == 0 && size > 0 { first } else { offset };
        self.position.change(|at, known| {
            *at = Some(offset);
            known.now = Some(handle.identity());
        });
        Some(Reading { handle, cursor: Cursor { file: self.file, offset, form }, first })
    }

    /// Reads what is there, waits for more, and returns when the name stands for something else.
    async fn follow(
        &mut self,
        reading: &mut Reading,
        window: &mut Window<Place>,
        stop: &Stop,
    ) -> Result<Next, Stopped> {
        let mut poll = self.poll().0;
        let mut size = reading.handle.size().unwrap_or_default();
        let mut more = true;
        let mut looked_at;
        let mut still_at = Instant::now() + STILL;
        self.names.end_alarm();
        loop {
            looked_at = clock::now();
            let before = reading.cursor.offset;
            if self.status.are_new.swap(false, Acquire) {
                reading.cursor.form = TextForm::of_mark(reading.handle.mark()).map_or(self.form(), |(form, _)| form);
            }
            // In boxes is what a tailer that waits does not need: there may be ten thousand.
            if more {
                Box::pin(self.read_all(reading, window, stop, false)).await?;
            }
            self.show(reading, size);
            poll = match reading.cursor.offset > before {
                true => self.poll().0,
                false => (poll * 2).min(self.poll().1.max(self.poll().0)),
            };
            // The alarm was set before the last look, so nothing can have happened between the two.
            let asleep = self.names.is_alarmed();
            if !asleep && Instant::now() >= still_at {
                self.names.set_alarm(&reading.handle);
                still_at = Instant::now() + ASK_AGAIN;
                window.give_back();
            }
            let until = match asleep {
                true => together(Instant::now() + poll.max(self.look_anyway()), SELDOM_STEP),
                false => together(Instant::now() + poll, OFTEN_STEP),
            };
            let woken = self.idle(reading, window, stop, until).await?;
            more = woken == Woken::More;

            // A file that stands still costs this one look.
            let standing = reading.handle.compare(&self.path, reading.cursor.offset);
            let is_still = matches!(standing, Ok(Standing::Same(now, _)) if now == size);
            if woken == Woken::Time && asleep && !is_still {
                tracing::debug!(path = %self.path.display(), "the kernel did not tell of a change; the file is looked at again and again");
                self.names.distrust();
            }
            if woken != Woken::Time || !is_still {
                self.names.end_alarm();
                still_at = Instant::now() + STILL;
            }
            match standing {
                Ok(Standing::Same(now, _)) if now == size => {}
                Ok(Standing::Same(now, modified)) => {
                    (more, size) = (true, now);
                    if !reading.handle.starts_as_before().unwrap_or(true) {
                        Box::pin(self.read_copy(reading, looked_at, window, stop)).await?;
                        return Ok(self.change("truncated and written again"));
                    }
                    let _ = reading.handle.look_at_start();
                    reading.handle.was_modified(modified);
                    self.position.was_modified(&reading.handle);
                    if reading.cursor.offset == 0 {
                        // It was empty when it was opened: now its mark can be seen.
                        (reading.cursor.form, reading.first) =
                            TextForm::of_mark(reading.handle.mark()).unwrap_or((self.form(), 0));
                        reading.cursor.offset = reading.first;
                    }
                }
                Ok(Standing::Truncated) => {
                    Box::pin(self.read_copy(reading, looked_at, window, stop)).await?;
                    return Ok(self.change("truncated"));
                }
                Ok(Standing::Replaced | Standing::Missing) => {
                    Box::pin(self.drain(reading, window, stop)).await?;
                    let same_text = reading.handle.size().is_ok_and(|size| size >= reading.cursor.offset);
                    self.leave(Some(reading.clone()), window.is_empty());
                    return Ok(if same_text { Next::Anew } else { Next::Other });
                }
                // A file system that does not answer for a moment is no rotation.
                Err(error) => tracing::debug!(path = %self.path.display(), %error, "cannot look at the file"),
            }
        }
    }

    fn change(&mut self, what: &str) -> Next {
        tracing::debug!(path = %self.path.display(), what, "reading the file from its start");
        self.leave(None, true);
        Next::Other
    }

    /// The file that had the name is read; what it held is on its way, or all delivered.
    fn leave(&mut self, reading: Option<Reading>, delivered: bool) {
        let done = reading.as_ref().filter(|_| delivered).map(|reading| reading.handle.identity());
        if let Some(reading) = reading.filter(|_| !delivered) {
            self.keep_behind(reading);
        }
        self.file += 1;
        let behind = self.known_behind();
        self.position.change(|at, known| {
            *at = Some(0);
            known.now = None;
            known.behind = behind;
            if let Some(done) = done {
                known.add_done(done);
            }
        });
    }

    /// Deliveries of this file, which is the current one, are waited for.
    fn keep_behind(&mut self, reading: Reading) {
        let delivered = self.position.get().max(reading.first);
        self.behind.push_back(Behind { reading, delivered });
    }

    fn known_behind(&self) -> Vec<(Identity, u64)> {
        self.behind.iter().map(|behind| (behind.reading.handle.identity(), behind.delivered)).collect()
    }

    /// The file has lost its name: everything in it is read, with its last line even if that has no end.
    async fn drain(&mut self, reading: &mut Reading, window: &mut Window<Place>, stop: &Stop) -> Result<(), Stopped> {
        self.take_names();
        while self.waiting.front().is_some_and(|named| named.handle.is(&reading.handle)) {
            self.waiting.pop_front();
        }
        let replaced = self.waiting.front().map_or_else(Instant::now, |named| named.at);
        loop {
            let before = reading.cursor.offset;
            self.read_all(reading, window, stop, false).await?;
            wait_until(stop, replaced + LATE_WRITERS).await?;
            if reading.handle.size().map_or(true, |size| size <= reading.cursor.offset)
                || reading.cursor.offset == before
            {
                break;
            }
        }
        self.read_all(reading, window, stop, true).await
    }

    /// The file was emptied: what it held behind the last look is in the copy that was made before, if there is one.
    async fn read_copy(
        &mut self,
        reading: &Reading,
        looked_at: std::time::SystemTime,
        window: &mut Window<Place>,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        // The clock of a file system ticks a few times in a second, or once in two.
        let since = looked_at.checked_sub(COARSE_CLOCK).unwrap_or(looked_at);
        let (handle, path, offset) = (reading.handle.clone(), self.path.clone(), reading.cursor.offset);
        let found = base_sys::task::blocking("tail", move || handle.copies(&path, offset, since)).await;
        let Some(copy) = found.returned().unwrap_or_default().into_iter().next() else { return Ok(()) };
        let mut copy = Reading { handle: copy, cursor: reading.cursor.clone(), first: reading.first };
        self.read_all(&mut copy, window, stop, true).await?;
        if !window.is_empty() {
            self.keep_behind(copy);
        }
        Ok(())
    }

    /// Reads and hands on up to the end of the file; `also_unfinished` takes a last line without newline, too.
    async fn read_all(
        &mut self,
        reading: &mut Reading,
        window: &mut Window<Place>,
        stop: &Stop,
        also_unfinished: bool,
    ) -> Result<(), Stopped> {
        let mut wanted = MAX_READ;
        loop {
            if stop.is_stopped() {
                return Err(Stopped);
            }
            while window.is_full() {
                tokio::select! {
                    () = stop.stopped() => return Err(Stopped),
                    progress = window.progress() => if self.lost(progress) {
                        self.rewind(reading, window, stop).await?;
                    }
                }
            }
            let chunk = match self.read(reading, wanted).await {
                Ok(chunk) => chunk,
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "cannot read the file; trying again");
                    return wait(stop, RETRY).await;
                }
            };
            if !chunk.is_empty() {
                self.learn(reading);
            }
            let at_end = chunk.len() < wanted;
            let mut complete = reading.cursor.form.complete(&chunk);
            if complete == 0 && !at_end && wanted < MAX_LINE_BYTES {
                wanted *= 2;
                continue;
            }
            if complete == 0 && !at_end {
                self.metrics.cuts.note(&self.path, reading.cursor.offset + chunk.len() as u64);
            }
            if complete == 0 && (!at_end || also_unfinished) {
                complete = chunk.len();
            }
            if complete == 0 {
                return Ok(());
            }
            wanted = MAX_READ;
            let lines = Bytes::from(chunk).slice(..complete);
            self.hand_on(&mut reading.cursor, window, lines, stop).await?;
            if at_end && !(also_unfinished && complete > 0) {
                return Ok(());
            }
        }
    }

    /// A file that was empty, or short, when it was opened can be known again by more, now that it is read.
    fn learn(&self, reading: &mut Reading) {
        let known = reading.handle.known_by();
        let _ = reading.handle.look_at_start();
        if reading.handle.known_by() > known && reading.cursor.file == self.file {
            self.position.was_modified(&reading.handle);
        }
    }

    async fn read(&self, reading: &Reading, wanted: usize) -> io::Result<Vec<u8>> {
        let size = reading.handle.size()?;
        let there = usize::try_from(size.saturating_sub(reading.cursor.offset)).unwrap_or(usize::MAX);
        if there == 0 {
            return Ok(Vec::new());
        }
        // A little more than is there shows that it was the end.
        let wanted = wanted.min(there.max(MIN_READ));
        let (handle, offset) = (reading.handle.clone(), reading.cursor.offset);
        // What was just written is in memory: another thread, and another core's caches, would cost more than the reading.
        if let Some(chunk) = handle.read_at_once(offset, wanted)? {
            return Ok(chunk);
        }
        if wanted <= INLINE_READ && !handle.is_compressed() {
            return handle.read(offset, wanted);
        }
        let read = base_sys::task::blocking("tail", move || handle.read(offset, wanted)).await;
        read.returned().unwrap_or_else(|| Err(io::Error::other("the runtime is shutting down")))
    }

    /// Hands lines on until they are taken.
    async fn hand_on(
        &mut self,
        cursor: &mut Cursor,
        window: &mut Window<Place>,
        lines: Bytes,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let mut told = false;
        loop {
            let entries = cursor.form.lines(&lines, clock::now_ns());
            let count = entries.len() as u64;
            let forward_to = self.forward_to.borrow().clone();
            let labels = self.status.settings().labels.clone();
            let batch = LogBatch { rereadable: true, ..LogBatch::of(labels, entries) };
            let taken = tokio::select! {
                biased;
                taken = forward_to.consume(batch) => taken,
                () = stop.stopped() => return Err(Stopped),
            };
            match taken {
                Ok(delivery) => {
                    cursor.offset += lines.len() as u64;
                    window.push(Place { file: cursor.file, end: cursor.offset }, delivery);
                    self.metrics.read_lines.add(count);
                    return Ok(());
                }
                Err(refused) if !refused.retryable => {
                    tracing::error!(path = %self.path.display(), reason = refused.reason, lines = count, "lines are refused for good and passed over");
                    cursor.offset += lines.len() as u64;
                    return Ok(());
                }
                Err(refused) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::debug!(path = %self.path.display(), reason = refused.reason, "lines are not taken yet");
                    }
                    wait(stop, refused.retry_after.unwrap_or(RETRY)).await?;
                }
            }
        }
    }

    /// Waits for the next look at the file; deliveries move the position meanwhile.
    async fn idle(
        &mut self,
        reading: &mut Reading,
        window: &mut Window<Place>,
        stop: &Stop,
        until: Instant,
    ) -> Result<Woken, Stopped> {
        loop {
            tokio::select! {
                () = stop.stopped() => return Err(Stopped),
                () = tokio::time::sleep_until(until) => return Ok(Woken::Time),
                news = self.names.news() => match news {
                    News::Alarm => return Ok(Woken::Alarm),
                    News::File(named) => {
                        let other = !named.handle.is(&reading.handle);
                        self.waiting.push_back(named);
                        if other {
                            return Ok(Woken::More);
                        }
                    }
                },
                progress = window.progress() => if self.lost(progress) {
                    self.rewind(reading, window, stop).await?;
                    return Ok(Woken::More);
                }
            }
        }
    }

    /// When a file is looked at for which there is an alarm; many of them at different times.
    fn look_anyway(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.path.hash(&mut hasher);
        let [earliest, latest] = LOOK_ANYWAY;
        earliest + (latest - earliest).mul_f64((hasher.finish() % 1000) as f64 / 1000.0)
    }

    /// Somebody lost what was handed on: it is read again, from the first file on that was not delivered whole.
    async fn rewind(&mut self, reading: &mut Reading, window: &mut Window<Place>, stop: &Stop) -> Result<(), Stopped> {
        let current = reading.cursor.file;
        self.read_behind_again(current, window, stop).await?;
        let behind = self.behind.iter().find(|old| old.reading.cursor.file == current);
        reading.cursor.offset = behind.map_or_else(|| self.position.get().max(reading.first), |old| old.delivered);
        Ok(())
    }

    /// Nothing is on its way any more; the files before `below` are read again from where they were delivered.
    fn read_behind_again<'a>(
        &'a mut self,
        below: u64,
        window: &'a mut Window<Place>,
        stop: &'a Stop,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        Box::pin(async move {
            tracing::warn!(path = %self.path.display(), position = self.position.get(), "lines were lost on their way and are read again");
            window.clear();
            wait(stop, RETRY).await?;
            let mut next = 0;
            loop {
                let mut older = self.behind.iter().filter(|old| (next..below).contains(&old.reading.cursor.file));
                let Some(Behind { reading: old, delivered }) = older.next() else { return Ok(()) };
                let mut old = Reading { cursor: Cursor { offset: *delivered, ..old.cursor.clone() }, ..old.clone() };
                next = old.cursor.file + 1;
                self.read_all(&mut old, window, stop, true).await?;
            }
        })
    }

    /// Moves the position; true when something was lost instead.
    fn lost(&mut self, progress: Progress<Place>) -> bool {
        let Progress::Delivered(place) = progress else { return true };
        // Deliveries come in order: of older files nothing is on its way any more.
        let mut done = Vec::new();
        while let Some(old) = self.behind.pop_front_if(|old| old.reading.cursor.file < place.file) {
            done.push(old.reading.handle.identity());
        }
        let behind = self.behind.front_mut().filter(|old| old.reading.cursor.file == place.file);
        let is_current = behind.is_none();
        let moved_behind = behind.map(|old| old.delivered = place.end).is_some() || !done.is_empty();
        let behind = moved_behind.then(|| self.known_behind());
        self.position.change(|at, known| {
            if let Some(behind) = behind {
                known.behind = behind;
            }
            done.into_iter().for_each(|done| known.add_done(done));
            if is_current && place.file == self.file {
                *at = Some(place.end);
            }
        });
        false
    }

    fn form(&self) -> TextForm {
        self.status.settings().form
    }

    fn poll(&self) -> (Duration, Duration) {
        self.status.settings().poll
    }

    fn show(&self, reading: &Reading, size: u64) {
        self.metrics.read_bytes.set(reading.cursor.offset as f64);
        self.metrics.file_bytes.set(size as f64);
        self.status.offset.store(reading.cursor.offset, Relaxed);
    }
}

/// Why a file is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    Time,
    /// Something has happened to it.
    Alarm,
    /// There is something to read again, or another file has the name.
    More,
}

/// What the name stands for next.
#[derive(PartialEq, Eq)]
enum Next {
    /// Perhaps the same text in another file.
    Anew,
    /// Other text.
    Other,
}

async fn wait_until(stop: &Stop, at: Instant) -> Result<(), Stopped> {
    tokio::select! {
        () = stop.stopped() => Err(Stopped),
        () = tokio::time::sleep_until(at) => Ok(()),
    }
}

async fn wait(stop: &Stop, time: Duration) -> Result<(), Stopped> {
    wait_until(stop, Instant::now() + time).await
}

/// Behind the last newline.
fn end_of_last_line(handle: &Handle, form: TextForm, size: u64) -> io::Result<u64> {
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(MAX_READ as u64);
        let complete = form.complete(&handle.read(start, (end - start) as usize)?);
        if complete > 0 {
            return Ok(start + complete as u64);
        }
        end = start;
    }
    Ok(0)
}
