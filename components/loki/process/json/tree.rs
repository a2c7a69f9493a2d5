//! Decoded JSON, for expressions that need more than the value behind a path of keys.

use std::borrow::Cow;

use base_stdx::json::unescape;

use super::scan::{Kind, Malformed, Raw, Scanner};

/// A JSON value that borrows its strings where it can.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(f64),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// In the order of the text, each key once.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

// === impl Json ===

impl<'a> Json<'a> {
    /// Decodes a whole text.
    pub fn parse(text: &'a [u8]) -> Result<Json<'a>, Malformed> {
        let mut scanner = Scanner::new(text);
        let value = Json::read(&mut scanner)?;
        scanner.end()?;
        Ok(value)
    }

    fn read(scanner: &mut Scanner<'a>) -> Result<Json<'a>, Malformed> {
        match scanner.peek()? {
            Kind::Array => {
                let mut elements = Vec::new();
                scanner.array(|scanner| {
                    elements.push(Json::read(scanner)?);
                    Ok(())
                })?;
                Ok(Json::Array(elements))
            }
            Kind::Object => {
                let mut fields: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
                scanner.object(|key, _, scanner| {
                    let key = text(scanner.bytes(key), key.escaped);
                    let value = Json::read(scanner)?;
                    match fields.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, old)) => *old = value,
                        None => fields.push((key, value)),
                    }
                    Ok(())
                })?;
                Ok(Json::Object(fields))
            }
            _ => {
                let raw = scanner.value()?;
                Ok(Json::scalar(scanner.bytes(&raw), &raw))
            }
        }
    }

    fn scalar(bytes: &'a [u8], raw: &Raw) -> Json<'a> {
        match raw.kind {
            Kind::True => Json::Bool(true),
            Kind::False => Json::Bool(false),
            Kind::Number => Json::Number(number(bytes)),
            Kind::String => Json::String(text(bytes, raw.escaped)),
            _ => Json::Null,
        }
    }

    /// The value of a key; null when it is not there.
    pub fn field(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A checked JSON number; beyond the range of floats it is infinite.
pub fn number(bytes: &[u8]) -> f64 {
    // Fifteen digits are less than 2^53, and exact.
    if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        return bytes.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0')) as f64;
    }
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

fn text(bytes: &[u8], escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return String::from_utf8_lossy(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    unescape(bytes, &mut plain);
    Cow::Owned(match String::from_utf8(plain) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}
