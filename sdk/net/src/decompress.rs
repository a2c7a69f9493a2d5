//! Inflating what peers send, never beyond a bound: a few bytes can declare, or become, gigabytes.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// How a body is compressed; the words are those of `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952; several members in a row are one body.
    Gzip,
    /// RFC 1950 (zlib), which is what HTTP means by `deflate`.
    Deflate,
    /// RFC 8878.
    Zstd,
    /// One snappy block, as Loki and Prometheus remote write send it.
    Snappy,
    /// Snappy's framing format, `x-snappy-framed`.
    SnappyFramed,
    /// The LZ4 frame format.
    Lz4,
}

/// Why a body could not be inflated.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// It is larger than allowed: answer 413.
    #[error("the body is larger than {limit} bytes after decompression")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// It is not what it claims to be: answer 400.
    #[error("the body is not valid {encoding}: {error}")]
    Invalid {
        /// The word of `Content-Encoding`.
        encoding: &'static str,
        /// What the decoder said.
        error: String,
    },
}

/// The window that RFC 8878 asks every zstd decoder to support; a frame may not make us allocate more.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Capacity to start with: the usual ratio, but no more than this however small the body.
const MAX_FIRST_CAPACITY: usize = 4 << 20;

/// With so much room left gzip has not stopped for want of it.
const LEAST_ROOM: usize = 300;

/// Inflates a whole body; the result has at most `limit` bytes.
pub fn decompress(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let invalid = |error: &dyn std::fmt::Display| DecompressError::Invalid {
        encoding: encoding.name(),
        error: error.to_string(),
    };
    let read = |reader: &mut dyn Read| {
        let mut inflated = Vec::with_capacity(body.len().saturating_mul(4).min(limit).min(MAX_FIRST_CAPACITY));
        // One byte more than allowed tells "just fits" from "too large".
        reader.take(limit as u64 + 1).read_to_end(&mut inflated).map_err(|error: io::Error| invalid(&error))?;
        if inflated.len() > limit { Err(DecompressError::TooLarge { limit }) } else { Ok(inflated) }
    };
    match encoding {
        Encoding::Identity if body.len() > limit => Err(DecompressError::TooLarge { limit }),
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => gunzip(body, limit),
        Encoding::Deflate => read(&mut flate2::bufread::ZlibDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|error| invalid(&error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| invalid(&error))?;
            read(&mut decoder)
        }
        Encoding::Snappy => {
            // The length stands in front; it is looked at before it is believed.
            let length = snap::raw::decompress_len(body).map_err(|error| invalid(&error))?;
            if length > limit {
                return Err(DecompressError::TooLarge { limit });
            }
            snap::raw::Decoder::new().decompress_vec(body).map_err(|error| invalid(&error))
        }
        Encoding::SnappyFramed => read(&mut snap::read::FrameDecoder::new(body)),
        Encoding::Lz4 => read(&mut lz4_flex::frame::FrameDecoder::new(body)),
    }
}

/// All members at once, into memory that is neither filled with zeros first nor grown on the way: a body says in the end what
/// its last member becomes (RFC 1952, 2.3.1), as a rule the only one. A reader would keep what it wrote a second time, to look
/// back at.
fn gunzip(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    const LONGEST_WINDOW: u8 = 15;
    let invalid = |error: String| DecompressError::Invalid { encoding: Encoding::Gzip.name(), error };
    let told = body.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    // Each bit of a body becomes 258 bytes at most, two of them say so.
    let told = told.min(body.len().saturating_mul(1032)).min(limit).min(MAX_FIRST_CAPACITY);
    let mut inflated = Vec::with_capacity(told + LEAST_ROOM);
    let mut rest = body;
    loop {
        let mut member = Decompress::new_gzip(LONGEST_WINDOW);
        loop {
            let behind = member.total_in() as usize;
            let status = member.decompress_vec(&rest[behind..], &mut inflated, FlushDecompress::Finish);
            let status = status.map_err(|error| invalid(error.to_string()))?;
            if inflated.len() > limit {
                return Err(DecompressError::TooLarge { limit });
            }
            if status == Status::StreamEnd {
                break;
            }
            if inflated.capacity() - inflated.len() >= LEAST_ROOM {
                return Err(invalid("it ends too early".to_owned()));
            }
            let more = inflated.len().min(limit + 1 - inflated.len());
            inflated.reserve_exact(more + LEAST_ROOM);
        }
        rest = &rest[member.total_in() as usize..];
        if rest.is_empty() {
            return Ok(inflated);
        }
    }
}

// === impl Encoding ===

impl Encoding {
    /// The encoding of a `Content-Encoding` header, if it is one that we know. No header and an empty one mean identity.
    pub fn from_header(value: &str) -> Option<Encoding> {
        let known = match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Encoding::Identity,
            "gzip" | "x-gzip" => Encoding::Gzip,
            "deflate" | "zlib" => Encoding::Deflate,
            "zstd" => Encoding::Zstd,
            "snappy" => Encoding::Snappy,
            "x-snappy-framed" => Encoding::SnappyFramed,
            "lz4" => Encoding::Lz4,
            _ => return None,
        };
        Some(known)
    }

    /// Its word in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Zstd => "zstd",
            Encoding::Snappy => "snappy",
            Encoding::SnappyFramed => "x-snappy-framed",
            Encoding::Lz4 => "lz4",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const ALL: [Encoding; 7] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zstd,
        Encoding::Snappy,
        Encoding::SnappyFramed,
        Encoding::Lz4,
    ];

    fn compress(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => body.to_vec(),
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::stream::encode_all(body, 1).unwrap(),
            Encoding::Snappy => snap::raw::Encoder::new().compress_vec(body).unwrap(),
            Encoding::SnappyFramed => {
                let mut encoder = snap::write::FrameEncoder::new(Vec::new());
                encoder.write_all(body).unwrap();
                encoder.into_inner().unwrap()
            }
            Encoding::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn every_encoding_comes_back_up_to_the_bound() {
        let body = vec![7; 10_000];
        for encoding in ALL {
            let compressed = compress(encoding, &body);
            assert_eq!(decompress(encoding, &compressed, 10_000).unwrap(), body, "{encoding:?}");
            let error = decompress(encoding, &compressed, 9_999).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { limit: 9_999 }), "{encoding:?}: {error}");
            assert_eq!(Encoding::from_header(encoding.name()), Some(encoding));
        }
    }

    #[test]
    fn garbage_and_lies_are_refused() {
        for encoding in &ALL[1..] {
            let error = decompress(*encoding, b"\xff\xff\xff\xff\xff\xff", 1000).unwrap_err();
            assert!(
                matches!(error, DecompressError::Invalid { .. } | DecompressError::TooLarge { .. }),
                "{encoding:?}"
            );
            let mut torn = compress(*encoding, &[9; 5000]);
            torn.truncate(torn.len() / 2);
            decompress(*encoding, &torn, 10_000).unwrap_err();
        }
    }

    #[test]
    fn gzip_members_in_a_row_are_one_body() {
        let two = [compress(Encoding::Gzip, b"one "), compress(Encoding::Gzip, b"two")].concat();
        assert_eq!(decompress(Encoding::Gzip, &two, 100).unwrap(), b"one two");
    }
}
