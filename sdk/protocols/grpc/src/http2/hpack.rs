//! Header compression (RFC 7541): everything that a peer may send, and the little that we send.
//!
//! What we write never enters the peer's dynamic table: the headers of a unary call are the same bytes each time, so they
//! are encoded once and copied.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::huffman;

/// What both sides begin with (RFC 7540, `SETTINGS_HEADER_TABLE_SIZE`). We never ask for another.
const TABLE_SIZE: usize = 4096;
/// What an entry counts beside its name and value (RFC 7541, 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Decoded headers, pseudo-headers among them, in their order.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(Bytes, Bytes)>);

/// Why a header block is not one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The connection cannot go on: the tables differ from now on.
    Compression,
    /// More than the limit; the table is in order.
    TooLarge,
}

/// The receiving side of a connection's header compression.
pub(crate) struct Decoder {
    /// The newest first.
    table: VecDeque<(Bytes, Bytes)>,
    size: usize,
    max_size: usize,
}

// === impl Headers ===

impl Headers {
    /// The first value of a header; names are in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == name.as_bytes()).map(|(_, value)| &value[..])
    }

    /// The headers as a map, without pseudo-headers and what is no header.
    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_lowercase(name), HeaderValue::from_maybe_shared(value.clone()))
            {
                map.append(name, value);
            }
        }
        map
    }
}

// === impl Decoder ===

impl Decoder {
    pub(crate) fn new() -> Decoder {
        Decoder { table: VecDeque::new(), size: 0, max_size: TABLE_SIZE }
    }

    /// Decodes a whole block of at most `limit` bytes of names and values.
    pub(crate) fn decode(&mut self, mut block: &[u8], limit: usize) -> Result<Headers, Malformed> {
        let mut headers = Headers(Vec::with_capacity(12));
        let (mut size, mut begun) = (0, false);
        while let Some(first) = block.first().copied() {
            let (name, value, keep) = match first {
                0x80.. => {
                    let (name, value) = self.entry(integer(&mut block, 7)?)?;
                    (name, value, false)
                }
                0x40.. => {
                    let name = self.name(integer(&mut block, 6)?, &mut block)?;
                    (name, string(&mut block)?, true)
                }
                0x20.. => {
                    let wanted = integer(&mut block, 5)?;
                    // Only at the beginning of a block (4.2), and not above what we allow.
                    if begun || wanted > TABLE_SIZE {
                        return Err(Malformed::Compression);
                    }
                    self.max_size = wanted;
                    self.evict();
                    continue;
                }
                _ => {
                    let name = self.name(integer(&mut block, 4)?, &mut block)?;
                    (name, string(&mut block)?, false)
                }
            };
            begun = true;
            if keep {
                self.insert(name.clone(), value.clone());
            }
            size += name.len() + value.len() + ENTRY_OVERHEAD;
            // To the end in any case: the table must stay the peer's.
            if size <= limit {
                headers.0.push((name, value));
            }
        }
        if size > limit { Err(Malformed::TooLarge) } else { Ok(headers) }
    }

    fn entry(&self, index: usize) -> Result<(Bytes, Bytes), Malformed> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|index| STATIC.get(index)) {
            return Ok((Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes())));
        }
        let dynamic = index.checked_sub(STATIC.len() + 1).and_then(|index| self.table.get(index));
        dynamic.cloned().ok_or(Malformed::Compression)
    }

    fn name(&self, index: usize, block: &mut &[u8]) -> Result<Bytes, Malformed> {
        if index == 0 { string(block) } else { Ok(self.entry(index)?.0) }
    }

    fn insert(&mut self, name: Bytes, value: Bytes) {
        self.size += name.len() + value.len() + ENTRY_OVERHEAD;
        self.table.push_front((name, value));
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max_size {
            let Some((name, value)) = self.table.pop_back() else { break };
            self.size -= name.len() + value.len() + ENTRY_OVERHEAD;
        }
    }
}

/// An integer whose first `prefix` bits are the low bits of the next byte (5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let mut next = || {
        let (first, rest) = block.split_first().ok_or(Malformed::Compression)?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let mask = (1 << prefix) - 1;
    let mut value = next()? & mask;
    if value < mask {
        return Ok(value);
    }
    // Nothing that we take needs more than four bytes.
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed::Compression)
}

