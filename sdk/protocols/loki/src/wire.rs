//! The few pieces of protobuf that the protocol needs.

use base_stdx::protobuf::{push_varint, varint_len};

/// Bytes of a field of bytes with a one-byte tag.
pub fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// A field of bytes; field numbers up to 15.
pub fn put_bytes_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_header(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Tag and length of a field of bytes that follow.
pub fn put_header(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | 2);
    push_varint(out, length as u64);
}

/// A field of a message: its number and what it holds.
pub enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The next field and what is behind it; `None` when the bytes are not a message.
pub fn next_field(bytes: &[u8]) -> Option<(u64, Field<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    match tag & 7 {
        0 => varint(rest).map(|(value, rest)| (tag >> 3, Field::Varint(value), rest)),
        1 => rest.get(8..).map(|rest| (tag >> 3, Field::Other, rest)),
        2 => {
            let (length, rest) = varint(rest)?;
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((tag >> 3, Field::Bytes(value), rest))
        }
        5 => rest.get(4..).map(|rest| (tag >> 3, Field::Other, rest)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
