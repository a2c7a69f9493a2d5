//! `positions.yml`: how far each log was read, in the form that Alloy writes and reads.
//!
//! A comment at its top checks what follows, and `positions.yml.before` is an earlier save, by a few seconds at most: a
//! position that a flipped bit has moved would lose lines, or send again what has long arrived. A file without the comment is
//! Alloy's, or was changed by hand, and is believed.
//!
//! What a source knows besides (which file a position is of) are notes, comments at the end: whoever reads the file as Alloy
//! does passes over them, and loses them when it writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base_sys::fs;
use sdk_component::Stopped;
use serde::Deserialize;

/// Ten thousand logs need two megabytes.
const MAX_FILE: usize = 256 << 20;

/// How often positions are saved, if anything has changed, so that a process that is killed repeats few lines; Alloy does
/// it every ten seconds.
pub const SAVE_EVERY: Duration = Duration::from_millis(200);

/// Every so many saves go to the disk itself, so that a power cut repeats few lines, too.
pub const SAVES_PER_SYNC: u32 = 25;

/// The file and what it says.
#[derive(Debug)]
pub struct Positions {
    file: PathBuf,
    entries: BTreeMap<Key, String>,
    /// Known besides, as JSON.
    notes: BTreeMap<Key, String>,
    changed: bool,
}

/// What a position is of.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// A path, or `cursor-…` for what is no file.
    #[serde(default)]
    pub path: String,
    /// Labels as text, `{a="b", c="d"}`.
    #[serde(default)]
    pub labels: String,
}

/// Why positions cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read positions file {file}: {error}")]
pub struct Error {
    /// The file.
    pub file: PathBuf,
    /// What the operating system said.
    pub error: io::Error,
}

/// The first line, around the checksum of all that follows.
const CHECK: &str = "# crc32 ";
const CHECK_END: &str = " of what follows; take this line away after a change by hand";

/// Blanks behind that make a short text as long as the one before, so that it can be written in its place.
const ROUND: usize = 512;

/// Before each note.
const NOTE: &str = "# note ";

/// A note in its line.
#[derive(Deserialize)]
struct Note<'a> {
    path: String,
    labels: String,
    #[serde(borrow)]
    note: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    positions: Option<BTreeMap<Key, serde_json::Value>>,
}

impl Positions {
    /// Reads the file; a missing one is empty. One that is damaged is kept beside for whoever wants to look at it, and the
    /// save before it is used; without that, each log is read from its beginning.
    pub fn open(file: &Path) -> Result<Positions, Error> {
        let mut positions =
            Positions { file: file.to_owned(), entries: BTreeMap::new(), notes: BTreeMap::new(), changed: false };
        let before = beside(file, "before");
        let why = match read(file) {
            Ok(Some(text)) if text.trim().is_empty() && before.exists() => "it is empty".to_owned(),
            Ok(text) => {
                let text = text.unwrap_or_default();
                match entries(&text) {
                    Ok(entries) => {
                        (positions.entries, positions.notes) = (entries, notes(&text));
                        return Ok(positions);
                    }
                    Err(why) => why,
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) => {
                error.to_string()
            }
            Err(error) => return Err(Error { file: file.to_owned(), error }),
        };
        let damaged = beside(file, "damaged");
        if let Err(error) = std::fs::copy(file, &damaged) {
            tracing::debug!(file = %damaged.display(), %error, "cannot keep the damaged positions file");
        }
        let (file, kept_as) = (file.display(), damaged.display());
        let saved_before = || {
            let text = read(&before).map_err(|error| error.to_string())?.unwrap_or_default();
            Ok::<_, String>((entries(&text)?, notes(&text)))
        };
        match saved_before() {
            Ok((entries, notes)) if before.exists() => {
                tracing::error!(%file, why, %kept_as, "the positions file is damaged; going on with the save before it, which may repeat a few lines");
                (positions.entries, positions.notes) = (entries, notes);
            }
            _ => {
                tracing::error!(%file, why, %kept_as, "the positions file is damaged; reading each log from its beginning");
            }
        }
        // Written with the next save, so that the damage is not found again.
        positions.changed = true;
        Ok(positions)
    }

    /// How far that was read.
    pub fn get(&self, path: &str, labels: &str) -> Option<&str> {
        let key = Key { path: path.to_owned(), labels: labels.to_owned() };
        self.entries.get(&key).map(String::as_str)
    }

    /// It was read to here.
    pub fn set(&mut self, path: &str, labels: &str, value: impl Into<String>) {
        let key = Key { path: path.to_owned(), labels: labels.to_owned() };
        let value = value.into();
        if self.entries.get(&key) != Some(&value) {
            self.entries.insert(key, value);
            self.changed = true;
        }
    }

    /// What is known besides of what has a position, as JSON.
    pub fn note(&self, key: &Key) -> Option<&str> {
        self.notes.get(key).map(String::as_str)
    }

    /// This is known besides; it is one line of JSON, and lost when Alloy writes the file.
    pub fn set_note(&mut self, key: &Key, note: String) {
        if self.notes.get(key) != Some(&note) {
            self.notes.insert(key.clone(), note);
            self.changed = true;
        }
    }

    /// It is of no interest any more.
    pub fn remove(&mut self, path: &str, labels: &str) {
        let key = Key { path: path.to_owned(), labels: labels.to_owned() };
        self.changed |= self.entries.remove(&key).is_some() | self.notes.remove(&key).is_some();
    }

    /// The same position is of this key from now on.
    pub fn rename(&mut self, old: &Key, new: &Key) {
        if let Some(value) = self.entries.remove(old) {
            self.entries.insert(new.clone(), value);
            self.changed = true;
        }
        if let Some(note) = self.notes.remove(old) {
            self.notes.insert(new.clone(), note);
        }
    }

    /// Every key of this path with its value.
    pub fn of_path<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a Key, &'a str)> {
        let first = Key { path: path.to_owned(), labels: String::new() };
        let entries = self.entries.range(first..).take_while(move |(key, _)| key.path == path);
        entries.map(|(key, value)| (key, value.as_str()))
    }

