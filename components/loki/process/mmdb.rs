//! Databases in MaxMind's format: a tree over the bits of addresses, whose leaves point at records.
//!
//! A file may be damaged, or made to do damage: every offset is checked, and a record has bounds in depth and size.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::Path;

use base_sys::fs;

use super::json::Json;

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata stand in the last part of the file.
const METADATA: usize = 128 << 10;
/// Of zeros, between the tree and the data.
const GAP: usize = 16;
/// The largest databases have some hundred megabytes.
const MAX_FILE: usize = 2 << 30;
const MAX_DEPTH: usize = 32;
/// Values of one record: pointers could make a few bytes a huge record.
const MAX_VALUES: usize = 10_000;

/// A database in memory.
pub struct Database {
    bytes: Vec<u8>,
    nodes: usize,
    /// Bits of one of the two records of a node: 24, 28 or 32.
    record_bits: usize,
    is_v6: bool,
    /// Where IPv4 addresses begin in a tree of IPv6.
    v4_root: usize,
    data: usize,
}

/// The file is no database, or a damaged one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(&'static str);

const TORN: Damaged = Damaged("the database is damaged: something lies behind its end");

// === impl Database ===

impl Database {
    /// Reads a whole file into memory.
    pub fn open(path: &Path) -> Result<Database, String> {
        let bytes = fs::read_bounded(path, MAX_FILE).map_err(|error| error.to_string())?;
        Database::new(bytes).map_err(|error| error.to_string())
    }

    fn new(bytes: Vec<u8>) -> Result<Database, Damaged> {
        let tail = bytes.len().saturating_sub(METADATA);
        let marker = memchr::memmem::rfind(&bytes[tail..], MARKER).ok_or(Damaged("this is no MaxMind database"))?;
        let start = tail + marker + MARKER.len();
        let metadata = Decoder { bytes: &bytes, base: start, left: MAX_VALUES }.value(start, 0)?.0;
        let number = |name: &str| match metadata.field(name) {
            Some(Json::Number(number)) if (0.0..=f64::from(u32::MAX)).contains(number) => Ok(*number as usize),
            _ => Err(Damaged("the database does not describe itself")),
        };
        let (nodes, record_bits, version) = (number("node_count")?, number("record_size")?, number("ip_version")?);
        if !matches!(record_bits, 24 | 28 | 32) || !matches!(version, 4 | 6) {
            return Err(Damaged("the database is of a kind that is not known here"));
        }
        let tree = nodes.checked_mul(record_bits / 4).filter(|tree| tree + GAP <= bytes.len()).ok_or(TORN)?;
        let is_v6 = version == 6;
        let mut database = Database { nodes, record_bits, is_v6, v4_root: 0, data: tree + GAP, bytes };
        if is_v6 {
            for _ in 0..96 {
                if database.v4_root < nodes {
                    database.v4_root = database.child(database.v4_root, false)?;
                }
            }
        }
        Ok(database)
    }

    /// The record of an address; None: there is none.
    pub fn find(&self, address: IpAddr) -> Result<Option<Json<'_>>, Damaged> {
        let (mut node, bits, length) = match address.to_canonical() {
            IpAddr::V4(address) => (self.v4_root, u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) if self.is_v6 => (0, address.to_bits(), 128),
            IpAddr::V6(_) => return Err(Damaged("the database knows IPv4 addresses only")),
        };
        for bit in 0..length {
            if node >= self.nodes {
                break;
            }
            node = self.child(node, bits << bit >> 127 == 1)?;
        }
        if node <= self.nodes {
            return Ok(None);
        }
        let at = self.data.checked_add(node - self.nodes).and_then(|at| at.checked_sub(GAP)).ok_or(TORN)?;
        let mut decoder = Decoder { bytes: &self.bytes, base: self.data, left: MAX_VALUES };
        decoder.value(at, 0).map(|(record, _)| Some(record))
    }

    fn child(&self, node: usize, right: bool) -> Result<usize, Damaged> {
        let size = self.record_bits / 4;
        let node = self.bytes.get(node * size..(node + 1) * size).ok_or(TORN)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        Ok(match (self.record_bits, right) {
            (28, false) => usize::from(node[3] >> 4) << 24 | number(&node[..3]),
            (28, true) => usize::from(node[3] & 0xf) << 24 | number(&node[4..]),
            (_, false) => number(&node[..size / 2]),
            (_, true) => number(&node[size / 2..]),
        })
    }
}

