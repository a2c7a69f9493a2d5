//! A ZIP archive (APPNOTE 6.3): deflated files, without dates or attributes.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// An archive that is being written.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    files: u16,
}

const DEFLATED: u16 = 8;
const VERSION: u16 = 20;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// 1980-01-01, the first day there is.
const DATE: u16 = 0x21;

impl Archive {
    /// One file more. A bundle's files are far from the 4 GiB at which another format would be needed.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8]) {
        let mut crc = Crc::new();
        crc.update(contents);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let Ok(deflated) = encoder.write_all(contents).and_then(|()| encoder.finish()) else { return };
        let offset = self.bytes.len() as u32;
        let mut header = Vec::new();
        for field in [VERSION, FLAGS, DEFLATED, 0, DATE] {
            header.extend(field.to_le_bytes());
        }
        for field in [crc.sum(), deflated.len() as u32, contents.len() as u32] {
            header.extend(field.to_le_bytes());
        }
        header.extend((name.len() as u16).to_le_bytes());
        header.extend(0u16.to_le_bytes()); // no extra field

        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&header);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(deflated);

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(VERSION.to_le_bytes());
        self.directory.extend(header);
        self.directory.extend([0; 10]); // comment, disk, attributes
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.files += 1;
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let (start, length) = (self.bytes.len() as u32, self.directory.len() as u32);
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]); // no comment
        self.bytes
    }
}
