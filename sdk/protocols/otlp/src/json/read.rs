//! JSON → wire.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::Signal;
use crate::schema::{Field, Kind, Message, Presence};
use crate::wire::{put_bytes, put_message, put_tag, put_varint};

/// Why a text is not OTLP/JSON, with line and column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

/// Reads OTLP/JSON as a payload of `signal`.
///
/// # Errors
/// Text that is not JSON, or whose known fields hold what they cannot.
pub fn from_json(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    Body { message: signal.schema(), out: &mut out }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(out)
}

/// The content of one message.
struct Body<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => map.next_value_seed(FieldOf { field, out: self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A name, looked up among the fields of a message.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.json == name || field.name == name))
    }
}

/// A field with its tag: one value, or a list.
struct FieldOf<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match (self.field.presence, self.field.kind) {
            (Presence::List, _) => reader.deserialize_any(self),
            (_, Kind::Message(message)) => {
                One { number: self.field.number.into(), message, out: self.out }.deserialize(reader)
            }
            _ => reader.deserialize_any(Scalar { field: self.field, tagged: true, out: self.out }),
        }
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list for {}", self.field.json)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let number = u32::from(self.field.number);
        match self.field.kind {
            Kind::Message(message) => {
                while list.next_element_seed(One { number, message, out: self.out })?.is_some() {}
            }
            kind if kind.wire() == 2 => {
                while list
                    .next_element_seed(Element(Scalar { field: self.field, tagged: true, out: self.out }))?
                    .is_some()
                {}
            }
            _ => put_message(self.out, number, |out| {
                while list.next_element_seed(Element(Scalar { field: self.field, tagged: false, out }))?.is_some() {}
                Ok(())
            })?,
        }
        Ok(())
    }
}

/// A message with its tag. `null` is none.
struct One<'o> {
    number: u32,
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        put_message(self.out, self.number, |out| Body { message: self.message, out }.deserialize(reader))
    }
}

struct Element<'o>(Scalar<'o>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self.0)
    }
}

/// A number, text, truth value, or bytes.
struct Scalar<'o> {
    field: &'static Field,
    /// Whether the tag comes first; not in packed lists.
    tagged: bool,
    out: &'o mut Vec<u8>,
}

impl Scalar<'_> {
    /// Writes a number, given as the bits that its wire type holds.
    fn number(self, bits: u64) {
        if self.field.presence == Presence::Set && bits == 0 {
            return;
        }
        let wire = self.field.kind.wire();
        if self.tagged {
            put_tag(self.out, self.field.number.into(), wire);
        }
        match wire {
            0 => put_varint(self.out, bits),
            1 => self.out.extend_from_slice(&bits.to_le_bytes()),
            _ => self.out.extend_from_slice(&(bits as u32).to_le_bytes()),
        }
    }

    fn bytes(self, bytes: &[u8]) {
        if self.field.presence == Presence::Set && bytes.is_empty() {
            return;
        }
        put_bytes(self.out, self.field.number.into(), bytes);
    }

    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let (low, high) = match self.field.kind {
            Kind::Int64 | Kind::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
            Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX.into()),
            Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
            Kind::Sint32 | Kind::Enum(_) => (i32::MIN.into(), i32::MAX.into()),
            Kind::Double => {
                self.number((value as f64).to_bits());
                return Ok(());
            }
            _ => return Err(E::invalid_type(Unexpected::Other("a number"), &self)),
        };
        if !(low..=high).contains(&value) {
            return Err(E::custom(format_args!("{value} is out of range for {}", self.field.json)));
        }
        let bits = value as u64;
        let zigzag = matches!(self.field.kind, Kind::Sint32);
        self.number(if zigzag { (bits << 1) ^ ((value >> 64) as u64) } else { bits });
        Ok(())
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            Kind::Text => "text",
            Kind::Bytes => "base64 text",
            Kind::Id(_) => "hex text",
            Kind::Bool => "true or false",
            Kind::Enum(_) => "a number or a name of the protocol",
            _ => "a number",
        };
        write!(f, "{what} for {}", self.field.json)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.number(value.into());
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.number(value.to_bits());
                Ok(())
            }
            _ if value.fract() == 0.0 && value.abs() < 1e19 => self.integer(value as i128),
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let wrong = |this: &Self| E::invalid_value(Unexpected::Str(text), this);
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Id(length) => {
                let id = unhex(text).filter(|id| id.is_empty() || id.len() == length).ok_or_else(|| wrong(&self))?;
                self.bytes(&id);
            }
            Kind::Bytes => {
                let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| wrong(&self))?;
                self.bytes(&bytes);
            }
            Kind::Double => {
                let value: f64 = text.parse().map_err(|_| wrong(&self))?;
                self.number(value.to_bits());
            }
            Kind::Enum(names) => {
                let named = names.iter().find(|(name, _)| *name == text).map(|(_, value)| i128::from(*value));
                let value = named.or_else(|| text.parse().ok()).ok_or_else(|| wrong(&self))?;
                return self.integer(value);
            }
            Kind::Bool | Kind::Message(_) => return Err(wrong(&self)),
            _ => {
                let value = text.parse::<i128>().map_err(|_| wrong(&self))?;
                return self.integer(value);
            }
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Cow<'static, [u8]>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|n| n as u8);
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes.map(Cow::Owned)
}
