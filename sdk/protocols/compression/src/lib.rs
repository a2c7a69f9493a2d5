//! The content codings of HTTP and gRPC bodies, whole body in, whole body out.
//!
//! Every expansion has a bound: a few kilobytes that become gigabytes are refused when they pass it, not when memory is
//! gone.

mod deflate;
mod idle;
mod snappy;

use std::fmt;
use std::io::{self, Read, Write};

use deflate::{Unexpanded, Wrapper};
use idle::Idle;
pub use snappy::Snappy;
use zstd::zstd_safe;

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
    #[error("the body is larger than {limit} bytes after decompression")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// It is not of this coding, or damaged.
    #[error("the body is not valid {coding}: {error}")]
    Damaged {
        /// What it should be.
        coding: Coding,
        /// What the decoder says.
        error: io::Error,
    },
}

/// The largest window of a zstd body: what RFC 8878 asks every decoder to have, or what the body may become, but no more than
/// encoders use by themselves.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

/// Without a level.
const ZSTD_LEVEL: i32 = 1;
/// What compresses harder has more memory than is kept for the next body.
const MOST_KEPT_ZSTD_LEVEL: i32 = 6;
static ZSTD_COMPRESSORS: Idle<(zstd::bulk::Compressor<'static>, i32)> = Idle::new();
static ZSTD_DECOMPRESSORS: Idle<zstd::bulk::Decompressor<'static>> = Idle::new();

/// Bodies that become larger must show first that they do.
const MAX_FIRST_CAPACITY: usize = 16 << 20;

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

    /// Its word in `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Zlib => "deflate",
            Coding::Zstd => "zstd",
            Coding::SnappyBlock => "snappy",
            Coding::SnappyFramed => "x-snappy-framed",
            Coding::Lz4 => "lz4",
        }
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
        let mut out = Vec::new();
        self.expand_into(body, limit, &mut out)?;
        if out.capacity() / 2 > out.len() {
            out.shrink_to_fit();
        }
        Ok(out)
    }

    /// The same, in place of what is in `out`, whose room is used again where the coding allows.
    ///
    /// # Errors
    /// As of [`Coding::expand`]; what is in `out` then has no meaning.
    pub fn expand_into(self, body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ExpandError> {
        let damaged = |error| ExpandError::Damaged { coding: self, error };
        let expanded = match self {
            Coding::Identity if body.len() > limit => return Err(ExpandError::TooLarge { limit }),
            Coding::Identity => Ok(Some(body.to_vec())),
            Coding::Gzip | Coding::Zlib => {
                let wrapper = if self == Coding::Gzip { Wrapper::Gzip } else { Wrapper::Zlib };
                match wrapper.expand_into(body, limit, out) {
                    Ok(()) => return Ok(()),
                    Err(Unexpanded::TooLarge) => Ok(None),
                    // libdeflate does not say what is wrong with it. A decoder of streams does.
                    Err(Unexpanded::Damaged) if self == Coding::Gzip => {
                        read_bounded(flate2::bufread::MultiGzDecoder::new(body), body.len(), limit)
                    }
                    Err(Unexpanded::Damaged) => {
                        read_bounded(flate2::bufread::ZlibDecoder::new(body), body.len(), limit)
                    }
                }
            }
            Coding::Zstd => expand_zstd(body, limit),
            Coding::SnappyBlock if body.starts_with(SNAPPY_FRAMED) => {
                return Coding::SnappyFramed.expand_into(body, limit, out);
            }
            Coding::SnappyBlock => {
                expand_snappy(body, limit).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Coding::SnappyFramed => read_bounded(snap::read::FrameDecoder::new(body), body.len() * 2, limit),
            Coding::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body), body.len() * 2, limit),
        };
        *out = expanded.map_err(damaged)?.ok_or(ExpandError::TooLarge { limit })?;
        Ok(())
    }

    /// What a body says that it becomes, in bytes. That need not be true; `None` if it does not say.
    #[must_use]
    pub fn told(self, body: &[u8]) -> Option<usize> {
        match self {
            // Of its last member (RFC 1952, 2.3.1), as a rule the only one.
            Coding::Gzip => body.last_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize),
            Coding::Zstd => zstd_safe::get_frame_content_size(body).ok().flatten()?.try_into().ok(),
            _ => None,
        }
    }

    /// The coded body. `level` is the coding's own scale; without one its default applies.
    #[must_use]
    pub fn compress(self, body: &[u8], level: Option<i32>) -> Vec<u8> {
        let room = || Vec::with_capacity(body.len() / 3 + 64);
        let written = match self {
            Coding::Identity => return body.to_vec(),
            Coding::Gzip => return Wrapper::Gzip.compress(body, deflate_level(level)),
            Coding::Zlib => return Wrapper::Zlib.compress(body, deflate_level(level)),
            Coding::Zstd => compress_zstd(body, level.unwrap_or(ZSTD_LEVEL)),
            Coding::SnappyBlock => snap::raw::Encoder::new().compress_vec(body).map_err(io::Error::other),
            Coding::SnappyFramed => write_all(snap::write::FrameEncoder::new(room()), body, |w| {
                w.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }),
            Coding::Lz4 => {
                write_all(lz4_flex::frame::FrameEncoder::new(room()), body, |w| w.finish().map_err(io::Error::other))
            }
        };
        // Writing into memory fails only when there is none; Snappy blocks end at 4 GiB, and no body is that large.
        written.expect("compressing into memory does not fail")
    }
}

