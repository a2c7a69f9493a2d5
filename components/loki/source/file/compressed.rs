//! Compressed files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

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

// === impl Format ===

impl Format {
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
