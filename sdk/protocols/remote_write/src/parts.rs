//! A request from its parts.

use base_stdx::protobuf::{Value, take_field};
use sdk_protocols_compression::Snappy;

use crate::builder::Part;
use crate::decode::decompress;

/// What the fields of a request are numbered that hold symbols, in version 2; version 1 has no such field.
const SYMBOLS: u64 = 4;

/// The request that was shown in `parts`, as a snappy block; symbols first, as receivers expect them. None if they are no
/// parts of a request, or more than `bound` bytes when decompressed.
pub fn join<'a>(parts: impl Iterator<Item = Part<'a>>, bound: usize) -> Option<Box<[u8]>> {
    let (mut symbols, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        let plain;
        let bytes = match part.compressed_from {
            None => part.bytes,
            Some(length) => {
                let block = Snappy::block_of(part.bytes, length)?;
                plain = decompress(&block, bound).ok()?;
                &plain
            }
        };
        let mut left = bytes;
        while !left.is_empty() {
            let before = left;
            let (number, Value::Bytes(_)) = take_field(&mut left)? else { return None };
            let field = &before[..before.len() - left.len()];
            if number == SYMBOLS { &mut symbols } else { &mut rest }.extend_from_slice(field);
        }
        if symbols.len() + rest.len() > bound {
            return None;
        }
    }
    symbols.append(&mut rest);
    Snappy::new().compress(&symbols).map(Vec::into_boxed_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SymbolBuilder, Version, decode_version};

    fn owned(part: Option<Part<'_>>) -> (Vec<u8>, Option<usize>) {
        part.map(|part| (part.bytes.to_vec(), part.compressed_from)).expect("there is something new")
    }

    #[test]
    fn what_was_shown_in_parts_is_joined_again() {
        let mut builder = SymbolBuilder::new();
        let mut parts = Vec::new();
        for i in 0..7 {
            let text = i.to_string();
            let labels = [("__name__", "m"), ("i", text.as_str())];
            builder.push_sample(&mut labels.into_iter(), None, f64::from(i), 5 + i64::from(i), 0);
            if i % 2 == 0 {
                parts.push(owned(builder.part()));
                assert_eq!(builder.part(), None);
            }
        }
        let parts = parts.iter().map(|(bytes, from)| Part { bytes, compressed_from: *from });
        let joined = join(parts.clone(), 1 << 20).unwrap();
        assert_eq!(joined, builder.finish().unwrap());
        let series = decode_version(Version::V2, &decompress(&joined, 1 << 20).unwrap()).unwrap();
        assert_eq!(series.len(), 7);
        assert_eq!(join(parts.clone(), 10), None, "the bound holds");
        assert_eq!(join([Part { bytes: b"\x0a\x7f", compressed_from: None }].into_iter(), 100), None);
        assert_eq!(join([Part { bytes: b"\xff\xff", compressed_from: Some(9) }].into_iter(), 100), None);
    }
}
