//! `encoding.*` for base64 and URLs.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::arguments::only;
use crate::value::{FunctionError, Text, Value};

// As Go: padding is needed, bits left over in the last character do not matter.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

pub fn from_base64(arguments: &[Value]) -> Result<Value, FunctionError> {
    decode(&STANDARD, arguments)
}

pub fn from_url_base64(arguments: &[Value]) -> Result<Value, FunctionError> {
    decode(&URL, arguments)
}

pub fn to_base64(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: Text = only(arguments)?;
    Ok(Value::from(STANDARD.encode(text.as_bytes())))
}

pub fn to_url_base64(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: Text = only(arguments)?;
    Ok(Value::from(URL.encode(text.as_bytes())))
}

/// A text, which may hold any bytes. (Alloy gives a list of numbers, which only turns into a text when it is assigned to
/// one: spec §9, 7.)
fn decode(engine: &GeneralPurpose, arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: Text = only(arguments)?;
    let whole = text.as_bytes();
    let text: Vec<u8> = whole.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let decoded = engine
        .decode(&text)
        .map_err(|_| FunctionError::new(format!("illegal base64 data at input byte {}", wrong_byte(engine, whole))))?;
    Ok(Value::String(Text::from(decoded)))
}

/// Where Go says that a text stops being base64: at the character that does not belong there, or, if the end comes too early,
/// where its last four characters begin.
fn wrong_byte(engine: &GeneralPurpose, text: &[u8]) -> usize {
    let mut letters = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    loop {
        for letter in 0..4 {
            let Some((at, byte)) = letters.next() else { return text.len() - letter };
            if *byte == b'=' && letter == 2 {
                return match letters.next() {
                    None => text.len(),
                    Some((_, b'=')) => letters.next().map_or(text.len(), |(at, _)| at),
                    Some(_) => at,
                };
            }
            if *byte == b'=' && letter == 3 {
                return letters.next().map_or(text.len(), |(at, _)| at);
            }
            if engine.decode([*byte, b'A', b'A', b'A']).is_err() {
                return at;
            }
        }
    }
}

pub fn url_encode(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: Text = only(arguments)?;
    let mut encoded = String::new();
    for byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(*byte)),
            b' ' => encoded.push('+'),
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    Ok(Value::from(encoded))
}

pub fn url_decode(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: Text = only(arguments)?;
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = after.first_chunk::<2>().and_then(|[high, low]| {
                    let high = char::from(*high).to_digit(16)?;
                    Some((high * 16 + char::from(*low).to_digit(16)?) as u8)
                });
                let Some(byte) = digits else {
                    let shown = [b"%", &after[..after.len().min(2)]].concat();
                    return Err(FunctionError::new(format!("invalid URL escape {}", base_stdx::quote::quote(&shown))));
                };
                decoded.push(byte);
                rest = &after[2..];
            }
            byte => decoded.push(*byte),
        }
    }
    Ok(Value::String(Text::from(decoded)))
}
