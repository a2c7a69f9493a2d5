//! Hashes and ids.

use base_stdx::Uuid;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Arguments, Built, Function, Kind, converter, everywhere, required};
use crate::coerce::{self, hexadecimal};
use crate::error::{Error, Result};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("MD5", TEXT, |a| hash(a, hex_digest::<Md5>)),
    everywhere("SHA1", TEXT, |a| hash(a, hex_digest::<Sha1>)),
    everywhere("SHA256", TEXT, |a| hash(a, hex_digest::<Sha256>)),
    everywhere("SHA512", TEXT, |a| hash(a, hex_digest::<Sha512>)),
    everywhere("FNV", TEXT, |a| hash(a, |bytes| Value::Int(fnv(bytes) as i64))),
    everywhere("Murmur3Hash", TEXT, |a| hash(a, |bytes| Value::text(hexadecimal(&murmur3(bytes).to_le_bytes())))),
    everywhere("Murmur3Hash128", TEXT, |a| {
        hash(a, |bytes| {
            let (first, second) = murmur3_128(bytes);
            Value::text(hexadecimal(&first.to_le_bytes()) + &hexadecimal(&second.to_le_bytes()))
        })
    }),
    everywhere("XXH3", TEXT, |a| {
        hash(a, |bytes| Value::text(hexadecimal(&xxhash_rust::xxh3::xxh3_64(bytes).to_be_bytes())))
    }),
    everywhere("XXH128", TEXT, |a| {
        hash(a, |bytes| Value::text(hexadecimal(&xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())))
    }),
    everywhere("UUID", &[], |_| converter(|_| uuid(4, random()?))),
    everywhere("UUIDv7", &[], |_| {
        converter(|_| {
            let mut bytes = random()?;
            bytes[..6].copy_from_slice(&base_sys::clock::now_ms().to_be_bytes()[2..]);
            uuid(7, bytes)
        })
    }),
    everywhere("TraceID", BYTES, |a| id(a, "TraceID", Value::TraceId)),
    everywhere("SpanID", BYTES, |a| id(a, "SpanID", Value::SpanId)),
    everywhere("ProfileID", BYTES, |a| id(a, "ProfileID", Value::ProfileId)),
];

const TEXT: &[super::Parameter] = &[required("Target", Kind::Text)];
const BYTES: &[super::Parameter] = &[required("Target", Kind::BytesLike)];

fn hash(a: &mut Arguments, of: fn(&[u8]) -> Value<'static>) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| Ok(of(coerce::text(&target, on)?.as_bytes())))
}

fn hex_digest<D: Digest>(bytes: &[u8]) -> Value<'static> {
    Value::text(hexadecimal(&D::digest(bytes)))
}

/// FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// MurmurHash3 x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0u32;
    let (chunks, tail) = bytes.as_chunks::<4>();
    for chunk in chunks {
        hash = (hash ^ mix(u32::from_le_bytes(*chunk))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash ^= mix(u32::from_le_bytes(last));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// MurmurHash3 x64, 128 bits, seed 0.
fn murmur3_128(bytes: &[u8]) -> (u64, u64) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let first = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let second = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let halves = |block: &[u8; 16]| {
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| block[at + i]));
        (half(0), half(8))
    };
    let (mut h1, mut h2) = (0u64, 0u64);
    let (chunks, tail) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let (k1, k2) = halves(chunk);
        h1 = (h1 ^ first(k1)).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ second(k2)).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    let (k1, k2) = halves(&last);
    if tail.len() > 8 {
        h2 ^= second(k2);
    }
    if !tail.is_empty() {
        h1 ^= first(k1);
    }
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    let finish = |mut h: u64| {
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    };
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2)
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(format!("no random numbers: {error}")))?;
    Ok(bytes)
}

fn uuid(version: u8, bytes: [u8; 16]) -> Result<Value<'static>> {
    Ok(Value::text(Uuid::new(version, bytes).to_string()))
}

/// An id of its bytes, or of twice as many hexadecimal digits.
fn id<const N: usize>(
    a: &mut Arguments,
    name: &'static str,
    make: fn([u8; N]) -> Value<'static>,
) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let read = move |bytes: &[u8]| -> Result<Value<'static>> {
        if let Ok(id) = bytes.try_into() {
            return Ok(make(id));
        }
        if bytes.len() != N * 2 {
            let (length, twice) = (bytes.len(), N * 2);
            let message =
                format!("{name}: could not decode ID: invalid length: expected {N} or {twice} bytes, got {length}");
            return Err(Error::new(message));
        }
        let id = coerce::from_hexadecimal(bytes).ok().and_then(|bytes| bytes.try_into().ok());
        id.map(make).ok_or_else(|| Error::new(format!("{name}: could not decode ID: invalid hex")))
    };
    if let Some(value) = target.literal() {
        let bytes = coerce::as_bytes_like(value.clone()).map_err(|error| error.to_string())?;
        let fixed = read(&bytes).map_err(|error| error.to_string())?;
        return converter(move |_| Ok(fixed.clone()));
    }
    converter(move |on| read(&coerce::bytes_like(&target, on)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_known_texts() {
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(murmur3(b"hello"), 0x248b_fa47);
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3_128(b"hello"), (0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19));
        assert_eq!(
            murmur3_128(b"The quick brown fox jumps over the lazy dog"),
            (0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347)
        );
    }
}