/// Go's scale: 0 to 9, and -1 or none for the default. libdeflate's numbers give what Go's give or less: docs/performance.md.
fn deflate_level(level: Option<i32>) -> i32 {
    level.filter(|level| *level >= 0).map_or(deflate::DEFAULT_LEVEL, |level| level.min(9))
}

// === impl Display ===

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn write_all<W: Write>(
    mut writer: W,
    body: &[u8],
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    writer.write_all(body)?;
    finish(writer)
}

fn compress_zstd(body: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let (mut compressor, _) = ZSTD_COMPRESSORS
        .take(|(_, idle)| *idle == level)
        .map_or_else(|| Ok::<_, io::Error>((zstd::bulk::Compressor::new(level)?, level)), Ok)?;
    let mut compressed = compressor.compress(body)?;
    compressed.shrink_to_fit();
    if level <= MOST_KEPT_ZSTD_LEVEL {
        ZSTD_COMPRESSORS.keep((compressor, level));
    }
    Ok(compressed)
}

fn expand_zstd(body: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    // A frame that says what it becomes, as that of a whole body does, is expanded to where it stays.
    if let Some(told) = Coding::Zstd.told(body).filter(|told| *told <= limit.min(MAX_FIRST_CAPACITY)) {
        let mut out = Vec::with_capacity(told);
        let mut decompressor = ZSTD_DECOMPRESSORS.take(|_| true).map_or_else(zstd::bulk::Decompressor::new, Ok)?;
        let expanded = decompressor.decompress_to_buffer(body, &mut out);
        ZSTD_DECOMPRESSORS.keep(decompressor);
        if expanded.is_ok() {
            return Ok(Some(out));
        }
        // There are more frames, or it is damaged.
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    let limit_log = limit.checked_next_power_of_two().map_or(u32::MAX, usize::ilog2);
    decoder.window_log_max(limit_log.clamp(*ZSTD_WINDOW_LOG.start(), *ZSTD_WINDOW_LOG.end()))?;
    read_bounded(decoder, body.len() * 4, limit)
}

fn expand_snappy(body: &[u8], limit: usize) -> Result<Option<Vec<u8>>, snap::Error> {
    // The length stands in front; it is looked at before it is believed.
    if snap::raw::decompress_len(body)? > limit {
        return Ok(None);
    }
    snap::raw::Decoder::new().decompress_vec(body).map(Some)
}

/// None: it becomes more than `limit` bytes.
fn read_bounded(reader: impl Read, guess: usize, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::with_capacity(guess.min(limit).min(MAX_FIRST_CAPACITY));
    // One byte more than allowed tells "just fits" from "too large".
    reader.take((limit as u64).saturating_add(1)).read_to_end(&mut out)?;
    Ok((out.len() <= limit).then_some(out))
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
    fn what_just_fits_is_taken_and_a_byte_more_is_not() {
        let body: Vec<u8> = (0..100_000u32).flat_map(|number| (number % 999).to_le_bytes()).collect();
        for coding in ALL {
            let coded = coding.compress(&body, None);
            assert_eq!(coding.expand(&coded, body.len()).unwrap(), body, "{coding}");
            let error = coding.expand(&coded, body.len() - 1).unwrap_err();
            assert!(matches!(error, ExpandError::TooLarge { limit } if limit == body.len() - 1), "{coding}: {error}");
        }
    }

    #[test]
    fn what_is_torn_or_something_else_is_refused() {
        let body: Vec<u8> = (0..9_000u32).flat_map(u32::to_le_bytes).collect();
        for coding in &ALL[1..] {
            for garbage in [&b"\xff\xff\xff\xff\xff\xff"[..], b"a page without any compression"] {
                coding.expand(garbage, 1000).unwrap_err();
            }
            let coded = coding.compress(&body, None);
            let error = coding.expand(&coded[..coded.len() / 2], 1 << 20).unwrap_err();
            assert!(matches!(error, ExpandError::Damaged { .. }), "{coding}: {error}");
            assert_eq!(Coding::of_http(coding.name()), Some(*coding));
        }
    }

    #[test]
    fn several_gzip_members_are_one_body() {
        let coded = [Coding::Gzip.compress(b"one ", None), Coding::Gzip.compress(b"two", None)].concat();
        assert_eq!(Coding::Gzip.expand(&coded, 100).unwrap(), b"one two");
        // The last says how long it is, and a longer one before it needs more room than that.
        let long = vec![b'x'; 3 << 20];
        let coded = [&Coding::Gzip.compress(b"one", None)[..], &Coding::Gzip.compress(&long, None), &coded].concat();
        let body = [b"one", &long[..], b"one two"].concat();
        assert_eq!(Coding::Gzip.expand(&coded, body.len()).unwrap(), body);
        assert!(matches!(Coding::Gzip.expand(&coded, body.len() - 1), Err(ExpandError::TooLarge { .. })));
    }

    #[test]
    fn several_zstd_frames_are_one_body_and_so_is_one_that_does_not_say_what_it_becomes() {
        let [one, two] = [&b"one "[..], b"two"].map(|body| Coding::Zstd.compress(body, None));
        assert_eq!(Coding::Zstd.expand(&[one, two].concat(), 100).unwrap(), b"one two");
        let long: Vec<u8> = (0..1_000_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        let untold = zstd::stream::encode_all(&long[..], 1).unwrap();
        assert_eq!(Coding::Zstd.expand(&untold, long.len()).unwrap(), long);
        let told = Coding::Zstd.compress(&long, Some(19));
        assert_eq!(Coding::Zstd.expand(&told, long.len()).unwrap(), long);
        for (coded, limit) in [(&untold, long.len() - 1), (&told, long.len() - 1), (&told, 10)] {
            assert!(matches!(Coding::Zstd.expand(coded, limit), Err(ExpandError::TooLarge { .. })));
        }
    }

    #[test]
    fn a_gzip_body_that_lies_about_its_length_is_damaged() {
        for lie in [0, 1, 1 << 20, u32::MAX] {
            let mut coded = Coding::Gzip.compress(&[b'x'; 5000], None);
            let length = coded.len() - 4;
            coded[length..].copy_from_slice(&lie.to_le_bytes());
            let error = Coding::Gzip.expand(&coded, 1 << 30).unwrap_err();
            assert!(matches!(error, ExpandError::Damaged { .. }), "{lie}: {error}");
        }
    }

    #[test]
    fn an_error_of_gzip_says_what_is_wrong() {
        let coded = Coding::Gzip.compress(b"a page", None);
        let said = |body: &[u8]| Coding::Gzip.expand(body, 100).unwrap_err().to_string();
        assert_eq!(said(b"a page without any compression"), "the body is not valid gzip: invalid gzip header");
        assert_eq!(said(&coded[..coded.len() - 1]), "the body is not valid gzip: unexpected end of file");
        assert_eq!(said(&[&coded[..], b"and more"].concat()), "the body is not valid gzip: unexpected end of file");
        assert_eq!(said(b""), "the body is not valid gzip: unexpected end of file");
    }

    #[test]
    fn memory_that_a_body_did_not_need_is_given_back() {
        for coding in [Coding::Gzip, Coding::Zlib] {
            let body: Vec<u8> =
                (0..50_000u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
            let coded = coding.compress(&body, None);
            assert!(coded.capacity() < coded.len() * 2, "{coding}");
            assert!(coding.expand(&coded, 64 << 20).unwrap().capacity() <= body.len() * 2, "{coding}");
        }
    }

    #[test]
    fn each_level_of_go_is_a_level_here() {
        let text: Vec<u8> =
            (0..5000u32).flat_map(|number| format!("line {} of many\n", number * 7919).into_bytes()).collect();
        let length = |level| Coding::Gzip.compress(&text, Some(level)).len();
        assert!(length(0) > text.len());
        assert!(length(9) < length(1));
        assert_eq!(length(-1), Coding::Gzip.compress(&text, None).len());
        assert_eq!(length(100), length(9));
    }

    fn gzip(body: &[u8], level: u32) -> Vec<u8> {
        let encoder = flate2::GzBuilder::new().filename("page").extra("x").comment("y");
        let mut encoder = encoder.write(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
    }

    fn zlib(body: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(body).and_then(|()| encoder.finish()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn gzip_and_zlib_are_those_of_everybody(
            body in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => any::<u8>()], 0..5000),
            level in 0..=9i32,
            cut in 0..6000usize,
        ) {
            for (coding, theirs) in [(Coding::Gzip, gzip as fn(&[u8], u32) -> Vec<u8>), (Coding::Zlib, zlib)] {
                let coded = theirs(&body, level as u32);
                prop_assert_eq!(&coding.expand(&coded, body.len()).unwrap(), &body);
                let ours = coding.compress(&body, Some(level));
                let mut expanded = Vec::new();
                match coding {
                    Coding::Gzip => flate2::read::GzDecoder::new(&ours[..]).read_to_end(&mut expanded).unwrap(),
                    _ => flate2::read::ZlibDecoder::new(&ours[..]).read_to_end(&mut expanded).unwrap(),
                };
                prop_assert_eq!(&expanded, &body);
                if cut < coded.len() {
                    prop_assert!(coding.expand(&coded[..cut], 1 << 20).is_err());
                }
            }
        }

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
