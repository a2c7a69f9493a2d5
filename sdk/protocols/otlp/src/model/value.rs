//! Texts, values and attributes.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::field::message;
use super::{Message, put_field};
use crate::wire::{Field, Fields, Value, put_bytes, put_message, put_tag, put_varint};

/// Text as it was on the wire: a slice of the payload, or a string made here. Nobody checked that it is UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

/// An `AnyValue`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue {
    /// Nothing was set.
    #[default]
    Empty,
    /// Text.
    Text(Text),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A list.
    Array(Vec<AnyValue>),
    /// Pairs.
    Map(Map),
    /// Bytes.
    Bytes(Bytes),
}

/// Attributes, or a `KeyValueList`: pairs in order. A key that comes twice stays twice; the first one is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(pub Vec<KeyValue>);

message! {
    /// One attribute.
    pub struct KeyValue {
        /// Its name.
        1 key: Text as text,
        /// Its value; none on the wire is unlike an empty one to nobody.
        2 value: Option<AnyValue> as optional_value,
    }
}

// === impl Text ===

impl Text {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text, what is not UTF-8 replaced.
    #[must_use]
    pub fn as_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy that does not keep the payload.
    #[must_use]
    pub fn owned(&self) -> Text {
        Text(Bytes::copy_from_slice(&self.0))
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Bytes {
        &mut self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into())
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Text {
        Text(bytes)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

// === impl AnyValue ===

impl AnyValue {
    /// The text, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        if let AnyValue::Text(text) = self { Some(text) } else { None }
    }

    /// The value as text, as the Collector writes it when it needs a text: see [`crate::text`].
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            AnyValue::Empty => Cow::Borrowed(""),
            AnyValue::Text(text) => text.as_str(),
            value => {
                let mut encoded = Vec::new();
                value.put(&mut encoded);
                Cow::Owned(crate::text::of(crate::walk::AnyValue(&encoded)))
            }
        }
    }

    pub(super) fn read(source: &Bytes, place: Range<usize>) -> AnyValue {
        let mut any = AnyValue::Empty;
        for field in Fields::inside(source, place) {
            any = match (field.number, field.value) {
                (1, Value::Bytes(_)) => AnyValue::Text(Text(source.slice(field.body()))),
                (2, Value::Varint(n)) => AnyValue::Bool(n != 0),
                (3, Value::Varint(n)) => AnyValue::Int(n as i64),
                (4, value @ Value::Fixed64(_)) => AnyValue::Double(value.double()),
                (5, Value::Bytes(_)) => AnyValue::Array(values(source, field).collect()),
                (6, Value::Bytes(_)) => AnyValue::Map(Map::read(source, field.body())),
                (7, Value::Bytes(_)) => AnyValue::Bytes(source.slice(field.body())),
                _ => any,
            };
        }
        any
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            AnyValue::Empty => {}
            AnyValue::Text(text) => put_bytes(out, 1, text.as_bytes()),
            AnyValue::Bool(value) => {
                put_tag(out, 2, 0);
                out.push(u8::from(*value));
            }
            AnyValue::Int(value) => {
                put_tag(out, 3, 0);
                put_varint(out, *value as u64);
            }
            AnyValue::Double(value) => {
                put_tag(out, 4, 1);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            AnyValue::Array(list) => put_message(out, 5, |out| {
                list.iter().for_each(|value| put_message(out, 1, |out| value.put(out)));
            }),
            AnyValue::Map(map) => {
                put_message(out, 6, |out| map.0.iter().for_each(|pair| put_field(out, 1, pair)));
            }
            AnyValue::Bytes(bytes) => put_bytes(out, 7, bytes),
        }
    }
}

/// The values of an `ArrayValue`.
fn values<'a>(source: &'a Bytes, list: Field<'a>) -> impl Iterator<Item = AnyValue> + 'a {
    let fields = Fields::inside(source, list.body()).filter(|field| field.number == 1);
    fields.map(|field| AnyValue::read(source, field.body()))
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<$type> for AnyValue {
            fn from(value: $type) -> AnyValue {
                AnyValue::$variant(value.into())
            }
        })*
    };
}

from!(&str => Text, String => Text, Text => Text, bool => Bool, i64 => Int, f64 => Double, Map => Map, Vec<AnyValue> => Array);

// === impl Map ===

impl Map {
    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&AnyValue> {
        self.0.iter().find(|pair| pair.key == *key).map(KeyValue::value)
    }

    /// The value under a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut AnyValue> {
        self.0.iter_mut().find(|pair| pair.key == *key).map(|pair| pair.value.get_or_insert_default())
    }

    /// Sets the value under a key, in its old place or at the end.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<AnyValue>) {
        let (key, value) = (key.into(), Some(value.into()));
        match self.0.iter_mut().find(|pair| pair.key == key) {
            Some(pair) => pair.value = value,
            None => self.0.push(KeyValue { key, value, unknown: Vec::new() }),
        }
    }

    /// Takes every pair of a key out; the first value.
    pub fn remove(&mut self, key: &str) -> Option<AnyValue> {
        let mut removed = None;
        self.0.retain_mut(|pair| {
            let goes = pair.key == *key;
            if goes && removed.is_none() {
                removed = Some(pair.value.take().unwrap_or_default());
            }
            !goes
        });
        removed
    }

    fn read(source: &Bytes, place: Range<usize>) -> Map {
        let mut map = Map::default();
        for field in Fields::inside(source, place).filter(|field| field.number == 1) {
            let mut pair = KeyValue::default();
            pair.read(source, field.body());
            map.0.push(pair);
        }
        map
    }
}

impl<K: Into<Text>, V: Into<AnyValue>> FromIterator<(K, V)> for Map {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Map {
        Map(pairs.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect())
    }
}

// === impl KeyValue ===

impl KeyValue {
    /// An attribute.
    #[must_use]
    pub fn new(key: impl Into<Text>, value: impl Into<AnyValue>) -> KeyValue {
        KeyValue { key: key.into(), value: Some(value.into()), unknown: Vec::new() }
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &AnyValue {
        self.value.as_ref().unwrap_or(&AnyValue::Empty)
    }
}
