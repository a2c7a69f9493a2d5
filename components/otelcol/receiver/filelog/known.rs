//! What is known of a file by its first bytes, and keeping that over a restart.

use std::io;
use std::path::Path;

use base_sys::fs::{self, Sync};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sdk_protocols_otlp::model::{Map, Message as _, Resource};

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// Tells it from others in this process.
    pub(super) id: u64,
    /// Its first bytes, as far as they were there.
    pub(super) start: Vec<u8>,
    /// What was read.
    pub(super) read: Place,
    /// What was delivered.
    pub(super) delivered: Place,
    /// What its header says, once that was read.
    pub(super) header: Option<Map>,
    /// It is compressed.
    pub(super) gzip: bool,
    /// A last line without end.
    pub(super) tail: Tail,
}

/// A last line without end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tail {
    pub(super) length: usize,
    /// Since when it has not grown.
    pub(super) since: i64,
}

/// Where in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// In bytes.
    pub(super) offset: u64,
    /// In records.
    pub(super) record: u64,
}

/// In front of the files; the checksum of what is below follows.
const MAGIC: &str = "ferroalloy filelog 1 ";

/// No state is so large.
const MAX_STATE: usize = 256 << 20;

impl Known {
    /// Whether a file with this start may be this one, grown.
    pub(super) fn is_start_of(&self, start: &[u8]) -> bool {
        !self.start.is_empty() && start.starts_with(&self.start)
    }
}

/// The files of the last run; none if there was none. A file that cannot be believed is an error: then everything is read
/// from its start, which repeats and never skips. Blocks.
pub(super) fn load(file: &Path) -> io::Result<Vec<Known>> {
    let text = match fs::read_text_bounded(file, MAX_STATE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is not what was written");
    let (first, body) = text.split_once('\n').ok_or_else(invalid)?;
    if first.strip_prefix(MAGIC) != Some(&*format!("{:08x}", crc32fast::hash(body.as_bytes()))) {
        return Err(invalid());
    }
    body.lines().map(|line| decode(line).ok_or_else(invalid)).collect()
}

/// Writes what was delivered of each file. Blocks.
pub(super) fn save<'k>(file: &Path, files: impl Iterator<Item = &'k Known>, sync: Sync) -> io::Result<()> {
    let body: String = files.map(encode).collect();
    if let Some(folder) = file.parent() {
        fs::create_dir_private(folder)?;
    }
    let text = format!("{MAGIC}{:08x}\n{body}", crc32fast::hash(body.as_bytes()));
    fs::write_atomic(file, text.as_bytes(), sync)
}

/// `offset record gzip start header`, the last two in base64; no header is `-`.
fn encode(known: &Known) -> String {
    let Place { offset, record } = known.delivered;
    let header = known.header.as_ref().map_or_else(
        || "-".to_owned(),
        |map| {
            let resource = Resource { attributes: map.clone(), ..Resource::default() };
            format!("+{}", STANDARD.encode(resource.encode()))
        },
    );
    format!("{offset} {record} {} {} {header}\n", u8::from(known.gzip), STANDARD.encode(&known.start))
}

fn decode(line: &str) -> Option<Known> {
    let mut words = line.split(' ');
    let place = Place { offset: words.next()?.parse().ok()?, record: words.next()?.parse().ok()? };
    let gzip = words.next()? == "1";
    let start = STANDARD.decode(words.next()?).ok()?;
    let header = match words.next()?.strip_prefix('+') {
        Some(encoded) => Some(Resource::decode(&STANDARD.decode(encoded).ok()?.into()).attributes),
        None => None,
    };
    Some(Known { id: 0, start, read: place, delivered: place, header, gzip, tail: Tail::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place/positions");
        let place = Place { offset: 7, record: 2 };
        let header: Map = [("version", "1")].into_iter().collect();
        let with = Known {
            start: b"# \xff\n".to_vec(),
            read: place,
            delivered: place,
            header: Some(header),
            ..Known::default()
        };
        let without = Known { gzip: true, header: None, ..with.clone() };
        assert_eq!(load(&file).unwrap(), []);
        save(&file, [&with, &without].into_iter(), Sync::Kernel).unwrap();
        assert_eq!(load(&file).unwrap(), [with, without]);
        let whole = std::fs::read(&file).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&file, &whole[..at]).unwrap();
            assert!(load(&file).is_err(), "{at} bytes");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&file, &flipped).unwrap();
            assert!(load(&file).is_err(), "byte {at}");
        }
    }
}
