//! The protobuf wire format over borrowed bytes: fields as slices, and the few primitives that write it.
//!
//! A [`Fields`] walks one message inside a larger buffer and reports positions in that buffer, so that whoever found a
//! field can also splice it (`edit`) or cut around it (`split`).

use std::ops::Range;

/// Groups (a wire type of protobuf 2) nested deeper than this are refused; OTLP itself has none.
const GROUP_DEPTH: u32 = 16;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length points past the end of its message.
    #[error("unexpected end of the message at byte {0}")]
    Truncated(usize),
    /// A varint of more than ten bytes, or of more than 64 bits.
    #[error("varint too long at byte {0}")]
    Varint(usize),
    /// A wire type that protobuf does not define, or an end without its start.
    #[error("illegal wire type {wire} at byte {at}")]
    WireType {
        /// The three bits found.
        wire: u8,
        /// Where, counted from the start of the payload.
        at: usize,
    },
    /// A field number of zero.
    #[error("illegal field number at byte {0}")]
    Number(usize),
    /// A known field carries another wire type than its definition.
    #[error("wrong wire type {wire} for field {field} of {message}")]
    WrongWireType {
        /// The three bits found.
        wire: u8,
        /// The field's name in the protocol.
        field: &'static str,
        /// The message's name in the protocol.
        message: &'static str,
    },
    /// A trace or span id of a length other than 0 and 16 or 8.
    #[error("invalid length {length} of {field}")]
    IdLength {
        /// Bytes found.
        length: usize,
        /// The field's name in the protocol.
        field: &'static str,
    },
    /// Values nested deeper than [`crate::MAX_DEPTH`].
    #[error("nested more than {} levels deep", crate::MAX_DEPTH)]
    TooDeep,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire types 3 and 4, skipped as a whole.
    Group,
}

impl<'a> Value<'a> {
    /// The slice of a length-delimited field; empty for anything else.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        if let Value::Bytes(bytes) = self { bytes } else { &[] }
    }

    /// The number in any of the numeric wire types, as 64 bits; 0 for anything else.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Value::Varint(n) | Value::Fixed64(n) => n,
            Value::Fixed32(n) => u64::from(n),
            Value::Bytes(_) | Value::Group => 0,
        }
    }

    /// A `double`; 0 for anything but a 64-bit field.
    #[must_use]
    pub fn double(self) -> f64 {
        if let Value::Fixed64(bits) = self { f64::from_bits(bits) } else { 0.0 }
    }

    fn wire(self) -> u8 {
        match self {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Group => 3,
            Value::Fixed32(_) => 5,
        }
    }
}

/// One field of a message, with its place in the whole buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
    /// Where its tag starts.
    pub start: usize,
    /// Where its length starts (for [`Value::Bytes`]), or its value.
    pub after_tag: usize,
    /// Just past its last byte.
    pub end: usize,
}

impl Field<'_> {
    /// The place of the content of a length-delimited field; empty at the end for anything else.
    #[must_use]
    pub fn body(&self) -> Range<usize> {
        self.end - self.value.bytes().len()..self.end
    }

    /// The wire type as protobuf numbers it.
    #[must_use]
    pub fn wire(&self) -> u8 {
        self.value.wire()
    }
}

