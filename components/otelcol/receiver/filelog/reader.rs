//! An open file: its first bytes, and its records one piece after another.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use base_sys::fs::read_at;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use sdk_protocols_otlp::model::{AnyValue, Map};

use super::arguments::Compression;
use super::files::Setup;
use super::known::{Known, Place, Tail};
use super::lines::Splitter;

/// An open file that is read.
pub(super) struct Reader {
    pub(super) path: PathBuf,
    file: File,
    pub(super) known: Known,
    /// Attributes of its records.
    pub(super) attributes: Map,
    /// No pattern finds it any more: it is read to its end, and closed.
    pub(super) lost: bool,
    unpacking: Option<Unpacking>,
    /// Bytes to pass over once it is unpacked: it was read before it was compressed.
    skip: u64,
}

/// A compressed file under way; its position moves when it is read to its end.
struct Unpacking {
    decoder: MultiGzDecoder<BufReader<io::Take<File>>>,
    end: u64,
    pending: Vec<u8>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Piece {
    /// The records with their numbers; blank ones are left out.
    pub(super) records: Vec<(AnyValue, u64)>,
    /// There is more to read at once.
    pub(super) more: bool,
}

/// How much is read at once, where lines are not longer.
const MAX_READ: usize = 256 << 10;

impl Reader {
    /// A file that was just opened.
    pub(super) fn new(path: PathBuf, file: File, mut known: Known, setup: &Setup) -> io::Result<Reader> {
        let mut skip = 0;
        let gzip = is_compressed(&file, setup.compression);
        if gzip != known.gzip {
            if gzip {
                skip = known.read.offset;
            }
            known.gzip = gzip;
            known.read.offset = 0;
            known.delivered.offset = 0;
        }
        let mut attributes = known.header.clone().unwrap_or_default();
        for pair in setup.resolver.attributes(&path, &file)?.0 {
            let value = pair.value().clone();
            attributes.set(pair.key, value);
        }
        Ok(Reader { path, file, known, attributes, lost: false, unpacking: None, skip })
    }

    /// The first bytes of the file now.
    pub(super) fn start(&self, setup: &Setup) -> io::Result<Vec<u8>> {
        start(&self.file, setup)
    }

    /// Learns more of the start, if it was shorter before.
    pub(super) fn look_at_start(&mut self, setup: &Setup) {
        if self.known.start.len() < setup.fingerprint_size
            && let Ok(start) = self.start(setup)
            && start.starts_with(&self.known.start)
        {
            self.known.start = start;
        }
    }

    /// Reads on from there.
    pub(super) fn rewind(&mut self, to: Place) {
        self.known.read = to;
        self.known.tail = Tail::default();
        self.unpacking = None;
    }

