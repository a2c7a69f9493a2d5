//! Types of serde out of a [`Node`].

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, EnumAccess, IntoDeserializer, Unexpected, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::scalar::{float, is_null, truth, whole};
use crate::{Kind, Node};

/// Why a document is not what was asked for.
#[derive(Debug)]
pub struct Error {
    message: String,
    /// From 1; 0 until a node around it says where it is.
    line: usize,
}

impl Node {
    /// The text of a scalar that has no quotes around it.
    fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.plain && !scalar.is_tagged_as_text() => Some(&scalar.text),
            _ => None,
        }
    }

    fn is_nothing(&self) -> bool {
        self.plain().is_some_and(is_null)
    }

    fn here<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| if error.line == 0 { Error { line: self.line, ..error } } else { error })
    }

    /// As serde calls it in errors.
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.kind {
            Kind::Scalar(_) if self.is_nothing() => Unexpected::Unit,
            Kind::Scalar(scalar) => Unexpected::Str(&scalar.text),
            Kind::List(_) => Unexpected::Seq,
            Kind::Map(_) => Unexpected::Map,
        }
    }

    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let text = self.plain().unwrap_or_default();
        match (whole(text), float(text)) {
            (Some(number), _) => visit_whole(number, visitor),
            (None, Some(number)) => visitor.visit_f64(number),
            (None, None) => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }
}

impl crate::Scalar {
    fn is_tagged_as_text(&self) -> bool {
        self.tag.as_ref().is_some_and(|(handle, suffix)| handle != "tag:yaml.org,2002:" || suffix == "str")
    }
}

fn visit_whole<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Error> {
    match (u64::try_from(number), i64::try_from(number)) {
        (Ok(number), _) => visitor.visit_u64(number),
        (_, Ok(number)) => visitor.visit_i64(number),
        _ => visitor.visit_i128(number),
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.here(self.number(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    /// What it looks like.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let visited = match &self.kind {
            Kind::List(_) => return self.deserialize_seq(visitor),
            Kind::Map(_) => return self.deserialize_map(visitor),
            Kind::Scalar(scalar) => match self.plain() {
                Some(text) if is_null(text) => visitor.visit_unit(),
                Some("true" | "True" | "TRUE") => visitor.visit_bool(true),
                Some("false" | "False" | "FALSE") => visitor.visit_bool(false),
                Some(text) if whole(text).is_some() || float(text).is_some() => self.number(visitor),
                _ => visitor.visit_borrowed_str(&scalar.text),
            },
        };
        self.here(visited)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.here(match self.plain().and_then(truth) {
            Some(truth) => visitor.visit_bool(truth),
            None => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        })
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    /// Whatever a scalar looks like, as it was written.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.here(match &self.kind {
            Kind::Scalar(scalar) if !self.is_nothing() => visitor.visit_borrowed_str(&scalar.text),
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A list; nothing is one without items.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items: &[Node] = match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) if self.is_nothing() => &[],
            _ => return self.here(Err(de::Error::invalid_type(self.unexpected(), &visitor))),
        };
        self.here(visitor.visit_seq(SeqDeserializer::new(items.iter())))
    }

    /// A map; nothing is one without fields.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let fields: &[(Node, Node)] = match &self.kind {
            Kind::Map(fields) => fields,
            Kind::Scalar(_) if self.is_nothing() => &[],
            _ => return self.here(Err(de::Error::invalid_type(self.unexpected(), &visitor))),
        };
        self.here(visitor.visit_map(MapDeserializer::new(fields.iter().map(|(key, value)| (key, value)))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    /// A name, or a map of one field.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.here(match &self.kind {
            Kind::Scalar(_) => visitor.visit_enum(Choice { name: self, value: None }),
            Kind::Map(fields) if fields.len() == 1 => {
                visitor.visit_enum(Choice { name: &fields[0].0, value: Some(&fields[0].1) })
            }
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple tuple_struct }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = &'de Node;

    fn into_deserializer(self) -> &'de Node {
        self
    }
}

/// One of an enum's variants.
struct Choice<'de> {
    name: &'de Node,
    value: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Choice<'de>;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Choice<'de>), Error> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            Some(value) if !value.is_nothing() => value.here(Err(de::Error::custom("this takes no value"))),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        match self.value {
            Some(value) => seed.deserialize(value),
            None => self.name.here(Err(de::Error::custom("this takes a value"))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.value.unwrap_or(self.name).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.value.unwrap_or(self.name).deserialize_map(visitor)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error { message: message.to_string(), line: 0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for Error {}