// === decoding ===

struct Decoder<'a> {
    bytes: &'a [u8],
    /// Where pointers count from.
    base: usize,
    left: usize,
}

impl<'a> Decoder<'a> {
    /// The value at a place, and where the next one is.
    fn value(&mut self, at: usize, depth: usize) -> Result<(Json<'a>, usize), Damaged> {
        self.left = self.left.checked_sub(1).ok_or(Damaged("a record of the database is too large"))?;
        if depth > MAX_DEPTH {
            return Err(Damaged("a record of the database is too deep"));
        }
        let control = *self.bytes.get(at).ok_or(TORN)?;
        if control >> 5 == 1 {
            let length = usize::from(control >> 3 & 3) + 1;
            let high = if length == 4 { 0 } else { usize::from(control & 7) << (8 * length) };
            let offset = high + self.number(at + 1, length)? as usize + [0, 2048, 526_336, 0][length - 1];
            let target = self.base.checked_add(offset).ok_or(TORN)?;
            // A pointer never points at a pointer.
            if self.bytes.get(target).is_some_and(|control| control >> 5 == 1) {
                return Err(Damaged("a pointer of the database points at a pointer"));
            }
            return Ok((self.value(target, depth + 1)?.0, at + 1 + length));
        }
        let (kind, at) = match control >> 5 {
            0 => (7 + u32::from(*self.bytes.get(at + 1).ok_or(TORN)?), at + 2),
            kind => (u32::from(kind), at + 1),
        };
        let (size, at) = match control & 0x1f {
            29 => (29 + self.number(at, 1)? as usize, at + 1),
            30 => (285 + self.number(at, 2)? as usize, at + 2),
            31 => (65_821 + self.number(at, 3)? as usize, at + 3),
            size => (usize::from(size), at),
        };
        match kind {
            7 => self.object(at, size, depth),
            11 => self.array(at, size, depth),
            14 => Ok((Json::Bool(size != 0), at)),
            2 => Ok((Json::String(String::from_utf8_lossy(self.slice(at, size)?)), at + size)),
            3 if size == 8 => Ok((Json::Number(f64::from_bits(self.number(at, 8)? as u64)), at + 8)),
            15 if size == 4 => Ok((Json::Number(f64::from(f32::from_bits(self.number(at, 4)? as u32))), at + 4)),
            5 | 6 | 9 | 10 if size <= 16 => Ok((Json::Number(self.number(at, size)? as f64), at + size)),
            8 if size <= 4 => Ok((Json::Number(f64::from(self.number(at, size)? as u32 as i32)), at + size)),
            // Bytes are nothing that a label or an expression could take.
            4 => self.slice(at, size).map(|_| (Json::Null, at + size)),
            _ => Err(Damaged("a record of the database has a value of an unknown kind")),
        }
    }

    fn object(&mut self, mut at: usize, size: usize, depth: usize) -> Result<(Json<'a>, usize), Damaged> {
        let mut fields: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        for _ in 0..size {
            let (key, behind) = self.value(at, depth + 1)?;
            let Json::String(key) = key else { return Err(Damaged("a key of the database is no text")) };
            let (value, behind) = self.value(behind, depth + 1)?;
            fields.push((key, value));
            at = behind;
        }
        Ok((Json::Object(fields), at))
    }

    fn array(&mut self, mut at: usize, size: usize, depth: usize) -> Result<(Json<'a>, usize), Damaged> {
        let mut elements = Vec::new();
        for _ in 0..size {
            let (element, behind) = self.value(at, depth + 1)?;
            elements.push(element);
            at = behind;
        }
        Ok((Json::Array(elements), at))
    }