    /// Every key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &str)> {
        self.entries.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// Forgets files that are gone, but for those to `keep`; cursors of other sources stay.
    pub fn forget_missing_files(&mut self, keep: impl Fn(&Key, Option<&str>) -> bool) {
        let before = self.entries.len();
        let notes = &self.notes;
        self.entries.retain(|key, _| {
            key.path.starts_with("cursor-")
                || key.path.starts_with("journal-")
                || keep(key, notes.get(key).map(String::as_str))
                || Path::new(&key.path).exists()
        });
        let entries = &self.entries;
        self.notes.retain(|key, _| entries.contains_key(key));
        self.changed |= self.entries.len() != before;
    }

    /// What is to be written, if anything has changed since; take it to [`write_to`], off the reactor.
    pub fn take_changes(&mut self) -> Option<(PathBuf, String)> {
        std::mem::take(&mut self.changed).then(|| (self.file.clone(), self.text()))
    }

    /// Writing failed: the next [`Positions::take_changes`] gives everything again.
    pub fn not_written(&mut self) {
        self.changed = true;
    }

    fn text(&self) -> String {
        let body = self.body();
        let check = format!("{CHECK}{:08x}{CHECK_END}", crc32fast::hash(body.as_bytes()));
        let length = check.len() + 1 + body.len();
        let blanks = if length <= fs::PAGE { length.next_multiple_of(ROUND) - length } else { 0 };
        format!("{check}{:blanks$}\n{body}", "")
    }

    fn body(&self) -> String {
        if self.entries.is_empty() {
            return "positions: {}\n".to_owned();
        }
        let mut text = String::from("positions:\n");
        for (key, value) in &self.entries {
            let _ = write!(
                text,
                "  ? path: {}\n    labels: {}\n  : {}\n",
                scalar(&key.path),
                scalar(&key.labels),
                double_quoted(value)
            );
        }
        for (key, note) in &self.notes {
            text.push_str(NOTE);
            text.push_str("{\"path\":");
            push_json(&mut text, &key.path);
            text.push_str(",\"labels\":");
            push_json(&mut text, &key.labels);
            let _ = writeln!(text, ",\"note\":{note}}}");
        }
        text
    }
}

