//! The reader.

use crate::{Encoding, MAX_DEPTH, Malformed, Type};

/// Reads values one after the other.
///
/// After an error the rest means nothing.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// The number of the last field of this structure: compact fields tell their distance from it.
    last_field: i16,
    /// The value of a compact field that is a truth value stands in its type.
    bool_in_type: Option<bool>,
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The method.
    pub name: &'a [u8],
    /// Call, reply, exception or one-way call: 1 to 4.
    pub kind: u8,
    /// What tells replies apart.
    pub sequence: i32,
}

/// The head of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub id: i16,
    /// What it holds.
    pub kind: Type,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub fn new(encoding: Encoding, bytes: &'a [u8]) -> Reader<'a> {
        Reader { encoding, bytes, at: 0, depth: 0, last_field: 0, bool_in_type: None }
    }

    /// The head of a message; its arguments are the structure that follows.
    ///
    /// # Errors
    /// What is no head of this encoding.
    pub fn message(&mut self) -> Result<Message<'a>, Malformed> {
        match self.encoding {
            Encoding::Binary => {
                let [a, b, c, d] = self.array()?;
                match (a, b) {
                    (0x80, 0x01) => {
                        let name = self.bytes()?;
                        Ok(Message { name, kind: d, sequence: self.i32()? })
                    }
                    (0x80.., _) => Err(Malformed::Version),
                    // Without a version the name comes first, and then the kind.
                    _ => {
                        let name = self.slice(i64::from(u32::from_be_bytes([a, b, c, d])))?;
                        let [kind] = self.array()?;
                        Ok(Message { name, kind, sequence: self.i32()? })
                    }
                }
            }
            Encoding::Compact => {
                let [protocol, version_and_kind] = self.array()?;
                if protocol != 0x82 || version_and_kind & 0x1f != 1 {
                    return Err(Malformed::Version);
                }
                let sequence = self.varint()? as i32;
                Ok(Message { name: self.bytes()?, kind: version_and_kind >> 5, sequence })
            }
        }
    }

    /// A structure: `read` gets each field and must read or [skip](Reader::skip) its value.
    ///
    /// # Errors
    /// The first thing that is malformed, or what `read` answers.
    pub fn structure(
        &mut self,
        mut read: impl FnMut(&mut Reader<'a>, Field) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter()?;
        let outer = std::mem::take(&mut self.last_field);
        while let Some(field) = self.field()? {
            read(self, field)?;
        }
        self.last_field = outer;
        self.depth -= 1;
        Ok(())
    }

    /// The number of elements of a list or set of this type; so many values follow. Every element takes at least `least`
    /// bytes, if the caller knows more of it than its type.
    ///
    /// # Errors
    /// More elements than the bytes left can hold, or elements of another type.
    pub fn list(&mut self, expected: Type, least: usize) -> Result<usize, Malformed> {
        let at = self.at;
        let (found, count) = self.list_head()?;
        if count > 0 && found != Some(expected) {
            return Err(found.map_or(Malformed::Type { kind: 0, at }, |found| Malformed::Elements {
                found,
                expected,
                at,
            }));
        }
        self.fits(count, least.max(expected.least(self.encoding)))?;
        Ok(count)
    }

    /// Leaves a value out.
    ///
    /// # Errors
    /// Values that are malformed, or nested too deep.
    pub fn skip(&mut self, kind: Type) -> Result<(), Malformed> {
        match kind {
            Type::Bool => self.bool().map(drop),
            Type::I8 => self.slice(1).map(drop),
            Type::I16 | Type::I32 | Type::I64 => self.integer(kind.least(Encoding::Binary)).map(drop),
            Type::Double => self.slice(8).map(drop),
            Type::Uuid => self.slice(16).map(drop),
            Type::Bytes => self.bytes().map(drop),
            Type::Struct => self.structure(|reader, field| reader.skip(field.kind)),
            Type::List | Type::Set => {
                let at = self.at;
                let (kind, count) = self.list_head()?;
                if count == 0 {
                    return Ok(());
                }
                let kind = kind.ok_or(Malformed::Type { kind: 0, at })?;
                self.skip_all(&[kind], count)
            }
            Type::Map => {
                let Some((key, value, count)) = self.map_head()? else { return Ok(()) };
                self.skip_all(&[key, value], count)
            }
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// The end of the bytes.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        if let Some(value) = self.bool_in_type.take() {
            return Ok(value);
        }
        let [byte] = self.array()?;
        Ok(byte == 1)
    }

    /// A number of 16 bits.
    ///
    /// # Errors
    /// The end of the bytes.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.integer(2).map(|value| value as i16)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// The end of the bytes.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.integer(4).map(|value| value as i32)
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    /// The end of the bytes.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.integer(8)
    }

    /// A number in IEEE 754.
    ///
    /// # Errors
    /// The end of the bytes.
    pub fn double(&mut self) -> Result<f64, Malformed> {
        let bytes = self.array()?;
        Ok(match self.encoding {
            Encoding::Binary => f64::from_be_bytes(bytes),
            Encoding::Compact => f64::from_le_bytes(bytes),
        })
    }

    /// Text or bytes; nobody checked that it is UTF-8.
    ///
    /// # Errors
    /// A length that is negative, or beyond the end of the bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.slice(length)
    }
}

