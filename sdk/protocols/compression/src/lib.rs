//! The content codings of HTTP and gRPC bodies, whole body in, whole body out.
//!
//! Every expansion has a bound: a few kilobytes that become gigabytes are refused when they pass it, not when memory is
//! gone.

mod snappy;

use std::io::{self, Read, Write};

use flate2::Compression;

pub use snappy::Snappy;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip (RFC 1952); several members are one body.
    Gzip,
    /// zlib (RFC 1950), which HTTP calls `deflate` and the Collector also `zlib`.
    Zlib,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Snappy, one block.
    SnappyBlock,
    /// Snappy's framing format.
    SnappyFramed,
    /// LZ4 frames.
    Lz4,
}

/// Why a body cannot be expanded.
#[derive(Debug, thiserror::Error)]
pub enum ExpandError {
    /// It becomes larger than is allowed.
    #[error("body is larger than {limit} bytes when decompressed")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// It is not of this coding, or damaged.
    #[error("cannot decompress: {0}")]
    Damaged(#[from] io::Error),
}

/// First bytes of Snappy's framing format.
const SNAPPY_FRAMED: &[u8] = b"\xff\x06\x00\x00sNaPpY";

// === impl Coding ===

impl Coding {
    /// The coding that `Content-Encoding` (HTTP) names.
    #[must_use]
    pub fn of_http(name: &str) -> Option<Coding> {
        Some(match name {
            "" | "identity" => Coding::Identity,
            "gzip" => Coding::Gzip,
            "zlib" | "deflate" => Coding::Zlib,
            "zstd" => Coding::Zstd,
            "snappy" => Coding::SnappyBlock,
            "x-snappy-framed" => Coding::SnappyFramed,
            "lz4" => Coding::Lz4,
            _ => return None,
        })
    }

    /// The coding that `grpc-encoding` names. gRPC's snappy is the framed one.
    #[must_use]
    pub fn of_grpc(name: &str) -> Option<Coding> {
        Some(match name {
            "" | "identity" => Coding::Identity,
            "gzip" => Coding::Gzip,
            "deflate" => Coding::Zlib,
            "zstd" => Coding::Zstd,
            "snappy" => Coding::SnappyFramed,
            _ => return None,
        })
    }

    /// The body behind the coding, of at most `limit` bytes.
    ///
    /// What claims to be a Snappy block may be framed: the Collector once sent frames under that name.
    ///
    /// # Errors
    /// A body of another coding, a damaged one, or one that becomes larger than `limit`.
    pub fn expand(self, body: &[u8], limit: usize) -> Result<Vec<u8>, ExpandError> {
        match self {
            Coding::Identity if body.len() > limit => Err(ExpandError::TooLarge { limit }),
            Coding::Identity => Ok(body.to_vec()),
            Coding::Gzip => read_bounded(flate2::bufread::MultiGzDecoder::new(body), body.len() * 4, limit),
            Coding::Zlib => read_bounded(flate2::bufread::ZlibDecoder::new(body), body.len() * 4, limit),
            Coding::Zstd => read_bounded(zstd::stream::read::Decoder::with_buffer(body)?, body.len() * 4, limit),
            Coding::SnappyBlock if body.starts_with(SNAPPY_FRAMED) => Coding::SnappyFramed.expand(body, limit),
            Coding::SnappyBlock => {
                let broken = |error: snap::Error| io::Error::new(io::ErrorKind::InvalidData, error);
                if snap::raw::decompress_len(body).map_err(broken)? > limit {
                    return Err(ExpandError::TooLarge { limit });
                }
                Ok(snap::raw::Decoder::new().decompress_vec(body).map_err(broken)?)
            }
            Coding::SnappyFramed => read_bounded(snap::read::FrameDecoder::new(body), body.len() * 2, limit),
            Coding::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body), body.len() * 2, limit),
        }
    }

    /// The coded body. `level` is the coding's own scale; without one its default applies.
    #[must_use]
    pub fn compress(self, body: &[u8], level: Option<i32>) -> Vec<u8> {
        let out = Vec::with_capacity(body.len() / 3 + 64);
        let written = match self {
            Coding::Identity => return body.to_vec(),
            Coding::Gzip => write_all(flate2::write::GzEncoder::new(out, deflate_level(level)), body, |w| w.finish()),
            Coding::Zlib => write_all(flate2::write::ZlibEncoder::new(out, deflate_level(level)), body, |w| w.finish()),
            Coding::Zstd => zstd::bulk::compress(body, level.unwrap_or(1)),
            Coding::SnappyBlock => snap::raw::Encoder::new().compress_vec(body).map_err(io::Error::other),
            Coding::SnappyFramed => write_all(snap::write::FrameEncoder::new(out), body, |w| {
                w.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }),
            Coding::Lz4 => {
                write_all(lz4_flex::frame::FrameEncoder::new(out), body, |w| w.finish().map_err(io::Error::other))
            }
        };
        // Writing into memory fails only when there is none; Snappy blocks end at 4 GiB, and no body is that large.
        written.expect("compressing into memory does not fail")
    }
}