fn string(block: &mut &[u8]) -> Result<Bytes, Malformed> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Malformed::Compression)?;
    *block = rest;
    if !coded {
        return Ok(Bytes::copy_from_slice(text));
    }
    let mut out = Vec::with_capacity(text.len() * 2);
    huffman::decode(text, &mut out).ok_or(Malformed::Compression)?;
    Ok(out.into())
}

/// Adds a header in the form that no table keeps.
pub(crate) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    // What is secret must not be kept by anybody on the way either (7.1.3).
    let never = if matches!(name, "authorization" | "proxy-authorization" | "cookie") { 0x10 } else { 0 };
    match STATIC.iter().position(|(other, _)| *other == name) {
        Some(index) => put_integer(out, never, 4, index + 1),
        None => {
            out.push(never);
            put_string(out, name.as_bytes());
        }
    }
    put_string(out, value);
}

/// Adds a header that the static table knows whole.
pub(crate) fn put_known(out: &mut Vec<u8>, name: &str, value: &str) {
    match STATIC.iter().position(|entry| *entry == (name, value)) {
        Some(index) => put_integer(out, 0x80, 7, index + 1),
        None => put(out, name, value.as_bytes()),
    }
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

fn put_integer(out: &mut Vec<u8>, flags: u8, prefix: u32, value: usize) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &Headers) -> Vec<(String, String)> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        headers.0.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn requests_of_the_specification() {
        // RFC 7541, C.4: three requests on one connection.
        let mut decoder = Decoder::new();
        let first = decoder.decode(&bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), 4096).unwrap();
        assert_eq!(first.get(":authority"), Some(&b"www.example.com"[..]));
        assert_eq!(pairs(&first)[..2], [(":method".into(), "GET".into()), (":scheme".into(), "http".into())]);
        let second = decoder.decode(&bytes("8286 84be 5886 a8eb 1064 9cbf"), 4096).unwrap();
        assert_eq!(second.get("cache-control"), Some(&b"no-cache"[..]));
        assert_eq!(second.get(":authority"), Some(&b"www.example.com"[..]));
        let third = bytes("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
        let third = decoder.decode(&third, 4096).unwrap();
        assert_eq!(third.get("custom-key"), Some(&b"custom-value"[..]));
        assert_eq!(decoder.size, 164);
    }

    #[test]
    fn what_is_put_comes_back() {
        let mut block = Vec::new();
        put_known(&mut block, ":method", "POST");
        put(&mut block, ":path", b"/a.b.C/D");
        put(&mut block, "authorization", b"Basic x");
        put(&mut block, "grpc-encoding", "x".repeat(300).as_bytes());
        let headers = Decoder::new().decode(&block, 4096).unwrap();
        assert_eq!(headers.get(":method"), Some(&b"POST"[..]));
        assert_eq!(headers.get(":path"), Some(&b"/a.b.C/D"[..]));
        assert_eq!(headers.get("authorization"), Some(&b"Basic x"[..]));
        assert_eq!(headers.get("grpc-encoding").map(<[u8]>::len), Some(300));
        assert_eq!(headers.to_map().len(), 2);
    }

    #[test]
    fn the_table_forgets_the_oldest_and_obeys_a_smaller_size() {
        let mut decoder = Decoder::new();
        let mut block = Vec::new();
        for n in 0..200 {
            block.extend([0x40, 2, b'a' + n / 26, b'a' + n % 26, 1, b'v']);
        }
        decoder.decode(&block, usize::MAX).unwrap();
        assert!(decoder.size <= TABLE_SIZE && decoder.table.len() == TABLE_SIZE / 35);
        decoder.decode(&[0x20], 4096).unwrap();
        assert_eq!(decoder.table.len(), 0);
    }

    #[test]
    fn what_is_no_block_ends_the_connection_and_what_is_too_long_does_not() {
        for wrong in ["80", "be", "ff ff ff ff ff 7f", "40 05 61", "41", "3f e2 1f", "82 20"] {
            assert_eq!(Decoder::new().decode(&bytes(wrong), 4096).unwrap_err(), Malformed::Compression, "{wrong}");
        }
        let mut block = Vec::new();
        put(&mut block, "long", &[b'x'; 5000]);
        assert_eq!(Decoder::new().decode(&block, 4096).unwrap_err(), Malformed::TooLarge);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let block: Vec<u8> = (0..state % 40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            state = state.wrapping_add(1);
            let _ = Decoder::new().decode(&block, 4096);
        }
    }
}
