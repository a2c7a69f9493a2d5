//! The files of the component and its operators: looks for files, reads them by turns, and makes records of their lines.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use base_re2::Regex;
use base_sys::clock;
use base_sys::fs::Sync;
use sdk_component::{Context, Problem};
use sdk_protocols_otlp::model::{AnyValue, Map};
use sdk_stanza::encode::encode;
use sdk_stanza::expression::Template;
use sdk_stanza::pipeline::Counts;
use sdk_stanza::{Entry, Operators, Pipeline};

use super::arguments::{Arguments, Compression, StartAt};
use super::finding::Finding;
use super::known::{self, Known, Place};
use super::lines::{Encoding, Splitter};
use super::reader::{self, Reader, Resolver};

/// The arguments, ready to be used.
pub(super) struct Setup {
    finding: Finding,
    pub(super) splitter: Splitter,
    pub(super) header: Option<HeaderLines>,
    /// Keep blanks before and behind.
    pub(super) keep_blanks: (bool, bool),
    /// In nanoseconds; 0 never.
    pub(super) flush_after: i64,
    pub(super) max_log_size: usize,
    pub(super) fingerprint_size: usize,
    pub(super) compression: Compression,
    pub(super) lock: bool,
    pub(super) resolver: Resolver,
    record_number: bool,
    from_beginning: bool,
    at_once: usize,
    max_batches: usize,
    attributes: Vec<(String, Template)>,
    resource: Vec<(String, Template)>,
    operators: Operators,
    pub(super) poll_interval: Duration,
    /// The first and the longest pause when records are refused.
    pub(super) pauses: (Duration, Duration),
    /// Where positions are kept.
    pub(super) state: Option<PathBuf>,
}

/// The lines that describe a file, and what they are made of.
pub(super) struct HeaderLines {
    pattern: Regex,
    pipeline: Mutex<Pipeline>,
}

/// Where reading of a file had come when something was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) reading: u64,
    id: u64,
    place: Place,
}

/// What a step comes to.
#[derive(Default)]
pub(super) struct Step {
    /// A request, and how many records are in it.
    pub(super) request: Option<(Vec<u8>, u32)>,
    pub(super) mark: Option<Mark>,
    /// Nothing from before this reading is held by an operator.
    pub(super) oldest: Option<u64>,
    pub(super) counts: Counts,
    /// Every file was read to its end.
    pub(super) done: bool,
}

/// The files, by what is known of them.
pub(super) struct Files {
    setup: std::sync::Arc<Setup>,
    pipeline: Pipeline,
    /// Found in this round and the last one; those behind are of the last one only.
    current: Vec<Reader>,
    previous: Vec<Reader>,
    /// No pattern finds them any more, and not all of them is delivered.
    lingering: Vec<Reader>,
    /// Closed in the last rounds, the newest first.
    closed: [Vec<Known>; ROUNDS],
    /// Of `current`, those that are to be read.
    queue: VecDeque<usize>,
    /// To be looked at in this round.
    paths: Option<VecDeque<PathBuf>>,
    batches: usize,
    from_beginning: bool,
    unreadable: HashSet<PathBuf>,
    delivered: HashMap<u64, Place>,
    next_id: u64,
    reading: u64,
}

/// A file that was closed is remembered for so many rounds.
const ROUNDS: usize = 3;

/// So many unreadable files are told of once each.
const MAX_UNREADABLE: usize = 10_000;

// === impl Setup ===