/// A JSON string in which nothing ends a line in the eyes of YAML, which has five characters for that.
fn push_json(text: &mut String, string: &str) {
    // Nearly all there are, thousands of times a second where there are thousands of logs.
    if string.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        text.push('"');
        for letter in string.chars() {
            if matches!(letter, '"' | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
        text.push('"');
        return;
    }
    let json = serde_json::Value::from(string).to_string();
    for letter in json.chars() {
        if matches!(letter, ' '..='~') {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
}

/// The notes of a text. One that cannot be read is none.
fn notes(text: &str) -> BTreeMap<Key, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(NOTE));
    let notes = lines.filter_map(|line| serde_json::from_str::<Note<'_>>(line).ok());
    notes.map(|Note { path, labels, note }| (Key { path, labels }, note.get().to_owned())).collect()
}

/// The position of a key in a file of Promtail or the Agent, whose keys are texts; none if there is no such file. Blocks.
pub fn legacy(file: &Path, key: &str) -> Result<Option<String>, String> {
    #[derive(Deserialize)]
    struct Legacy {
        #[serde(default)]
        positions: BTreeMap<String, String>,
    }
    let text = match fs::read_text_bounded(file, MAX_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let legacy: Legacy = base_yaml::from_str(&text)?;
    Ok(legacy.positions.get(key).cloned())
}

/// Replaces the file as a whole, as safely as is asked for, and keeps an earlier save; its folder is made if need be. Blocks.
pub fn write_to(file: &Path, text: &str, sync: fs::Sync) -> io::Result<()> {
    let before = beside(file, "before");
    // Five times a second it must cost next to nothing.
    if sync == fs::Sync::Kernel && before.exists() && fs::write_over(file, text.as_bytes()).unwrap_or_default() {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_private(folder)?;
    }
    // A file system without links has the copy below, of the saves that go to the disk.
    let _ = std::fs::remove_file(&before);
    let _ = std::fs::hard_link(file, &before);
    fs::write_atomic(file, text.as_bytes(), sync)?;
    if sync == fs::Sync::Disk {
        // The last save of a stop is one of these: then both say the same.
        fs::write_atomic(&before, text.as_bytes(), fs::Sync::Kernel)?;
    }
    Ok(())
}

/// `positions.yml.before` beside `positions.yml`.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The text of a file, if there is one.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_text_bounded(file, MAX_FILE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a text says, or why it cannot be believed.
fn entries(text: &str) -> Result<BTreeMap<Key, String>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    if let Some(rest) = text.strip_prefix('#') {
        let (check, body) = rest.split_once('\n').unwrap_or_default();
        let check = CHECK.strip_prefix('#').and_then(|start| check.strip_prefix(start)).unwrap_or_default();
        let said = check.split(CHECK_END).next().unwrap_or_default();
        if said != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err("it is not what was written".to_owned());
        }
    }
    let document: Document = base_yaml::from_str(text)?;
    let value = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(document.positions.unwrap_or_default().into_iter().map(|(key, at)| (key, value(at))).collect())
}

/// [`Positions::open`], off the reactor; positions that cannot be used stop the component that asks.
pub async fn load(file: PathBuf) -> Result<Positions, Stopped> {
    let opened = base_sys::task::blocking("positions", move || Positions::open(&file)).await;
    match opened.returned() {
        Some(Ok(positions)) => Ok(positions),
        Some(Err(error)) => Err(Stopped(error.to_string())),
        None => Err(Stopped("the process is shutting down".to_owned())),
    }
}

/// Writes what has changed to the disk, off the reactor; what cannot be written is tried again the next time.
pub async fn save(positions: &mut Positions) {
    save_to(positions, fs::Sync::Disk).await;
}

/// [`save`], as far as is asked for.
pub async fn save_to(positions: &mut Positions, sync: fs::Sync) {
    let Some((file, text)) = positions.take_changes() else { return };
    let shown = file.display().to_string();
    let written = base_sys::task::blocking("positions", move || write_to(&file, &text, sync)).await;
    if let Some(Err(error)) = written.returned() {
        positions.not_written();
        tracing::error!(file = shown, %error, "cannot save positions; they are tried again");
    }
}

/// Plain where YAML allows it beyond doubt, else quoted.
fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && text.as_bytes()[0].is_ascii_alphabetic() | text.starts_with('/') {
        return text.to_owned();
    }
    if text.contains(is_escaped) {
        return double_quoted(text);
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return format!("\"{text}\"");
    }
    // JSON strings are YAML strings, but for what YAML takes for the end of a line, or not at all.
    let json = serde_json::Value::from(text).to_string();
    let mut quoted = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_escaped(letter) {
            let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
        } else {
            quoted.push(letter);
        }
    }
    quoted
}

