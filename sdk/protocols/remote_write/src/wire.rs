//! The little of protobuf that is needed.

pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED64: u64 = 1;
pub(crate) const BYTES: u64 = 2;
pub(crate) const FIXED32: u64 = 5;

pub(crate) fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
pub(crate) fn push_varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// A field's number and kind, when both fit in a byte.
#[inline]
pub(crate) fn push_tag(to: &mut Vec<u8>, tag: u8) {
    debug_assert!(tag < 0x80, "larger ones take two bytes");
    to.push(tag);
}

/// In proto3 a zero is not written, and -0 is taken for one.
pub(crate) fn push_double(to: &mut Vec<u8>, tag: u8, number: f64) {
    if number != 0.0 {
        to.push(tag);
        to.extend_from_slice(&number.to_le_bytes());
    }
}

/// Takes a varint from the front.
pub(crate) fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

/// The value of a field.
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Takes a field's number and value from the front.
pub(crate) fn take_field<'a>(from: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = take_varint(from)?;
    let value = match key & 7 {
        VARINT => Value::Varint(take_varint(from)?),
        FIXED64 => Value::Fixed64(u64::from_le_bytes(take(from, 8)?.try_into().ok()?)),
        BYTES => {
            let length = usize::try_from(take_varint(from)?).ok()?;
            Value::Bytes(take(from, length)?)
        }
        FIXED32 => {
            take(from, 4)?;
            Value::Fixed32
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}