impl Setup {
    pub(super) fn new(context: &Context, arguments: &Arguments) -> Result<Setup, Problem> {
        let encoding =
            Encoding::named(&arguments.encoding).ok_or_else(|| Problem::at("encoding", "it is not known"))?;
        let period = |duration: base_stdx::GoDuration| duration.to_std().unwrap_or_default();
        let templates = |field: &'static str, texts: &std::collections::BTreeMap<String, String>| {
            texts
                .iter()
                .map(|(name, text)| Ok((name.clone(), Template::new(text).map_err(|error| Problem::at(field, error))?)))
                .collect::<Result<Vec<_>, Problem>>()
        };
        let header = arguments.header.as_ref().map(|header| {
            let pattern = Regex::new(&header.pattern).map_err(|error| Problem::at("header", error.to_string()))?;
            Ok(HeaderLines { pattern, pipeline: Mutex::new(header.metadata_operators.pipeline()) })
        });
        let retry = &arguments.retry_on_failure;
        Ok(Setup {
            finding: Finding::new(arguments).map_err(|(field, what)| Problem::at(field, what))?,
            splitter: Splitter::new(encoding, arguments.multiline.as_ref())
                .map_err(|what| Problem::at("multiline", what))?,
            header: header.transpose()?,
            keep_blanks: (arguments.preserve_leading_whitespaces, arguments.preserve_trailing_whitespaces),
            flush_after: arguments.force_flush_period.as_nanos(),
            max_log_size: arguments.max_log_size.to_usize().unwrap_or(usize::MAX),
            fingerprint_size: arguments.fingerprint_size.to_usize().unwrap_or(usize::MAX),
            compression: arguments.compression,
            lock: arguments.acquire_fs_lock,
            resolver: Resolver {
                name: arguments.include_file_name,
                path: arguments.include_file_path,
                name_resolved: arguments.include_file_name_resolved,
                path_resolved: arguments.include_file_path_resolved,
                owner: arguments.include_file_owner_name,
                group: arguments.include_file_owner_group_name,
                permissions: arguments.include_file_permissions,
            },
            record_number: arguments.include_file_record_number,
            from_beginning: arguments.start_at == StartAt::Beginning,
            at_once: usize::try_from(arguments.max_concurrent_files / 2).unwrap_or(usize::MAX).max(1),
            max_batches: usize::try_from(arguments.max_batches).unwrap_or(usize::MAX),
            attributes: templates("attributes", &arguments.attributes)?,
            resource: templates("resource", &arguments.resource)?,
            operators: arguments.operators.clone(),
            poll_interval: period(arguments.poll_interval),
            pauses: (period(retry.initial_interval), period(retry.max_interval)),
            state: arguments.storage.as_ref().map(|storage| storage.place(context.id(), "filelog").join("positions")),
        })
    }

    /// The record of a line.
    fn entry(&self, body: AnyValue, number: u64, file: &Map, observed: i64, reading: u64) -> Entry {
        let mut entry = Entry::new(body, observed, reading);
        for (templates, resource) in [(&self.attributes, false), (&self.resource, true)] {
            for (name, template) in templates {
                match template.render(&entry) {
                    Ok(text) if resource => entry.resource.set(name.as_str(), text),
                    Ok(text) => entry.attributes.set(name.as_str(), text),
                    Err(error) => tracing::error!(name, %error, "an attribute is left out"),
                }
            }
        }
        match entry.attributes.0.is_empty() {
            true => entry.attributes = file.clone(),
            false => file.0.iter().for_each(|pair| entry.attributes.set(pair.key.clone(), pair.value().clone())),
        }
        if self.record_number {
            entry.attributes.set("log.file.record_number", AnyValue::Int(number as i64));
        }
        entry
    }
}

// === impl HeaderLines ===

impl HeaderLines {
    /// Whether a line is one of the header.
    pub(super) fn matches(&self, line: &AnyValue) -> bool {
        line.text().is_some_and(|text| self.pattern.is_match(text.as_bytes()))
    }

    /// What a line says of its file.
    pub(super) fn describe(&self, line: AnyValue) -> Map {
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = pipeline.process(vec![Entry::new(line, clock::now_ns(), 0)]);
        entries.into_iter().next().map(|entry| entry.attributes).unwrap_or_default()
    }
}

// === impl Files ===

impl Files {
    /// With what is known from the last run. Blocks.
    pub(super) fn open(setup: std::sync::Arc<Setup>) -> Files {
        let mut from_beginning = setup.from_beginning;
        let mut saved = Vec::new();
        if let Some(file) = &setup.state {
            match known::load(file) {
                Ok(files) => saved = files,
                Err(error) => {
                    // Nothing is passed over.
                    from_beginning = true;
                    tracing::error!(file = %file.display(), %error, "cannot read the positions; starting from the beginning of each file");
                }
            }
        }
        from_beginning |= !saved.is_empty();
        let mut files = Files {
            pipeline: setup.operators.pipeline(),
            setup,
            current: Vec::new(),
            previous: Vec::new(),
            lingering: Vec::new(),
            closed: Default::default(),
            queue: VecDeque::new(),
            paths: None,
            batches: 0,
            from_beginning,
            unreadable: HashSet::new(),
            delivered: HashMap::new(),
            next_id: 0,
            reading: 0,
        };
        for mut known in saved {
            known.id = files.new_id(known.delivered);
            files.closed[0].push(known);
        }
        files
    }