fn is_escaped(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alloys_own_files_are_understood() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        let text = "positions:\n  ? path: /var/log/a.log\n    labels: '{filename=\"/var/log/a.log\", job=\"x\"}'\n  : \"123\"\n  \
                    ? path: cursor-4a838\n    labels: '{}'\n  : \"1760000000\"\n";
        std::fs::write(&file, text).expect("a file");
        let positions = Positions::open(&file).expect("good positions");
        assert_eq!(positions.get("/var/log/a.log", r#"{filename="/var/log/a.log", job="x"}"#), Some("123"));
        assert_eq!(positions.get("cursor-4a838", "{}"), Some("1760000000"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("new/positions.yml");
        let mut positions = Positions::open(&file).expect("a missing file is empty");
        let odd = ["/a b", "/it's", "/new\nline", "yes", "/ü", ": x", "cursor-1#ns"];
        for path in odd {
            positions.set(path, "{a=\"b\"}", "7");
        }
        let (to, text) = positions.take_changes().expect("changes");
        write_to(&to, &text, fs::Sync::Kernel).expect("it can be written");
        assert_eq!(positions.take_changes(), None);
        let read = Positions::open(&file).expect("good positions");
        for path in odd {
            assert_eq!(read.get(path, "{a=\"b\"}"), Some("7"), "{path}\n{text}");
        }
    }

    #[test]
    fn notes_are_comments_in_the_eyes_of_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        let mut positions = Positions::open(&file).expect("a missing file is empty");
        let keys = ["/a.log", "/\u{2028}\u{85}\u{7f}\n🦀.log"]
            .map(|path| Key { path: path.into(), labels: "{a=\"b\"}".into() });
        for key in &keys {
            positions.set(&key.path, &key.labels, "7");
            positions.set_note(key, r#"{"id":[1,2]}"#.to_owned());
        }
        let (_, text) = positions.take_changes().expect("changes");
        write_to(&file, &text, fs::Sync::Kernel).expect("it can be written");
        let read = Positions::open(&file).expect("good positions");
        for key in &keys {
            assert_eq!(read.note(key), Some(r#"{"id":[1,2]}"#), "{:?} of {text}", key);
        }
        let (_, notes) = text.split_once(NOTE).expect("a note");
        assert!(notes.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{notes}");
        assert!(notes.trim_end().lines().skip(1).all(|line| line.starts_with(NOTE)), "{notes}");
    }

    #[test]
    fn a_damaged_file_costs_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        let mut positions = Positions::open(&file).expect("a missing file is empty");
        for at in ["1048", "1049"] {
            positions.set("/a.log", "{}", at);
            let (file, text) = positions.take_changes().expect("changes");
            write_to(&file, &text, fs::Sync::Kernel).expect("it can be written");
        }
        let whole = std::fs::read(&file).expect("it was written");
        let at = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("a file");
            let mut positions = Positions::open(&file).expect("damage does not prevent the start");
            let will_be_written = positions.take_changes().is_some();
            (positions.get("/a.log", "{}").map(str::to_owned), will_be_written)
        };
        assert_eq!(at(&whole), (Some("1049".to_owned()), false));
        let before = (Some("1048".to_owned()), true);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = at(&flipped);
            // In the words of the comment nothing depends on a bit.
            assert!(found == before || found.0.as_deref() == Some("1049"), "bit {bit}: {found:?}");
        }
        for length in 0..whole.len() {
            assert_eq!(at(&whole[..length]), before, "{length} bytes");
        }
        // Both are gone: nothing is passed over.
        std::fs::write(folder.path().join("positions.yml.before"), "\u{fffd}: [").expect("a file");
        assert_eq!(at(b"positions: [1, 2"), (None, true));
        assert!(folder.path().join("positions.yml.damaged").exists());
    }

    #[cfg(unix)]
    #[test]
    fn most_saves_are_written_over_the_one_before() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        let mut positions = Positions::open(&file).expect("a missing file is empty");
        let mut save = |path: &str, at: &str, sync| {
            positions.set(path, "{}", at);
            let (file, text) = positions.take_changes().expect("changes");
            write_to(&file, &text, sync).expect("it can be written");
            let read =
                |file: &Path| Positions::open(file).expect("good positions").get("/a.log", "{}").map(str::to_owned);
            (std::fs::metadata(&file).expect("a file").ino(), read(&file), read(&beside(&file, "before")))
        };
        let said = |at: &str| Some(at.to_owned());
        save("/a.log", "998", fs::Sync::Kernel);
        let (first, _, before) = save("/a.log", "999", fs::Sync::Kernel);
        assert_eq!(before, said("998"));
        assert_eq!(save("/a.log", "1000", fs::Sync::Kernel), (first, said("1000"), said("998")));
        let (second, _, before) = save("/a.log", "1001", fs::Sync::Disk);
        assert!(second != first && before == said("1001"), "a power cut may come: {before:?}");
        assert_eq!(save("/a.log", "1002", fs::Sync::Kernel), (second, said("1002"), said("1001")));
        // What is no page, or has another length, is another file.
        let long = format!("/{}", "x".repeat(600));
        let (third, _, before) = save(&long, "7", fs::Sync::Kernel);
        assert!(third != second && before == said("1002"), "{before:?}");
        let huge = format!("/{}", "x".repeat(fs::PAGE));
        let (fourth, at, _) = save(&huge, "7", fs::Sync::Kernel);
        assert!(fourth != third && at == said("1002"), "{at:?}");
        let (fifth, _, before) = save("/a.log", "1003", fs::Sync::Kernel);
        assert!(fifth != fourth && before == said("1002"), "{before:?}");
    }

    #[test]
    fn a_file_that_was_changed_by_hand_is_believed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        let mut positions = Positions::open(&file).expect("a missing file is empty");
        positions.set("/a.log", "{}", "1048");
        let (_, text) = positions.take_changes().expect("changes");
        write_to(&file, &text, fs::Sync::Disk).expect("it can be written");
        let (_, body) = text.split_once('\n').expect("a comment and more");
        std::fs::write(&file, body.replace("1048", "0")).expect("a file");
        assert_eq!(Positions::open(&file).expect("good positions").get("/a.log", "{}"), Some("0"));
    }
}
