//! Reading JSON into fields as Go does: names in any case, `null` for "as it is", later values over earlier ones, unknown
//! names skipped, and what follows the value left unread.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use sdk_protocols_otlp::Signal;
use sdk_protocols_otlp::json::from_json;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::moment;

/// Elements of lists and entries of maps in one payload: each takes more memory than its text.
const MAX_VALUES: usize = 200_000;

/// Where a value of JSON goes.
pub(super) enum Slot<'s> {
    Text(&'s mut String),
    Flag(&'s mut bool),
    Whole(&'s mut i64),
    /// A time, kept as it is shown.
    Time(&'s mut String),
    Texts(&'s mut BTreeMap<String, String>),
    Numbers(&'s mut BTreeMap<String, f64>),
    Object(&'s mut dyn Fields),
    List(&'s mut dyn List),
    /// Traces of OTLP, kept as protobuf.
    Traces(&'s mut Option<Vec<u8>>),
}

/// An object with names that are known.
pub(super) trait Fields {
    /// The names.
    fn names(&self) -> &'static [&'static str];
    /// Where the value of a name goes.
    fn slot(&mut self, name: &str) -> Option<Slot<'_>>;
}

/// A list of objects.
pub(super) trait List {
    fn add(&mut self) -> &mut dyn Fields;
    fn empty(&mut self);
}

/// Says which fields a type has, and of which kind.
macro_rules! fields {
    ($type:ty { $($name:literal => $kind:ident($field:ident)),* $(,)? }) => {
        impl $crate::receiver::read::Fields for $type {
            fn names(&self) -> &'static [&'static str] {
                &[$($name),*]
            }

            fn slot(&mut self, name: &str) -> Option<$crate::receiver::read::Slot<'_>> {
                match name {
                    $($name => Some($crate::receiver::read::Slot::$kind(&mut self.$field)),)*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use fields;

impl<T: Fields + Default> List for Vec<T> {
    fn add(&mut self) -> &mut dyn Fields {
        self.push(T::default());
        self.last_mut().expect("it was just pushed")
    }

    fn empty(&mut self) {
        self.clear();
    }
}

/// Reads the first value of `json`.
pub(super) fn read(json: &[u8], into: &mut dyn Fields, local: &TimeZone) -> Result<(), serde_json::Error> {
    let json = valid(json);
    // Strings are read as bytes below, where serde_json lets control characters pass.
    IgnoredAny::deserialize(&mut serde_json::Deserializer::from_slice(&json))?;
    let budget = Budget { left: Cell::new(MAX_VALUES), local };
    let mut reader = serde_json::Deserializer::from_slice(&json);
    Place { slot: Slot::Object(into), budget: &budget }.deserialize(&mut reader)
}

/// UTF-8: each byte that is none becomes a replacement character, as in Go.
fn valid(bytes: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    Cow::Owned(text)
}

/// What all values of a payload share.
struct Budget<'b> {
    left: Cell<usize>,
    local: &'b TimeZone,
}

impl Budget<'_> {
    fn take<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values in one payload")))?);
        Ok(())
    }
}

// === values ===

struct Place<'s, 'b> {
    slot: Slot<'s>,
    budget: &'b Budget<'b>,
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match self.slot {
            // Bytes, as lone surrogates are no error there.
            Slot::Text(_) | Slot::Time(_) => reader.deserialize_option(self),
            Slot::Traces(traces) => {
                let raw: &'de RawValue = Deserialize::deserialize(reader)?;
                *traces = match raw.get() {
                    "null" => None,
                    json => Some(from_json(Signal::Traces, json.as_bytes()).map_err(D::Error::custom)?),
                };
                Ok(())
            }
            _ => reader.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.slot {
            Slot::Text(_) => "a string",
            Slot::Time(_) => "a time as in RFC 3339",
            Slot::Flag(_) => "true or false",
            Slot::Whole(_) => "a whole number of 64 bits",
            Slot::Texts(_) => "an object of strings",
            Slot::Numbers(_) => "an object of numbers",
            Slot::Object(_) | Slot::Traces(_) => "an object",
            Slot::List(_) => "a list",
        })
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_bytes(self)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        match self.slot {
            Slot::Texts(texts) => texts.clear(),
            Slot::Numbers(numbers) => numbers.clear(),
            Slot::List(list) => list.empty(),
            _ => {}
        }
        Ok(())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        let text = text_of(bytes);
        match self.slot {
            Slot::Text(slot) => *slot = text.into_owned(),
            Slot::Time(slot) => {
                let time = moment::shown(&text, self.budget.local);
                *slot = time.ok_or_else(|| E::custom(format_args!("{text:?} is no time as in RFC 3339")))?;
            }
            _ => return Err(E::invalid_type(Unexpected::Str(&text), &self)),
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.slot {
            Slot::Flag(flag) => *flag = value,
            _ => return Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.slot {
            Slot::Whole(whole) => *whole = value,
            _ => return Err(E::invalid_type(Unexpected::Signed(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let signed = i64::try_from(value);
        self.visit_i64(signed.map_err(|_| E::custom(format_args!("{value} does not fit 64 bits with a sign")))?)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let budget = self.budget;
        match self.slot {
            Slot::Object(fields) => {
                while let Some(Name(name)) = map.next_key()? {
                    let known = fields.names();
                    let name = known
                        .iter()
                        .find(|known| **known == name)
                        .copied()
                        .or_else(|| known.iter().find(|known| known.eq_ignore_ascii_case(&name)).copied());
                    match name.and_then(|name| fields.slot(name)) {
                        Some(slot) => map.next_value_seed(Place { slot, budget })?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
            }
            Slot::Texts(texts) => {
                while let Some(Name(name)) = map.next_key()? {
                    budget.take()?;
                    let mut text = String::new();
                    map.next_value_seed(Place { slot: Slot::Text(&mut text), budget })?;
                    texts.insert(name, text);
                }
            }
            Slot::Numbers(numbers) => {
                while let Some(Name(name)) = map.next_key()? {
                    budget.take()?;
                    numbers.insert(name, map.next_value::<Option<f64>>()?.unwrap_or_default());
                }
            }
            _ => return Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let budget = self.budget;
        let Slot::List(list) = self.slot else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        list.empty();
        while seq.next_element_seed(Element { list: &mut *list, budget })?.is_some() {}
        Ok(())
    }
}

/// The next object of a list.
struct Element<'s, 'b> {
    list: &'s mut dyn List,
    budget: &'b Budget<'b>,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        self.budget.take()?;
        Place { slot: Slot::Object(self.list.add()), budget: self.budget }.deserialize(reader)
    }
}

// === strings ===

/// The name of a field.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Name, D::Error> {
        reader.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
        Ok(Name(text_of(bytes).into_owned()))
    }
}

/// A string whose escapes are resolved. A surrogate without its other half, three bytes here, is one replacement character.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                // The input was UTF-8: nothing but surrogates is wrong, and their first byte is this.
                if chunk.invalid().first() == Some(&0xed) {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
            Cow::Owned(text)
        }
    }
}
