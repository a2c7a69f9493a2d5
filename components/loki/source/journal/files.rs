//! The files of a journal, read as one: rotated, vacuumed and new ones come and go while it is followed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::identity;
use super::cursor::{Cursor, Id};
use super::file::{Field, Head, JournalFile};

/// Where journald keeps journals: those that stay, and those that a reboot forgets.
const PLACES: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
const MACHINE_ID: &str = "/etc/machine-id";
/// Files that are looked at; journald keeps a hundred.
const MAX_FILES: usize = 10_000;
/// Entries that cannot be read, or do not match, are passed over so many at a time.
const MAX_PASSED: usize = 10_000;

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// Behind an entry that was delivered.
    After(Cursor),
    /// At the first entry that is not older, in microseconds since 1970.
    Since(u64),
}

/// `FIELD=value` pairs: one of the values of each field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches(Vec<(String, Vec<Vec<u8>>)>);

/// An entry with its fields.
#[derive(Debug)]
pub struct Record {
    pub cursor: Cursor,
    pub fields: Vec<Arc<Field>>,
}

/// A journal that is followed.
pub struct Journal {
    folders: Vec<PathBuf>,
    start: Start,
    matches: Matches,
    open: Vec<Open>,
    /// Archived files that are read to the end, by device and inode.
    done: HashSet<(u64, u64)>,
    /// The last number that was read of each sequence.
    last_of: HashMap<Id, u64>,
    last: Option<Cursor>,
    /// Said once, by path.
    refused: HashSet<PathBuf>,
    /// Reading stopped for a moment only, not because there is nothing more.
    pub more: bool,
    /// What could not be read since it was asked last, by reason.
    pub faults: HashMap<&'static str, u64>,
}

struct Open {
    file: JournalFile,
    identity: (u64, u64),
    next: u64,
    head: Option<Head>,
    /// It has been removed: read to its end and let go.
    gone: bool,
}

// === impl Matches ===

impl Matches {
    /// Pairs between blanks.
    pub fn parse(text: &str) -> Result<Matches, String> {
        let mut matches = Matches::default();
        for word in text.split_whitespace() {
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("{word:?} is no match: write FIELD=value"))?;
            let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if name.is_empty() || !name.bytes().all(allowed) {
                return Err(format!("{name:?} is no field of a journal: they are of capital letters, digits and _"));
            }
            match matches.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value.as_bytes().to_vec()),
                None => matches.0.push((name.to_owned(), vec![value.as_bytes().to_vec()])),
            }
        }
        Ok(matches)
    }

    fn hold(&self, fields: &[Arc<Field>]) -> bool {
        self.0
            .iter()
            .all(|(name, values)| fields.iter().any(|field| field.name == *name && values.contains(&field.value)))
    }
}

// === impl Journal ===

impl Journal {
    /// The journal of a folder, or of this machine. Err: in words, for the component's health.
    pub fn open(path: Option<&Path>, matches: Matches, start: Start) -> Result<Journal, String> {
        let folders = match path {
            Some(path) => {
                let listed = std::fs::read_dir(path);
                listed.map_err(|error| format!("cannot read the journal's folder {}: {error}", path.display()))?;
                vec![path.to_owned()]
            }
            None => {
                let id = std::fs::read_to_string(MACHINE_ID);
                let id = id.map_err(|error| format!("cannot read {MACHINE_ID}, which names this machine: {error}"))?;
                PLACES.iter().map(|place| Path::new(place).join(id.trim())).collect()
            }
        };
        let mut journal = Journal {
            folders,
            start,
            matches,
            open: Vec::new(),
            done: HashSet::new(),
            last_of: HashMap::new(),
            last: None,
            refused: HashSet::new(),
            more: false,
            faults: HashMap::new(),
        };
        if let Start::After(cursor) = start {
            journal.last = Some(cursor);
            journal.last_of.insert(cursor.sequence, cursor.seqnum);
        }
        journal.rescan();
        Ok(journal)
    }