    fn number(&self, at: usize, size: usize) -> Result<u128, Damaged> {
        Ok(self.slice(at, size)?.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    fn slice(&self, at: usize, size: usize) -> Result<&'a [u8], Damaged> {
        at.checked_add(size).and_then(|end| self.bytes.get(at..end)).ok_or(TORN)
    }
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        assert!(text.len() < 285);
        match text.len() {
            short @ ..29 => [vec![2 << 5 | short as u8], text.as_bytes().to_vec()].concat(),
            long => [vec![2 << 5 | 29, (long - 29) as u8], text.as_bytes().to_vec()].concat(),
        }
    }

    fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let fields_ = fields.iter().flat_map(|(name, value)| [text(name), value.clone()].concat());
        std::iter::once(7 << 5 | fields.len() as u8).chain(fields_).collect()
    }

    fn number(number: u32) -> Vec<u8> {
        [vec![6 << 5 | 4], number.to_be_bytes().to_vec()].concat()
    }

    fn double(number: f64) -> Vec<u8> {
        [vec![3 << 5 | 8], number.to_bits().to_be_bytes().to_vec()].concat()
    }

    /// A database of one node: addresses below 128.0.0.0 have the record, the others none.
    pub fn database(record_bits: u32) -> Vec<u8> {
        let named = |name: &str| map(&[("names", map(&[("en", text(name)), ("de", text("anders"))]))]);
        let coded =
            |key: &str, code: &str, name: &str| map(&[(key, text(code)), ("names", map(&[("en", text(name))]))]);
        let record = map(&[
            ("city", named("Linköping")),
            ("continent", coded("code", "EU", "Europe")),
            ("country", coded("iso_code", "SE", "Sweden")),
            (
                "location",
                map(&[
                    ("latitude", double(58.4167)),
                    ("longitude", double(15.6167)),
                    ("time_zone", text("Europe/Stockholm")),
                ]),
            ),
            ("postal", map(&[("code", text("58000"))])),
            (
                "subdivisions",
                [vec![2, 4], coded("iso_code", "E0", "Wide"), coded("iso_code", "E", "Östergötland")].concat(),
            ),
            ("autonomous_system_number", number(1221)),
            ("autonomous_system_organization", text("Telstra Pty Ltd")),
        ]);
        let (found, none) = (1u32 + 16, 1u32);
        let tree = match record_bits {
            24 => [&found.to_be_bytes()[1..], &none.to_be_bytes()[1..]].concat(),
            28 => [&found.to_be_bytes()[1..], &[0], &none.to_be_bytes()[1..]].concat(),
            _ => [found.to_be_bytes(), none.to_be_bytes()].concat(),
        };
        let metadata =
            map(&[("node_count", number(1)), ("record_size", number(record_bits)), ("ip_version", number(4))]);
        [tree, vec![0; 16], record, MARKER.to_vec(), metadata].concat()
    }

    fn find(database: &Database, address: &str) -> Option<String> {
        let record = database.find(address.parse().unwrap()).unwrap()?;
        match record.field("country")?.field("iso_code")? {
            Json::String(code) => Some(code.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_found_in_trees_of_every_width() {
        for bits in [24, 28, 32] {
            let database = Database::new(database(bits)).unwrap();
            assert_eq!(find(&database, "89.160.20.112").as_deref(), Some("SE"), "{bits}");
            assert_eq!(find(&database, "::ffff:1.2.3.4").as_deref(), Some("SE"));
            assert_eq!(find(&database, "200.1.1.1"), None);
            assert!(database.find("2001:db8::1".parse().unwrap()).is_err());
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(Database::new(b"nothing".to_vec()).is_err());
        assert!(Database::new([MARKER, &map(&[("node_count", number(1))])].concat()).is_err());
        // A map that holds itself, by a pointer.
        let looped = [MARKER, &[7 << 5 | 1], &text("a")[..], &[1 << 5, 0]].concat();
        assert!(Database::new(looped).is_err());
    }

    proptest! {
        #[test]
        fn damage_is_no_panic(at in 0..600usize, byte: u8, address: u32) {
            let mut bytes = database(28);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(database) = Database::new(bytes) {
                let _ = database.find(IpAddr::from(address.to_be_bytes()));
            }
        }
    }
}
