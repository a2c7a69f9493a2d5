//! A record, and its form on the disk.
//!
//! ```text
//! magic 4 │ meta length u32 │ body length u32 │ items u32 │ taken at, ms since 1970, i64 │ CRC of meta+body u32 │ CRC of the header u32 │ meta │ body
//! ```
//!
//! Little-endian; CRC-32 as in IEEE 802.3. The header has a checksum of its own, so a flipped bit in a length is noticed
//! before it is believed, and the magic lets a reader find the next record behind damaged bytes. The header's checksum
//! starts from the file's salt: bytes inside a body that look like a record (somebody may well ship a copy of a segment
//! file through us) are not taken for one.

use bytes::Bytes;

use crate::body::Body;

/// An encoded request, opaque to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the exporter needs beside the body to send it: tenant, headers, kind.
    pub meta: Bytes,
    /// The request body, as it goes on the wire.
    pub body: Body,
    /// Lines, samples or spans in it, for counting.
    pub items: u32,
}

/// The largest record that is read back; a longer length is damage, not data.
pub(crate) const MAX_RECORD_BYTES: u64 = 256 << 20;

pub(crate) const HEADER_BYTES: usize = 32;

pub(crate) const MAGIC: [u8; 4] = [0xF5, b'R', b'E', b'C'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub meta_bytes: u32,
    pub body_bytes: u32,
    pub items: u32,
    pub taken_at_ms: i64,
    payload_crc: u32,
}

fn salted(salt: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(bytes);
    crc.finalize()
}

// === impl Record ===

impl Record {
    /// Bytes that count against the queue's bounds.
    pub fn size(&self) -> usize {
        self.meta.len() + self.body.len()
    }

    /// Bytes on the disk.
    pub(crate) fn disk_size(&self) -> u64 {
        (HEADER_BYTES + self.size()) as u64
    }

    pub(crate) fn write_to(&self, salt: u32, taken_at_ms: i64, out: &mut Vec<u8>) {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.meta);
        self.body.pieces().iter().for_each(|piece| crc.update(piece));
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&(self.meta.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.items.to_le_bytes());
        out.extend_from_slice(&taken_at_ms.to_le_bytes());
        out.extend_from_slice(&crc.finalize().to_le_bytes());
        let header_crc = salted(salt, &out[start..]);
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(&self.meta);
        self.body.pieces().iter().for_each(|piece| out.extend_from_slice(piece));
    }
}

// === impl Header ===

impl Header {
    /// The header at the start of `bytes`, if there is an undamaged one.
    pub fn parse(salt: u32, bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC || u32_at(28) != salted(salt, &bytes[..28]) {
            return None;
        }
        let mut taken_at = [0; 8];
        taken_at.copy_from_slice(&bytes[16..24]);
        let header = Header {
            meta_bytes: u32_at(4),
            body_bytes: u32_at(8),
            items: u32_at(12),
            taken_at_ms: i64::from_le_bytes(taken_at),
            payload_crc: u32_at(24),
        };
        (header.payload_bytes() <= MAX_RECORD_BYTES).then_some(header)
    }

    pub fn payload_bytes(&self) -> u64 {
        u64::from(self.meta_bytes) + u64::from(self.body_bytes)
    }

    pub fn disk_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.payload_bytes()
    }

    /// The record, if `payload` (exactly the bytes behind the header) is undamaged.
    pub fn record(&self, payload: Bytes) -> Option<Record> {
        if payload.len() as u64 != self.payload_bytes() || crc32fast::hash(&payload) != self.payload_crc {
            return None;
        }
        let meta = payload.slice(..self.meta_bytes as usize);
        let body = payload.slice(self.meta_bytes as usize..).into();
        Some(Record { meta, body, items: self.items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = Record {
            meta: Bytes::from_static(b"tenant"),
            body: vec![Bytes::from_static(b"bo"), Bytes::from_static(b"dy")].into(),
            items: 3,
        };
        let mut bytes = Vec::new();
        record.write_to(5, 77, &mut bytes);
        let read = |bytes: &[u8]| {
            let header = Header::parse(5, bytes)?;
            header.record(Bytes::copy_from_slice(&bytes[HEADER_BYTES..]))
        };
        assert_eq!(read(&bytes), Some(record.clone()));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged), None, "bit {bit}");
        }
        assert_eq!(Header::parse(6, &bytes), None, "a record of another file is not ours");
    }
}