    /// Folders to watch; they may not exist.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.folders.clone();
        folders.extend(self.folders.iter().flat_map(|folder| machines_below(folder)));
        folders
    }

    /// Why there is nothing to read, if there is nothing.
    pub fn emptiness(&self) -> Option<String> {
        if !self.open.is_empty() || !self.done.is_empty() {
            return None;
        }
        let looked = self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ");
        let others: Vec<String> = PLACES
            .iter()
            .flat_map(|place| machines_below(Path::new(place)))
            .filter(|folder| !self.folders.contains(folder))
            .map(|folder| folder.display().to_string())
            .collect();
        let hint = match others.first() {
            Some(other) => format!("; there is {other}, of another machine: set path to read it"),
            None => "; is journald running, and may this process read its files (group systemd-journal)?".to_owned(),
        };
        let refused = self.refused.iter().next();
        let refused = refused.map_or_else(String::new, |path| format!("; {} cannot be read", path.display()));
        Some(format!("no journal files in {looked}{refused}{hint}"))
    }

    /// Looks for files that are new, renamed or gone.
    pub fn rescan(&mut self) {
        let mut present = HashSet::new();
        let folders = self.folders();
        for path in folders.iter().flat_map(|folder| journals_in(folder)) {
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let identity = identity(&metadata);
            let known = self.done.contains(&identity) || self.open.iter().any(|open| open.identity == identity);
            present.insert(identity);
            if !known && self.open.len() < MAX_FILES {
                self.begin(&path);
            }
        }
        self.done.retain(|identity| present.contains(identity));
        for open in &mut self.open {
            open.gone = !present.contains(&open.identity);
        }
    }

    fn begin(&mut self, path: &Path) {
        let opened = JournalFile::open(path).and_then(|file| Ok((file.identity()?, file)));
        let (identity, mut file) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                if self.refused.insert(path.to_owned()) {
                    tracing::warn!(path = %path.display(), %fault, "a journal file cannot be read");
                    *self.faults.entry(fault.reason()).or_default() += 1;
                }
                return;
            }
        };
        self.refused.remove(path);
        let next = match (self.last_of.get(&file.sequence()).copied(), self.last, self.start) {
            (Some(seqnum), _, _) => file.find(|cursor| cursor.seqnum <= seqnum),
            // Another sequence: only the time is common to both.
            (None, Some(last), _) => {
                let next = file.find(|cursor| cursor.realtime < last.realtime);
                let same = |cursor: Cursor| {
                    (cursor.boot, cursor.monotonic, cursor.hash) == (last.boot, last.monotonic, last.hash)
                };
                next + u64::from(file.head(next).is_ok_and(|head| same(head.cursor)))
            }
            (None, None, Start::Since(time)) => file.find(|cursor| cursor.realtime < time),
            (None, None, Start::After(_)) => 0,
        };
        if file.is_archived() && next >= file.entries() {
            self.done.insert(identity);
            return;
        }
        self.open.push(Open { file, identity, next, head: None, gone: false });
    }

    /// The next entry that matches; None: nothing more by now, or for this time (see [`Journal::more`]).
    pub fn next(&mut self) -> Option<Record> {
        self.more = false;
        for _ in 0..MAX_PASSED {
            self.load_heads();
            let first = self.first()?;
            let open = &mut self.open[first];
            let Some(head) = open.head.take() else { continue };
            let repeated = self.last.is_some_and(|last| last == head.cursor);
            open.next += 1;
            self.last = Some(head.cursor);
            self.last_of.insert(head.cursor.sequence, head.cursor.seqnum);
            if repeated {
                continue;
            }
            let faults = &mut self.faults;
            let fields = open.file.fields(&head, &mut |fault| *faults.entry(fault.reason()).or_default() += 1);
            match fields {
                Ok(fields) if self.matches.hold(&fields) => return Some(Record { cursor: head.cursor, fields }),
                Ok(_) => {}
                Err(fault) => *self.faults.entry(fault.reason()).or_default() += 1,
            }
        }
        self.more = true;
        None
    }

    /// Where reading stands: also behind entries that did not match.
    pub fn position(&self) -> Option<Cursor> {
        self.last
    }

    fn load_heads(&mut self) {
        let mut ended = Vec::new();
        for (index, open) in self.open.iter_mut().enumerate() {
            if open.head.is_some() {
                continue;
            }
            if open.next >= open.file.entries() && open.file.refresh().is_err() {
                open.gone = true;
            }
            let mut left = MAX_PASSED / 10;
            while open.head.is_none() && open.next < open.file.entries() && left > 0 {
                match open.file.head(open.next) {
                    Ok(head) => open.head = Some(head),
                    // journald counts an entry after it has written it, so this one is not on its way: it is damaged.
                    Err(fault) => {
                        *self.faults.entry(fault.reason()).or_default() += 1;
                        tracing::debug!(path = %open.file.path().display(), %fault, "an entry of the journal is passed over");
                        open.next += 1;
                        left -= 1;
                    }
                }
            }
            self.more |= left == 0;
            if open.head.is_none() && left > 0 && (open.gone || open.file.is_archived()) {
                ended.push(index);
            }
        }
        for index in ended.into_iter().rev() {
            let open = self.open.swap_remove(index);
            if !open.gone {
                self.done.insert(open.identity);
            }
        }
    }

    /// The file whose next entry is the oldest.
    fn first(&self) -> Option<usize> {
        let heads = self.open.iter().enumerate().filter_map(|(index, open)| Some((index, open.head?.cursor)));
        heads.reduce(|first, other| if is_before(&other.1, &first.1) { other } else { first }).map(|(index, _)| index)
    }
}