// === what values are made of ===

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<Option<Field>, Malformed> {
        let at = self.at;
        let [head] = self.array()?;
        let number = match self.encoding {
            Encoding::Binary => head,
            Encoding::Compact => head & 0x0f,
        };
        if number == 0 {
            return Ok(None);
        }
        let id = match (self.encoding, head >> 4) {
            (Encoding::Binary, _) | (Encoding::Compact, 0) => self.i16()?,
            (Encoding::Compact, distance) => self.last_field.wrapping_add(i16::from(distance)),
        };
        let kind = Type::of(self.encoding, number).ok_or(Malformed::Type { kind: number, at })?;
        if self.encoding == Encoding::Compact && kind == Type::Bool {
            self.bool_in_type = Some(number == 1);
        }
        self.last_field = id;
        Ok(Some(Field { id, kind }))
    }

    /// The type is none where the bytes name none that exists.
    fn list_head(&mut self) -> Result<(Option<Type>, usize), Malformed> {
        let [head] = self.array()?;
        let (kind, count) = match (self.encoding, head >> 4) {
            (Encoding::Binary, _) => (head, self.size()?),
            (Encoding::Compact, 15) => (head & 0x0f, self.size()?),
            (Encoding::Compact, count) => (head & 0x0f, i64::from(count)),
        };
        Ok((Type::of(self.encoding, kind), self.count(count)?))
    }

    /// The types of keys and values, and the number of pairs, if there are any.
    fn map_head(&mut self) -> Result<Option<(Type, Type, usize)>, Malformed> {
        let at = self.at;
        let (key, value, count) = match self.encoding {
            Encoding::Binary => {
                let [key, value] = self.array()?;
                (key, value, self.size()?)
            }
            Encoding::Compact => match self.size()? {
                0 => (0, 0, 0),
                count => {
                    let [kinds] = self.array()?;
                    (kinds >> 4, kinds & 0x0f, count)
                }
            },
        };
        let count = self.count(count)?;
        if count == 0 {
            return Ok(None);
        }
        let kind = |number| Type::of(self.encoding, number).ok_or(Malformed::Type { kind: number, at });
        Ok(Some((kind(key)?, kind(value)?, count)))
    }

    fn skip_all(&mut self, kinds: &[Type], count: usize) -> Result<(), Malformed> {
        self.fits(count, kinds.iter().map(|kind| kind.least(self.encoding)).sum())?;
        self.enter()?;
        for _ in 0..count {
            kinds.iter().try_for_each(|kind| self.skip(*kind))?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Malformed::TooDeep) } else { Ok(()) }
    }

    /// A whole number that takes this many bytes in the binary encoding.
    fn integer(&mut self, width: usize) -> Result<i64, Malformed> {
        if self.encoding == Encoding::Compact {
            let raw = self.varint()?;
            // Narrow numbers are cut first and then unfolded, as the library in Go does it.
            let raw = if width == 8 { raw } else { u64::from(raw as u32) };
            return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
        let bytes = self.slice(width as i64)?;
        let unsigned = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let unused = 64 - 8 * width as u32;
        Ok((unsigned << unused) as i64 >> unused)
    }

    /// A size as it is written, perhaps negative.
    fn size(&mut self) -> Result<i64, Malformed> {
        match self.encoding {
            Encoding::Binary => self.integer(4),
            Encoding::Compact => Ok(i64::from(self.varint()? as i32)),
        }
    }

    fn count(&self, size: i64) -> Result<usize, Malformed> {
        usize::try_from(size).map_err(|_| Malformed::NegativeSize(self.at))
    }

    fn fits(&self, count: usize, least: usize) -> Result<(), Malformed> {
        let left = self.bytes.len() - self.at;
        if count > left / least { Err(Malformed::Truncated(self.at)) } else { Ok(()) }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            // Of the tenth byte one bit counts, and it is not looked at whether there are more.
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint(start))
    }

    fn slice(&mut self, length: i64) -> Result<&'a [u8], Malformed> {
        let length = self.count(length)?;
        let rest = &self.bytes[self.at..];
        let slice = rest.get(..length).ok_or(Malformed::Truncated(self.at))?;
        self.at += length;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let array = self.bytes[self.at..].first_chunk().ok_or(Malformed::Truncated(self.at))?;
        self.at += N;
        Ok(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Binary, Encoding::Compact];

    /// One structure in both encodings: a text, two truth values, numbers, a list of numbers.
    fn samples() -> [(Encoding, Vec<u8>); 2] {
        let binary = [
            &[11, 0, 1, 0, 0, 0, 2, b'h', b'i'][..],
            &[2, 0, 2, 1],
            &[2, 0, 3, 0],
            &[6, 0, 4, 255, 254],
            &[8, 0, 20, 0, 0, 1, 0],
            &[10, 0, 21, 128, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 22, 63, 248, 0, 0, 0, 0, 0, 0],
            &[15, 0, 23, 8, 0, 0, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255],
            &[0],
        ];
        let compact = [
            &[0x18, 2, b'h', b'i'][..],
            &[0x11],
            &[0x12],
            &[0x14, 3],
            &[0x05, 40, 128, 4],
            &[0x16, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x17, 0, 0, 0, 0, 0, 0, 248, 63],
            &[0x19, 0x25, 2, 1],
            &[0],
        ];
        [(Encoding::Binary, binary.concat()), (Encoding::Compact, compact.concat())]
    }

    #[test]
    fn both_encodings_say_the_same() {
        for (encoding, bytes) in samples() {
            let mut seen = Vec::new();
            let mut reader = Reader::new(encoding, &bytes);
            reader
                .structure(|reader, field| {
                    let value = match field.kind {
                        Type::Bytes => format!("{:?}", reader.bytes()?),
                        Type::Bool => reader.bool()?.to_string(),
                        Type::I16 => reader.i16()?.to_string(),
                        Type::I32 => reader.i32()?.to_string(),
                        Type::I64 => reader.i64()?.to_string(),
                        Type::Double => reader.double()?.to_string(),
                        Type::List => {
                            assert_eq!(reader.list(Type::I32, 1)?, 2);
                            format!("{} {}", reader.i32()?, reader.i32()?)
                        }
                        other => panic!("{other:?}"),
                    };
                    seen.push(format!("{}={value}", field.id));
                    Ok(())
                })
                .unwrap();
            assert_eq!(
                seen,
                ["1=[104, 105]", "2=true", "3=false", "4=-2", "20=256", "21=-9223372036854775808", "22=1.5", "23=1 -1"],
                "{encoding:?}"
            );
            assert_eq!(reader.at, bytes.len());
            let mut reader = Reader::new(encoding, &bytes);
            reader.skip(Type::Struct).unwrap();
            assert_eq!(reader.at, bytes.len());
        }
    }

    #[test]
    fn every_cut_is_seen() {
        for (encoding, bytes) in samples() {
            for end in 0..bytes.len() {
                let cut = Reader::new(encoding, &bytes[..end]).skip(Type::Struct);
                assert!(matches!(cut, Err(Malformed::Truncated(_))), "{encoding:?} {end}: {cut:?}");
            }
        }
    }

    #[test]
    fn sizes_are_checked_before_anything_else() {
        for bytes in [&[15, 0, 1, 10, 0x7f, 255, 255, 255, 0][..], &[0x19, 0xf6, 255, 255, 255, 255, 7, 0]] {
            let encoding = BOTH[usize::from(bytes[0] != 15)];
            let read = Reader::new(encoding, bytes).structure(|reader, _| reader.list(Type::I64, 1).map(drop));
            assert!(matches!(read, Err(Malformed::Truncated(_))), "{read:?}");
            assert!(matches!(Reader::new(encoding, bytes).skip(Type::Struct), Err(Malformed::Truncated(_))));
        }
        let negative = [11, 0, 1, 255, 255, 255, 255];
        assert!(matches!(Reader::new(Encoding::Binary, &negative).skip(Type::Struct), Err(Malformed::NegativeSize(_))));
        // 100 elements of at least 23 bytes do not fit into 100.
        let spans = [&[12, 0, 0, 0, 100][..], &[0; 100]].concat();
        let mut reader = Reader::new(Encoding::Binary, &spans);
        assert!(matches!(reader.clone().list(Type::Struct, 23), Err(Malformed::Truncated(_))));
        assert_eq!(reader.list(Type::Struct, 1), Ok(100));
    }

    #[test]
    fn depth_is_bounded() {
        for (encoding, opening) in [(Encoding::Binary, &[12, 0, 1][..]), (Encoding::Compact, &[0x1c])] {
            let bytes = opening.repeat(100_000);
            assert_eq!(Reader::new(encoding, &bytes).skip(Type::Struct), Err(Malformed::TooDeep));
        }
        let lists = [15, 0, 0, 0, 1].repeat(100_000);
        assert_eq!(Reader::new(Encoding::Binary, &lists).skip(Type::List), Err(Malformed::TooDeep));
    }

    #[test]
    fn messages_have_a_head_in_three_forms() {
        let strict = [&[0x80, 1, 0, 4, 0, 0, 0, 2][..], b"do", &[0, 0, 0, 5]].concat();
        let plain = [&[0, 0, 0, 2][..], b"do", &[4, 0, 0, 0, 5]].concat();
        let compact = [&[0x82, 0x81, 5, 2][..], b"do"].concat();
        let expected = Message { name: b"do", kind: 4, sequence: 5 };
        assert_eq!(Reader::new(Encoding::Binary, &strict).message(), Ok(expected));
        assert_eq!(Reader::new(Encoding::Binary, &plain).message(), Ok(expected));
        assert_eq!(Reader::new(Encoding::Compact, &compact).message(), Ok(expected));
        assert_eq!(Reader::new(Encoding::Binary, &compact).message(), Err(Malformed::Version));
        assert_eq!(Reader::new(Encoding::Compact, &strict).message(), Err(Malformed::Version));
    }

    #[test]
    fn an_element_of_another_type_is_named() {
        let list = [11, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(
            Reader::new(Encoding::Binary, &list).list(Type::Struct, 1),
            Err(Malformed::Elements { found: Type::Bytes, expected: Type::Struct, at: 0 })
        );
        assert_eq!(Reader::new(Encoding::Compact, &[0x00]).list(Type::Struct, 1), Ok(0), "an empty list has any type");
    }
}
