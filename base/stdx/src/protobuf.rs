//! The little of protobuf's wire format that our own messages need: fields as slices of a message, and what writes them.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Bytes of a varint.
#[inline]
pub fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Seven bits a byte, the lowest first.
#[inline]
pub fn push_varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// Writes a varint at a place; where it ends. There must be room.
#[inline]
pub fn write_varint(to: &mut [u8], mut at: usize, mut n: u64) -> usize {
    while n >= 0x80 {
        to[at] = n as u8 | 0x80;
        n >>= 7;
        at += 1;
    }
    to[at] = n as u8;
    at + 1
}

/// A field's number and kind, when both fit in a byte.
#[inline]
pub fn push_tag(to: &mut Vec<u8>, tag: u8) {
    debug_assert!(tag < 0x80, "larger ones take two bytes");
    to.push(tag);
}

/// In proto3 a zero is not written, and -0 is taken for one.
pub fn push_double(to: &mut Vec<u8>, tag: u8, number: f64) {
    if number != 0.0 {
        to.push(tag);
        to.extend_from_slice(&number.to_le_bytes());
    }
}

/// Takes a varint from the front.
pub fn take_varint(from: &mut &[u8]) -> Option<u64> {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number of whatever kind.
    Varint(u64),
    /// The bits of a double, or eight bytes of another kind.
    Fixed64(u64),
    /// A text, a message, or numbers one behind the other.
    Bytes(&'a [u8]),
    /// Four bytes; no message of ours has them.
    Fixed32,
}

/// Takes a field's number and value from the front.
pub fn take_field<'a>(from: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
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

/// Takes so many bytes from the front.
pub fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

/// A signed number as protobuf's `sint` types have it.
pub fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// The value of a repeated field of `uint` numbers, of which it may hold one or many.
pub fn take_varints(value: Value<'_>, mut each: impl FnMut(u64)) -> Option<()> {
    match value {
        Value::Varint(number) => each(number),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                each(take_varint(&mut packed)?);
            }
        }
        _ => return None,
    }
    Some(())
}

/// The value of a repeated field of doubles, of which it may hold one or many.
pub fn take_doubles(value: Value<'_>, to: &mut Vec<f64>) -> Option<()> {
    match value {
        Value::Fixed64(bits) => to.push(f64::from_bits(bits)),
        Value::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return None;
            }
            to.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_in_the_lowest_bit() {
        for (n, zigzagged) in [(0, 0), (-1, 1), (1, 2), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)] {
            assert_eq!((zigzag(n), unzigzag(zigzagged)), (zigzagged, n));
        }
    }

    #[test]
    fn varints_are_written_and_taken_and_as_long_as_foreseen() {
        for shift in 0..64 {
            for n in [1u64 << shift, (1 << shift) - 1] {
                let mut pushed = Vec::new();
                push_varint(&mut pushed, n);
                assert_eq!(pushed.len(), varint_len(n), "{n}");
                let mut written = [0; 11];
                let end = write_varint(&mut written, 1, n);
                assert_eq!(written[1..end], pushed);
                assert_eq!(take_varint(&mut &pushed[..]), Some(n));
            }
        }
    }

    #[test]
    fn fields_are_taken_one_by_one_and_nothing_beyond_the_end() {
        let mut message = &b"\x08\x96\x01\x12\x02ab\x19\0\0\0\0\0\0\xf0\x3f\x22\x09"[..];
        assert_eq!(take_field(&mut message), Some((1, Value::Varint(150))));
        assert_eq!(take_field(&mut message), Some((2, Value::Bytes(b"ab"))));
        assert_eq!(take_field(&mut message), Some((3, Value::Fixed64(1f64.to_bits()))));
        assert_eq!(take_field(&mut message), None, "it ends within the fourth");
        let mut numbers = Vec::new();
        assert_eq!(take_varints(Value::Bytes(b"\x01\x96\x01"), |number| numbers.push(number)), Some(()));
        assert_eq!(numbers, [1, 150]);
        assert_eq!(take_doubles(Value::Bytes(b"\0"), &mut Vec::new()), None);
    }
}
