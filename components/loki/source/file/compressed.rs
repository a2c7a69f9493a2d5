//! Compressed files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use language_eval::Word;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Format {
    /// gzip; several members in a row are one text.
    Gz,
    /// zlib.
    Z,
    /// bzip2.
    Bz2,
}

/// The text of a compressed file, to be read from any offset. To go back means to begin anew.
pub struct Unpacked {
    format: Format,
    path: PathBuf,
    reader: Mutex<At>,
}

struct At {
    offset: u64,
    reader: Box<dyn Read + Send>,
}

// === impl Format ===

impl Format {
    /// How programs that rotate logs compress what they call so.
    pub fn of_name(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "gz" => Some(Format::Gz),
            "bz2" => Some(Format::Bz2),
            _ => None,
        }
    }

    /// The text of a file.
    pub fn open(self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = BufReader::with_capacity(64 << 10, File::open(path)?);
        Ok(match self {
            Format::Gz => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Format::Z => Box::new(flate2::bufread::ZlibDecoder::new(file)),
            Format::Bz2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        })
    }
}

// === impl Unpacked ===

impl Unpacked {
    /// Opens a file; what it holds is looked at when it is read.
    pub fn open(format: Format, path: &Path) -> io::Result<Unpacked> {
        let reader = Mutex::new(At { offset: 0, reader: format.open(path)? });
        Ok(Unpacked { format, path: path.to_owned(), reader })
    }

    /// Up to `wanted` bytes from `offset` on; fewer only at the end.
    pub fn read(&self, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
        let mut at = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < at.offset {
            *at = At { offset: 0, reader: self.format.open(&self.path)? };
        }
        let skipped = offset - at.offset;
        let skipped = io::copy(&mut (&mut at.reader).take(skipped), &mut io::sink())?;
        at.offset += skipped;
        let mut bytes = Vec::new();
        let read = (&mut at.reader).take(wanted as u64).read_to_end(&mut bytes);
        at.offset += bytes.len() as u64;
        read.map(|_| bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn compressed_text_is_read_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log.1.gz");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"one\ntwo\nthree\n").unwrap();
        std::fs::write(&path, packer.finish().unwrap()).unwrap();
        let unpacked = Unpacked::open(Format::of_name(&path).unwrap(), &path).unwrap();
        for (offset, wanted, expected) in [(4, 4, "two\n"), (8, 100, "three\n"), (0, 4, "one\n"), (99, 4, "")] {
            assert_eq!(unpacked.read(offset, wanted).unwrap(), expected.as_bytes());
        }
    }
}
