//! `positions.yml`: how far each log was read, in the form that Alloy writes and reads.

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
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot read positions file {file}: {error}")]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("cannot read positions file {file}: {why}; mend it, or remove it to start from the beginning of each log")]
    Malformed { file: PathBuf, why: String },
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    positions: Option<BTreeMap<Key, serde_json::Value>>,
}

impl Positions {
    /// Reads the file; a missing one is empty.
    pub fn open(file: &Path) -> Result<Positions, Error> {
        let mut positions = Positions { file: file.to_owned(), entries: BTreeMap::new(), changed: false };
        let text = match fs::read_text_bounded(file, MAX_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(positions),
            Err(error) => return Err(Error::Unreadable { file: file.to_owned(), error }),
        };
        if text.trim().is_empty() {
            return Ok(positions);
        }
        let malformed = |why: String| Error::Malformed { file: file.to_owned(), why };
        let document: Document = serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        for (key, value) in document.positions.unwrap_or_default() {
            let value = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            positions.entries.insert(key, value);
        }
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

    /// It is of no interest any more.
    pub fn remove(&mut self, path: &str, labels: &str) {
        self.changed |= self.entries.remove(&Key { path: path.to_owned(), labels: labels.to_owned() }).is_some();
    }

    /// Every key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &str)> {
        self.entries.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// Forgets files that are gone; cursors of other sources stay.
    pub fn forget_missing_files(&mut self) {
        let before = self.entries.len();
        self.entries.retain(|key, _| {
            key.path.starts_with("cursor-") || key.path.starts_with("journal-") || Path::new(&key.path).exists()
        });
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
        text
    }
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
    let legacy: Legacy = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    Ok(legacy.positions.get(key).cloned())
}

/// Replaces the file as a whole, as safely as is asked for; its folder is made if need be. Blocks.
pub fn write_to(file: &Path, text: &str, sync: fs::Sync) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_private(folder)?;
    }
    fs::write_atomic(file, text.as_bytes(), sync)
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
    if text.chars().any(|letter| letter.is_control()) {
        return double_quoted(text);
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    // JSON strings are YAML strings.
    serde_json::Value::from(text).to_string()
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
    fn damage_is_said_with_its_cure() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("positions.yml");
        std::fs::write(&file, "positions: [1, 2").expect("a file");
        let error = Positions::open(&file).expect_err("no YAML").to_string();
        assert!(error.ends_with("or remove it to start from the beginning of each log"), "{error}");
    }
}