/// Without a level. Spans are as small with 3 as with 6, the usual default, and text is 7 % larger, for a half of the time.
const DEFLATE_LEVEL: u32 = 3;

/// Go's scale: 0 to 9, and -1 or none for the default.
fn deflate_level(level: Option<i32>) -> Compression {
    let given = level.and_then(|level| u32::try_from(level).ok());
    Compression::new(given.unwrap_or(DEFLATE_LEVEL).min(9))
}

fn write_all<W: Write>(
    mut writer: W,
    body: &[u8],
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    writer.write_all(body)?;
    finish(writer)
}

fn read_bounded(reader: impl Read, guess: usize, limit: usize) -> Result<Vec<u8>, ExpandError> {
    let mut out = Vec::with_capacity(guess.min(limit).min(16 << 20));
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(ExpandError::TooLarge { limit });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Coding; 7] = [
        Coding::Identity,
        Coding::Gzip,
        Coding::Zlib,
        Coding::Zstd,
        Coding::SnappyBlock,
        Coding::SnappyFramed,
        Coding::Lz4,
    ];

    #[test]
    fn what_is_compressed_comes_back() {
        for body in [&b""[..], b"a", &[b'x'; 100_000]] {
            for coding in ALL {
                let coded = coding.compress(body, None);
                assert_eq!(coding.expand(&coded, 100_000).unwrap(), body, "{coding:?}");
            }
        }
    }

    #[test]
    fn the_bound_is_on_what_it_becomes() {
        for coding in ALL {
            let coded = coding.compress(&vec![0; 10 << 20], None);
            assert!(matches!(coding.expand(&coded, 1 << 20), Err(ExpandError::TooLarge { .. })), "{coding:?}");
        }
    }

    #[test]
    fn framed_snappy_is_understood_under_the_name_of_the_block() {
        let coded = Coding::SnappyFramed.compress(b"hello", None);
        assert_eq!(Coding::SnappyBlock.expand(&coded, 100).unwrap(), b"hello");
    }

    #[test]
    fn several_gzip_members_are_one_body() {
        let coded = [Coding::Gzip.compress(b"one ", None), Coding::Gzip.compress(b"two", None)].concat();
        assert_eq!(Coding::Gzip.expand(&coded, 100).unwrap(), b"one two");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300usize, byte: u8) {
            for coding in ALL {
                let _ = coding.expand(&body, 1000);
                let mut coded = coding.compress(&body, None);
                if let Some(at) = coded.get_mut(cut) {
                    *at = byte;
                }
                let _ = coding.expand(&coded, 1000);
                coded.truncate(cut);
                let _ = coding.expand(&coded, 1000);
            }
        }
    }
}
