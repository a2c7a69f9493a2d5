//! Apache Thrift's binary and compact encodings, read from a slice.
//!
//! A [`Reader`] is pulled: the caller knows what it expects and skips the rest. Nothing is allocated here; a size that the
//! bytes left cannot hold is refused when it is read, and so is what nests deeper than [`MAX_DEPTH`].

pub mod fuzz;
mod reader;

pub use reader::{Field, Message, Reader};

/// Structures and containers within each other.
pub const MAX_DEPTH: u32 = 64;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Numbers of fixed width, with or without a version in front of messages.
    Binary,
    /// Numbers as varints, fields by their distance.
    Compact,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A truth value.
    Bool,
    /// 8 bits.
    I8,
    /// A number in IEEE 754.
    Double,
    /// 16 bits.
    I16,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// Text or bytes.
    Bytes,
    /// Fields.
    Struct,
    /// Pairs.
    Map,
    /// Values without an order.
    Set,
    /// Values.
    List,
    /// 16 bytes.
    Uuid,
}

/// Why bytes are not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end within a value, or a size says that they should.
    #[error("unexpected end of the data at byte {0}")]
    Truncated(usize),
    /// A size below zero.
    #[error("negative size at byte {0}")]
    NegativeSize(usize),
    /// A varint of more than ten bytes.
    #[error("variable-length number of more than 10 bytes at byte {0}")]
    Varint(usize),
    /// A type that the encoding does not define.
    #[error("unknown data type {kind} at byte {at}")]
    Type {
        /// The number found.
        kind: u8,
        /// Where.
        at: usize,
    },
    /// Elements of a list that are something else.
    #[error("elements of type {found:?} at byte {at}, where {expected:?} is expected")]
    Elements {
        /// What is there.
        found: Type,
        /// What should be.
        expected: Type,
        /// Where.
        at: usize,
    },
    /// A message of another encoding or version.
    #[error("bad protocol or version in the head of a message")]
    Version,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A structure without a field that it must have.
    #[error("required field {field} of {structure} is not set")]
    Missing {
        /// The field's name.
        field: &'static str,
        /// The name of what it belongs to.
        structure: &'static str,
    },
}

// === impl Type ===

impl Type {
    fn of(encoding: Encoding, number: u8) -> Option<Type> {
        let kind = match (encoding, number) {
            (Encoding::Binary, 2) | (Encoding::Compact, 1 | 2) => Type::Bool,
            (_, 3) => Type::I8,
            (Encoding::Binary, 4) | (Encoding::Compact, 7) => Type::Double,
            (Encoding::Binary, 6) | (Encoding::Compact, 4) => Type::I16,
            (Encoding::Binary, 8) | (Encoding::Compact, 5) => Type::I32,
            (Encoding::Binary, 10) | (Encoding::Compact, 6) => Type::I64,
            (Encoding::Binary, 11) | (Encoding::Compact, 8) => Type::Bytes,
            (_, 12) => Type::Struct,
            (Encoding::Binary, 13) | (Encoding::Compact, 11) => Type::Map,
            (Encoding::Binary, 14) | (Encoding::Compact, 10) => Type::Set,
            (Encoding::Binary, 15) | (Encoding::Compact, 9) => Type::List,
            (Encoding::Binary, 16) | (Encoding::Compact, 13) => Type::Uuid,
            _ => return None,
        };
        Some(kind)
    }

    /// The bytes that a value takes at least.
    fn least(self, encoding: Encoding) -> usize {
        match (encoding, self) {
            (_, Type::Uuid) => 16,
            (_, Type::Double) | (Encoding::Binary, Type::I64) => 8,
            (Encoding::Binary, Type::I16) => 2,
            (Encoding::Binary, Type::I32 | Type::Bytes) => 4,
            (Encoding::Binary, Type::List | Type::Set) => 5,
            (Encoding::Binary, Type::Map) => 6,
            _ => 1,
        }
    }
}