/// By number within a sequence, by the clock that never jumps within a boot, else by the wall clock.
fn is_before(one: &Cursor, other: &Cursor) -> bool {
    if one.sequence == other.sequence {
        one.seqnum < other.seqnum
    } else if one.boot == other.boot {
        one.monotonic < other.monotonic
    } else {
        one.realtime < other.realtime
    }
}

fn journals_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = entries(folder).unwrap_or_default();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".journal") || name.ends_with(".journal~")
    });
    files.truncate(MAX_FILES);
    files
}

/// Folders that are named by a machine.
fn machines_below(folder: &Path) -> Vec<PathBuf> {
    let mut folders = entries(folder).unwrap_or_default();
    folders
        .retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Id::parse(name).is_some()));
    folders
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::file::tests::Writer;
    use super::*;

    fn messages(journal: &mut Journal) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(record) = journal.next() {
            let text = record.fields.iter().find(|field| field.name == "MESSAGE");
            messages.push(text.map(|field| String::from_utf8_lossy(&field.value).into_owned()).unwrap_or_default());
        }
        messages
    }

    fn open(folder: &Path, start: Start) -> Journal {
        Journal::open(Some(folder), Matches::default(), start).unwrap()
    }

    #[test]
    fn several_files_are_read_as_one_in_the_order_of_writing() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("0123456789abcdef0123456789abcdef");
        std::fs::create_dir(&below).unwrap();
        Writer::new(false, 1).message(10, "a").message(30, "c").write(&folder.path().join("one.journal"));
        Writer::new(true, 2).message(20, "b").message(40, "d").write(&below.join("two.journal"));
        std::fs::write(folder.path().join("torn.journal~"), b"LPK").unwrap();
        let mut journal = open(folder.path(), Start::Since(0));
        assert_eq!(messages(&mut journal), ["a", "b", "c", "d"]);
        assert_eq!(journal.faults.get("damaged"), Some(&1));
        assert_eq!(messages(&mut open(folder.path(), Start::Since(21))), ["c", "d"]);
    }

    #[test]
    fn a_rotated_file_is_read_on_and_the_new_one_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("system.journal");
        Writer::new(false, 1).message(1, "a").write(&current);
        let mut journal = open(folder.path(), Start::Since(0));
        assert_eq!(messages(&mut journal), ["a"]);
        // journald renames in place: the inode stays.
        let archived = folder.path().join("system@1.journal");
        std::fs::rename(&current, &archived).unwrap();
        let bytes = Writer::new(false, 1).message(1, "a").message(2, "b").finish();
        let file = std::fs::OpenOptions::new().write(true).open(&archived).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        Writer::new(false, 1).from(3).message(3, "c").write(&current);
        journal.rescan();
        assert_eq!(messages(&mut journal), ["b", "c"]);
    }

    #[test]
    fn a_vacuumed_file_is_read_to_its_end_and_its_cursor_leads_to_the_next_entry() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old.journal");
        Writer::new(false, 1).message(1, "a").message(2, "b").write(&old);
        Writer::new(false, 1).from(3).message(3, "c").write(&folder.path().join("new.journal"));
        let mut journal = open(folder.path(), Start::Since(0));
        let first = journal.next().unwrap();
        std::fs::remove_file(&old).unwrap();
        journal.rescan();
        assert_eq!(messages(&mut journal), ["b", "c"]);
        assert_eq!(messages(&mut open(folder.path(), Start::After(first.cursor))), ["c"]);
    }

    #[test]
    fn a_cursor_goes_on_exactly_behind_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let writer = (0..20).fold(Writer::new(true, 1), |writer, number| writer.message(number, &number.to_string()));
        writer.write(&folder.path().join("a.journal"));
        let mut journal = open(folder.path(), Start::Since(0));
        for number in 0..20 {
            let cursor = journal.next().unwrap().cursor;
            let rest: Vec<String> = (number + 1..20).map(|number: u64| number.to_string()).collect();
            assert_eq!(messages(&mut open(folder.path(), Start::After(cursor))), rest);
        }
        assert!(journal.next().is_none());
    }

    #[test]
    fn entries_that_journald_copied_to_another_file_are_read_once() {
        // At boot what was kept in memory is copied to the disk, under new numbers.
        let folder = tempfile::tempdir().unwrap();
        Writer::new(false, 1).message(1, "a").message(2, "b").write(&folder.path().join("run.journal"));
        let mut journal = open(folder.path(), Start::Since(0));
        assert_eq!(messages(&mut journal), ["a", "b"]);
        std::fs::remove_file(folder.path().join("run.journal")).unwrap();
        let copied = Writer::new(false, 2).message(1, "a").message(2, "b").message(3, "c");
        copied.write(&folder.path().join("var.journal"));
        journal.rescan();
        assert_eq!(messages(&mut journal), ["c"]);
    }

    #[test]
    fn matches_of_one_field_are_or_and_of_two_are_and() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |writer: Writer, time, unit: &str, priority: &str| {
            let fields = [format!("MESSAGE={unit}{priority}"), format!("UNIT={unit}"), format!("PRIORITY={priority}")];
            writer.entry(time, &fields.each_ref().map(|field| (0, field.as_bytes())))
        };
        let writer = entry(Writer::new(false, 1), 1, "a", "3");
        let writer = entry(entry(writer, 2, "b", "3"), 3, "b", "4");
        entry(writer, 4, "c", "3").write(&folder.path().join("a.journal"));
        let matches = Matches::parse("UNIT=a UNIT=b PRIORITY=3").unwrap();
        let mut journal = Journal::open(Some(folder.path()), matches, Start::Since(0)).unwrap();
        assert_eq!(messages(&mut journal), ["a3", "b3"]);
        assert!(Matches::parse("UNIT").is_err() && Matches::parse("+").is_err() && Matches::parse("unit=a").is_err());
    }

    #[test]
    fn an_empty_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = open(folder.path(), Start::Since(0)).emptiness().unwrap();
        assert!(said.contains("no journal files in"), "{said}");
        assert!(Journal::open(Some(&folder.path().join("none")), Matches::default(), Start::Since(0)).is_err());
    }
}