    fn new_id(&mut self, delivered: Place) -> u64 {
        self.next_id += 1;
        self.delivered.insert(self.next_id, delivered);
        self.next_id
    }

    /// Goes on with other arguments; what operators held comes out.
    pub(super) fn adopt(&mut self, setup: std::sync::Arc<Setup>) -> Step {
        let entries = self.pipeline.flush_all();
        let step = self.step_of(entries, None);
        self.pipeline = setup.operators.pipeline();
        self.setup = setup;
        step
    }

    /// Reads one piece of one file and runs it through the operators. Blocks.
    pub(super) fn step(&mut self) -> Step {
        let now = clock::now_ns();
        if self.paths.is_none() {
            self.paths = Some(self.setup.finding.find().into());
            self.batches = 0;
            self.lingering
                .retain(|reader| self.delivered.get(&reader.known.id).is_some_and(|at| *at != reader.known.read));
            self.begin_batch();
        }
        let mut entries = self.pipeline.flush_due(now);
        loop {
            while let Some(at) = self.queue.pop_front() {
                if let Some((piece, mark)) = self.read(at, now) {
                    entries.extend(self.pipeline.process(piece));
                    return self.step_of(entries, Some(mark));
                }
            }
            self.end_batch();
            let more = self.paths.as_ref().is_some_and(|paths| !paths.is_empty());
            if !more || (self.setup.max_batches > 0 && self.batches >= self.setup.max_batches) {
                self.end_round();
                let done = Step { done: true, ..self.step_of(entries, None) };
                return done;
            }
            self.begin_batch();
        }
    }

    /// What comes out when nothing more will be read.
    pub(super) fn finish(&mut self) -> Step {
        let entries = self.pipeline.flush_all();
        self.step_of(entries, None)
    }

    fn step_of(&mut self, entries: Vec<Entry>, mark: Option<Mark>) -> Step {
        let count = entries.len() as u32;
        let request = (count > 0).then(|| (encode(entries), count));
        Step { request, mark, oldest: self.pipeline.oldest(), counts: self.pipeline.take_counts(), done: false }
    }

    /// Opens the next files. What was open and is none of them is read to its end first.
    fn begin_batch(&mut self) {
        self.batches += 1;
        let wanted = self.setup.at_once;
        let paths: Vec<PathBuf> =
            self.paths.as_mut().map(|paths| paths.drain(..wanted.min(paths.len())).collect()).unwrap_or_default();
        let mut found = Vec::new();
        for path in paths {
            if let Some(reader) = self.open_file(path, &found) {
                found.push(reader);
            }
        }
        let others = std::mem::take(&mut self.previous);
        if self.batches > 1 {
            // They were found in this very round; there are too many to be kept open.
            self.closed[0].extend(others.into_iter().map(|reader| reader.known));
        } else {
            // What no pattern finds any more comes first: its lines are the older ones. What was truncated is gone.
            for mut reader in others {
                if reader.start(&self.setup).is_ok_and(|start| reader.known.is_start_of(&start)) {
                    reader.lost = true;
                    self.current.push(reader);
                } else {
                    self.delivered.remove(&reader.known.id);
                }
            }
        }
        self.current.extend(found);
        self.queue = (0..self.current.len()).collect();
    }