    /// Reads a piece; `last` takes a last line without end, too.
    pub(super) fn read(&mut self, setup: &Setup, now: i64, last: bool) -> io::Result<Piece> {
        if setup.lock {
            match self.file.try_lock_shared() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(Piece::default()),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        let piece = if self.known.gzip { self.read_packed(setup) } else { self.read_plain(setup, now, last) };
        if setup.lock {
            self.file.unlock()?;
        }
        self.look_at_start(setup);
        piece
    }

    fn read_plain(&mut self, setup: &Setup, now: i64, last: bool) -> io::Result<Piece> {
        let size = self.file.metadata()?.len();
        let there = usize::try_from(size.saturating_sub(self.known.read.offset)).unwrap_or(usize::MAX);
        let flush = last || (setup.flush_after > 0 && now.saturating_sub(self.known.tail.since) > setup.flush_after);
        if there == 0 || (there == self.known.tail.length && !flush) {
            return Ok(Piece::default());
        }
        let mut wanted = MAX_READ.min(there);
        loop {
            let data = Bytes::from(read_at(&self.file, self.known.read.offset, wanted)?);
            let at_end = data.len() >= there || data.len() < wanted;
            let mut piece = Piece::default();
            let header = self.read_header(setup, &data, at_end);
            let mut at = header;
            at += self.take_records(&setup.splitter, setup, &data.slice(at..), at_end, &mut piece);
            if at == 0 && !at_end && wanted < setup.max_log_size {
                wanted = (wanted * 2).min(setup.max_log_size).min(there);
                continue;
            }
            let rest = data.slice(at..);
            if at_end && !rest.is_empty() && self.knows_header(setup) {
                // What a step before left of it was shorter, or it is a new line.
                if rest.len() > self.known.tail.length || at > 0 {
                    self.known.tail = Tail { length: rest.len(), since: now };
                }
                if last || (setup.flush_after > 0 && now.saturating_sub(self.known.tail.since) > setup.flush_after) {
                    self.push(setup, rest.clone(), &mut piece);
                    at = data.len();
                }
            }
            if at == data.len() {
                self.known.tail = Tail::default();
            }
            self.known.read.offset += at as u64;
            piece.more = !at_end && at > 0;
            return Ok(piece);
        }
    }

    /// A compressed file is read to the end that it has when its reading begins.
    fn read_packed(&mut self, setup: &Setup) -> io::Result<Piece> {
        let mut unpacking = match self.unpacking.take() {
            Some(unpacking) => unpacking,
            None => {
                let end = self.file.metadata()?.len();
                let from = if self.skip > 0 { 0 } else { self.known.read.offset };
                if end <= from {
                    return Ok(Piece::default());
                }
                let mut file = self.file.try_clone()?;
                file.seek(SeekFrom::Start(from))?;
                let mut decoder = MultiGzDecoder::new(BufReader::new(file.take(end - from)));
                io::copy(&mut (&mut decoder).take(self.skip), &mut io::sink())?;
                self.skip = 0;
                Unpacking { decoder, end, pending: Vec::new() }
            }
        };
        let before = unpacking.pending.len();
        let read = (&mut unpacking.decoder).take(MAX_READ as u64).read_to_end(&mut unpacking.pending);
        let at_end = read.is_err() || unpacking.pending.len() - before < MAX_READ;
        if let Err(error) = &read {
            tracing::error!(path = %self.path.display(), %error, "the compressed file is damaged; what is before the damage is read");
        }
        let mut piece = Piece::default();
        let data = Bytes::from(std::mem::take(&mut unpacking.pending));
        let mut at = self.read_header(setup, &data, at_end);
        at += self.take_records(&setup.splitter, setup, &data.slice(at..), at_end, &mut piece);
        if at_end {
            if at < data.len() {
                self.push(setup, data.slice(at..), &mut piece);
            }
            self.known.read.offset = unpacking.end;
        } else {
            unpacking.pending = data[at..].to_vec();
            self.unpacking = Some(unpacking);
            piece.more = true;
        }
        Ok(piece)
    }

    fn knows_header(&self, setup: &Setup) -> bool {
        setup.header.is_none() || self.known.header.is_some()
    }

    /// Reads the header as far as it is there; how many bytes it takes. It ends before the first line that does not match.
    fn read_header(&mut self, setup: &Setup, data: &Bytes, at_end: bool) -> usize {
        let Some(header) = setup.header.as_ref().filter(|_| self.known.header.is_none()) else { return 0 };
        let line = Splitter::line(setup.splitter.encoding());
        let (mut at, mut found) = (0, Map::default());
        while let Some(piece) = line.next(&data[at..], at_end) {
            let body = line.encoding().body(data.slice(at + piece.start..at + piece.end), (true, true));
            if !header.matches(&body) {
                for pair in found.0 {
                    let value = pair.value().clone();
                    self.attributes.set(pair.key, value);
                }
                let names = setup.resolver.names();
                let own = self.attributes.0.iter().filter(|pair| !names.contains(&&*pair.key.as_str()));
                self.known.header = Some(Map(own.cloned().collect()));
                return at;
            }
            for pair in header.describe(body).0 {
                let value = pair.value().clone();
                found.set(pair.key, value);
            }
            at += piece.taken;
        }
        // It is read again when there is more, from the start of the file.
        0
    }

    /// Takes what is whole; how many bytes that is.
    fn take_records(
        &mut self,
        splitter: &Splitter,
        setup: &Setup,
        data: &Bytes,
        at_end: bool,
        piece: &mut Piece,
    ) -> usize {
        if !self.knows_header(setup) {
            return 0;
        }
        let max = setup.max_log_size;
        let mut at = 0;
        loop {
            let rest = data.len() - at;
            let (start, end, taken) = match splitter.next(&data[at..], at_end) {
                Some(found) if found.end - found.start > max => (found.start, found.start + max, found.start + max),
                Some(found) => (found.start, found.end, found.taken),
                None if rest >= max => (0, max, max),
                None => return at,
            };
            self.push(setup, data.slice(at + start..at + end), piece);
            at += taken;
        }
    }

    fn push(&mut self, setup: &Setup, bytes: Bytes, piece: &mut Piece) {
        self.known.read.record += 1;
        let body = setup.splitter.encoding().body(bytes, setup.keep_blanks);
        let empty = match &body {
            AnyValue::Text(text) => text.is_empty(),
            AnyValue::Bytes(bytes) => bytes.is_empty(),
            _ => false,
        };
        if !empty {
            piece.records.push((body, self.known.read.record));
        }
    }
}

/// The first bytes of a file, of what is behind a compression.
pub(super) fn start(file: &File, setup: &Setup) -> io::Result<Vec<u8>> {
    if !is_compressed(file, setup.compression) {
        return read_at(file, 0, setup.fingerprint_size);
    }
    let mut copy = file.try_clone()?;
    copy.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    MultiGzDecoder::new(BufReader::new(copy)).take(setup.fingerprint_size as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn is_compressed(file: &File, compression: Compression) -> bool {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    compression != Compression::None && read_at(file, 0, 2).is_ok_and(|start| start == MAGIC)
}

/// Which attributes tell of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resolver {
    pub(super) name: bool,
    pub(super) path: bool,
    pub(super) name_resolved: bool,
    pub(super) path_resolved: bool,
    pub(super) owner: bool,
    pub(super) group: bool,
    pub(super) permissions: bool,
}

impl Resolver {
    /// Names of all that it may add.
    fn names(self) -> [&'static str; 7] {
        [
            "log.file.name",
            "log.file.path",
            "log.file.name_resolved",
            "log.file.path_resolved",
            "log.file.owner.name",
            "log.file.owner.group.name",
            "log.file.permissions",
        ]
    }

    fn attributes(self, path: &Path, file: &File) -> io::Result<Map> {
        let mut map = Map::default();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [name_key, path_key, name_resolved, path_resolved, owner, group, permissions] = self.names();
        if self.name {
            map.set(name_key, name(path));
        }
        if self.path {
            map.set(path_key, path.to_string_lossy().into_owned());
        }
        if self.name_resolved || self.path_resolved {
            let resolved = path.canonicalize()?;
            if self.name_resolved {
                map.set(name_resolved, name(&resolved));
            }
            if self.path_resolved {
                map.set(path_resolved, resolved.to_string_lossy().into_owned());
            }
        }
        if self.owner || self.group || self.permissions {
            let found = owners(file)?;
            let wanted =
                [(self.owner, owner, found.0), (self.group, group, found.1), (self.permissions, permissions, found.2)];
            wanted.into_iter().filter(|(wanted, ..)| *wanted).for_each(|(_, key, value)| map.set(key, value));
        }
        Ok(map)
    }
}

/// Owner, group and permissions of a file.
#[cfg(unix)]
fn owners(file: &File) -> io::Result<(String, String, String)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    let owner = nix::unistd::User::from_uid(metadata.uid().into())?.map(|user| user.name);
    let group = nix::unistd::Group::from_gid(metadata.gid().into())?.map(|group| group.name);
    let mode = format!("{:03o}", metadata.mode() & 0o777);
    // Where the system has no name for a number, the number is the name.
    Ok((owner.unwrap_or_else(|| metadata.uid().to_string()), group.unwrap_or_else(|| metadata.gid().to_string()), mode))
}

#[cfg(not(unix))]
fn owners(_: &File) -> io::Result<(String, String, String)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "files have no owner of this kind here"))
}