/// Walks the fields of one message.
///
/// As an iterator it ends at the first malformed byte, which is what code behind [`crate::check`] wants; `try_next`
/// tells what is wrong.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    #[must_use]
    pub fn of(message: &'a [u8]) -> Self {
        Fields { buf: message, at: 0 }
    }

    /// The fields of the message at `place` in `buf`; positions are those of `buf`. A place outside is an empty message.
    #[must_use]
    pub fn inside(buf: &'a [u8], place: Range<usize>) -> Self {
        Fields { buf: buf.get(..place.end).unwrap_or(&[]), at: place.start }
    }

    /// The next field, `None` at the end of the message.
    ///
    /// # Errors
    /// The first thing that is not a field; the walk cannot go on after it.
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        // Nearly all fields have a tag of one byte, and a length of one or two or a value of one or eight.
        if let Some(&[tag, next]) = self.buf.get(self.at..).and_then(<[u8]>::first_chunk)
            && (8..0x80).contains(&tag)
        {
            let (start, after_tag, number) = (self.at, self.at + 1, u32::from(tag >> 3));
            let mut bytes = |begin: usize, length: usize| {
                let end = begin + length;
                let value = Value::Bytes(self.buf.get(begin..end)?);
                self.at = end;
                Some(Field { number, value, start, after_tag, end })
            };
            let field = match tag & 7 {
                2 if next < 0x80 => bytes(after_tag + 1, usize::from(next)),
                2 => match self.buf.get(after_tag + 1) {
                    Some(&high @ 0..0x80) => bytes(after_tag + 2, usize::from(next & 0x7f) | usize::from(high) << 7),
                    _ => None,
                },
                0 if next < 0x80 => {
                    self.at = after_tag + 1;
                    Some(Field { number, value: Value::Varint(u64::from(next)), start, after_tag, end: self.at })
                }
                1 => self.buf.get(after_tag..).and_then(<[u8]>::first_chunk).map(|bytes| {
                    self.at = after_tag + 8;
                    let value = Value::Fixed64(u64::from_le_bytes(*bytes));
                    Field { number, value, start, after_tag, end: self.at }
                }),
                _ => None,
            };
            if field.is_some() {
                return Ok(field);
            }
        }
        self.try_next_slowly()
    }

    fn try_next_slowly(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.at >= self.buf.len() {
            return Ok(None);
        }
        let start = self.at;
        let (number, wire) = self.tag()?;
        let after_tag = self.at;
        let value = self.value(number, wire, start, 0)?;
        Ok(Some(Field { number, value, start, after_tag, end: self.at }))
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let start = self.at;
        let tag = self.varint()?;
        let number =
            u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(Malformed::Number(start))?;
        Ok((number, (tag & 7) as u8))
    }

    #[inline]
    fn value(&mut self, number: u32, wire: u8, start: usize, depth: u32) -> Result<Value<'a>, Malformed> {
        Ok(match wire {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let rest = &self.buf[self.at..];
                let length =
                    usize::try_from(length).ok().filter(|n| *n <= rest.len()).ok_or(Malformed::Truncated(start))?;
                self.at += length;
                Value::Bytes(&rest[..length])
            }
            3 if depth < GROUP_DEPTH => {
                self.group(number, depth)?;
                Value::Group
            }
            3 => return Err(Malformed::TooDeep),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed::WireType { wire, at: start }),
        })
    }

    #[cold]
    fn group(&mut self, number: u32, depth: u32) -> Result<(), Malformed> {
        loop {
            let start = self.at;
            let (inner, wire) = self.tag()?;
            if wire == 4 {
                return if inner == number { Ok(()) } else { Err(Malformed::WireType { wire, at: start }) };
            }
            self.value(inner, wire, start, depth + 1)?;
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.buf.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0u64;
        for (i, &byte) in self.buf[start..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(Malformed::Varint(start));
                }
                self.at = start + i + 1;
                return Ok(value);
            }
        }
        Err(if self.buf.len() - start < 10 { Malformed::Truncated(start) } else { Malformed::Varint(start) })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.buf[self.at..].first_chunk::<N>().ok_or(Malformed::Truncated(self.at))?;
        self.at += N;
        Ok(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        self.try_next().ok().flatten()
    }
}

/// Reads the varints of a packed field; ends after the first malformed one, which is `None`.
pub fn packed_varints(bytes: &[u8]) -> impl Iterator<Item = Option<u64>> {
    let mut walk = Fields::of(bytes);
    std::iter::from_fn(move || {
        (walk.at < walk.buf.len()).then(|| {
            let value = walk.varint().ok();
            if value.is_none() {
                walk.at = walk.buf.len();
            }
            value
        })
    })
}

// === writing ===

/// Bytes that `value` takes as a varint.
#[must_use]
pub fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field's tag.
#[inline]
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Appends a length-delimited field: text, bytes or a whole message.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Appends a message whose body `write` appends: the length is put in front of it afterwards.
pub fn put_message<T>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    put_tag(out, number, 2);
    out.push(0);
    let start = out.len();
    let answer = write(out);
    let length = out.len() - start;
    if let Ok(small @ 0..0x80) = u8::try_from(length) {
        out[start - 1] = small;
    } else {
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, length as u64);
        out.splice(start - 1..start, prefix);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_a_round_trip_and_their_length_is_foreseen() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(Fields::of(&out).varint(), Ok(value));
        }
    }

    #[test]
    fn what_is_not_a_message_is_named() {
        let check = |bytes: &[u8]| Fields::of(bytes).try_next().unwrap_err();
        assert_eq!(check(b"garbage\xff"), Malformed::WireType { wire: 7, at: 0 });
        assert_eq!(check(&[0x0a, 5, 1]), Malformed::Truncated(0));
        assert_eq!(check(&[0x00]), Malformed::Number(0));
        assert_eq!(check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Malformed::Varint(1));
        assert_eq!(check(&[0x09, 1, 2]), Malformed::Truncated(1));
        assert_eq!(check(&[0x0c]), Malformed::WireType { wire: 4, at: 0 });
    }

    #[test]
    fn groups_are_skipped_and_their_nesting_is_bounded() {
        let fields: Vec<_> = Fields::of(&[0x0b, 0x10, 1, 0x0c, 0x18, 7]).map(|f| (f.number, f.value)).collect();
        assert_eq!(fields, [(1, Value::Group), (3, Value::Varint(7))]);
        assert_eq!(Fields::of(&[0x0b; 64]).try_next(), Err(Malformed::TooDeep));
    }

    #[test]
    fn a_message_of_any_length_gets_its_length_in_front() {
        for length in [0, 1, 127, 128, 20_000] {
            let mut out = vec![];
            put_message(&mut out, 3, |out| out.resize(out.len() + length, b'x'));
            let field = Fields::of(&out).try_next().unwrap().unwrap();
            assert_eq!((field.number, field.value.bytes().len(), field.end), (3, length, out.len()));
        }
    }
}