    fn open_file(&mut self, path: PathBuf, found: &[Reader]) -> Option<Reader> {
        let setup = self.setup.clone();
        let opened = File::open(&path).and_then(|file| reader::start(&file, &setup).map(|start| (file, start)));
        let (file, start) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound
                    && self.unreadable.len() < MAX_UNREADABLE
                    && self.unreadable.insert(path.clone())
                {
                    tracing::error!(path = %path.display(), %error, "cannot read the file; it is tried again");
                }
                return None;
            }
        };
        self.unreadable.remove(&path);
        // Nothing tells an empty file from another; of equal beginnings one is read.
        if start.is_empty() || found.iter().any(|other| other.known.start == start) {
            return None;
        }
        let known = self.take_known(&start).unwrap_or_else(|| {
            tracing::info!(path = %path.display(), "started watching the file");
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            let read = Place { offset: if self.from_beginning { 0 } else { size }, record: 0 };
            let id = self.new_id(read);
            // Its compression is found out when it is opened.
            Known { id, start, read, delivered: read, ..Known::default() }
        });
        match Reader::new(path, file, known, &setup) {
            Ok(reader) => Some(reader),
            Err(error) => {
                tracing::error!(%error, "cannot read the file; it is tried again");
                None
            }
        }
    }

    /// What is known of a file with this start: the longest start that fits counts.
    fn take_known(&mut self, start: &[u8]) -> Option<Known> {
        for open in [&mut self.previous, &mut self.lingering] {
            let fits = open.iter().enumerate().filter(|(_, reader)| reader.known.is_start_of(start));
            if let Some((at, _)) = fits.max_by_key(|(_, reader)| reader.known.start.len()) {
                return Some(open.swap_remove(at).known);
            }
        }
        for closed in &mut self.closed {
            let fits = closed.iter().enumerate().filter(|(_, known)| known.is_start_of(start));
            if let Some((at, _)) = fits.max_by_key(|(_, known)| known.start.len()) {
                return Some(closed.swap_remove(at));
            }
        }
        None
    }

    fn read(&mut self, at: usize, now: i64) -> Option<(Vec<Entry>, Mark)> {
        let reader = &mut self.current[at];
        let before = reader.known.read;
        let last = reader.lost;
        let piece = match reader.read(&self.setup, now, last) {
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!(path = %reader.path.display(), %error, "cannot read the file; it is tried again");
                return None;
            }
        };
        if piece.more {
            self.queue.push_back(at);
        }
        if piece.records.is_empty() && reader.known.read == before {
            return None;
        }
        self.reading += 1;
        let setup = &self.setup;
        let entry = |(body, number)| setup.entry(body, number, &reader.attributes, now, self.reading);
        let entries = piece.records.into_iter().map(entry).collect();
        Some((entries, Mark { reading: self.reading, id: reader.known.id, place: reader.known.read }))
    }

    fn end_batch(&mut self) {
        for reader in std::mem::take(&mut self.current) {
            if !reader.lost {
                self.previous.push(reader);
            } else if self.delivered.get(&reader.known.id).is_some_and(|at| *at != reader.known.read) {
                self.lingering.push(reader);
            } else {
                self.closed[0].push(reader.known);
            }
        }
    }

    fn end_round(&mut self) {
        self.paths = None;
        self.from_beginning = true;
        self.closed.rotate_right(1);
        let forgotten = std::mem::take(&mut self.closed[0]);
        for known in forgotten {
            self.delivered.remove(&known.id);
        }
    }

    /// These places are somebody else's responsibility.
    pub(super) fn delivered(&mut self, marks: &[Mark]) {
        for mark in marks {
            if let Some(place) = self.delivered.get_mut(&mark.id) {
                *place = mark.place;
            }
        }
    }

    /// Something was lost downstream: everything that is not delivered is read again.
    pub(super) fn rewind(&mut self) {
        self.pipeline.forget();
        self.queue.clear();
        self.paths = None;
        let open = [std::mem::take(&mut self.current), std::mem::take(&mut self.lingering)];
        self.previous.extend(open.into_iter().flatten());
        for reader in &mut self.previous {
            if let Some(place) = self.delivered.get(&reader.known.id) {
                reader.rewind(*place);
            }
        }
        for known in self.closed.iter_mut().flatten() {
            if let Some(place) = self.delivered.get(&known.id) {
                known.read = *place;
                known.tail = known::Tail::default();
            }
        }
    }

    /// Writes down what was delivered, if there is a place for that. Blocks.
    pub(super) fn save(&self, sync: Sync) -> io::Result<()> {
        let Some(file) = &self.setup.state else { return Ok(()) };
        let open = [&self.current, &self.previous, &self.lingering];
        let open = open.into_iter().flatten().map(|reader| &reader.known);
        let all: Vec<Known> = open
            .chain(self.closed.iter().flatten())
            .filter_map(|known| Some(Known { delivered: *self.delivered.get(&known.id)?, ..known.clone() }))
            .collect();
        known::save(file, all.iter(), sync)
    }

    /// Whether positions survive a restart.
    pub(super) fn keep_positions(&self) -> bool {
        self.setup.state.is_some()
    }

    /// The files that are read, and how far they have come.
    pub(super) fn list(&self) -> Vec<(String, u64)> {
        let open = [&self.current, &self.previous, &self.lingering];
        let shown = |reader: &Reader| (reader.path.to_string_lossy().into_owned(), reader.known.read.offset);
        open.into_iter().flatten().map(shown).collect()
    }
}
