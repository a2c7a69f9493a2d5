//! What must hold for any bytes at all; for fuzzing. It panics if it does not hold.

use crate::{Encoding, Reader, Type};

/// Any bytes are skipped or refused, as a message and as each type, and what is read of a list is in the bytes.
pub fn bytes(bytes: &[u8]) {
    for encoding in [Encoding::Binary, Encoding::Compact] {
        let mut reader = Reader::new(encoding, bytes);
        if let Ok(message) = reader.message() {
            assert!(message.name.len() < bytes.len());
            let _ = reader.skip(Type::Struct);
        }
        for kind in [Type::Struct, Type::Map, Type::List, Type::Set] {
            let _ = Reader::new(encoding, bytes).skip(kind);
        }
        for element in [Type::Struct, Type::Bytes, Type::I64] {
            if let Ok(count) = Reader::new(encoding, bytes).list(element, 1) {
                assert!(count < bytes.len(), "{count} elements in {} bytes", bytes.len());
            }
        }
    }
}
