//! Encodings and sums.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotmpl::Value;
use sha2::{Digest, Sha256, Sha512};

use super::{Functions, Result, fail, string, text_of};
use crate::process::json::{Json, encode_string};

pub fn add(functions: &mut Functions) {
    functions.add(&["Hash"], 2..=2, |a| {
        string(hex(&sha3::Sha3_256::digest(format!("{}{}", text_of(a, 0)?, text_of(a, 1)?))))
    });
    functions
        .add(&["Sha2Hash"], 2..=2, |a| string(hex(&Sha256::digest(format!("{}{}", text_of(a, 0)?, text_of(a, 1)?)))));
    functions.add(&["sha1sum"], 1..=1, |a| string(hex(&sha1::Sha1::digest(text_of(a, 0)?))));
    functions.add(&["sha256sum"], 1..=1, |a| string(hex(&Sha256::digest(text_of(a, 0)?))));
    functions.add(&["sha512sum"], 1..=1, |a| string(hex(&Sha512::digest(text_of(a, 0)?))));
    functions.add(&["adler32sum"], 1..=1, |a| {
        let (mut low, mut high) = (1u32, 0u32);
        for byte in text_of(a, 0)?.bytes() {
            low = (low + u32::from(byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        string((high << 16 | low).to_string())
    });
    functions.add(&["b64enc"], 1..=1, |a| string(STANDARD.encode(text_of(a, 0)?)));
    functions.add(&["b64dec"], 1..=1, |a| {
        string(match STANDARD.decode(text_of(a, 0)?) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => error.to_string(),
        })
    });
    functions.add(&["b32enc"], 1..=1, |a| string(base32(text_of(a, 0)?.as_bytes())));
    functions.add(&["b32dec"], 1..=1, |a| match un_base32(text_of(a, 0)?) {
        Some(bytes) => string(String::from_utf8_lossy(&bytes).into_owned()),
        None => string("illegal base32 data"),
    });
    functions.add(&["toJson", "mustToJson"], 1..=1, |a| {
        let mut text = Vec::new();
        write(&a[0], &mut text)?;
        string(String::from_utf8_lossy(&text).into_owned())
    });
    functions.add(&["fromJson", "mustFromJson"], 1..=1, |a| match Json::parse(text_of(a, 0)?.as_bytes()) {
        Ok(value) => Ok(value_of(&value)),
        Err(_) => fail("invalid JSON"),
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(value: &Value, to: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Nil => to.extend_from_slice(b"null"),
        Value::Bool(value) => to.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(number) => to.extend_from_slice(number.to_string().as_bytes()),
        Value::Uint(number) => to.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) => match base_stdx::float::json(*number) {
            Some(number) => to.extend_from_slice(number.as_bytes()),
            None => return fail("JSON has no infinity"),
        },
        Value::String(text) => encode_string(text.as_bytes(), to),
        Value::List(values) => {
            to.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write(value, to)?;
            }
            to.push(b']');
        }
        Value::Map(map) => {
            to.push(b'{');
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                encode_string(key.as_bytes(), to);
                to.push(b':');
                write(value, to)?;
            }
            to.push(b'}');
        }
        Value::Function(_) => return fail("a function is no JSON"),
    }
    Ok(())
}

fn value_of(json: &Json<'_>) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Float(*number),
        Json::String(text) => Value::String((&**text).into()),
        Json::Array(values) => Value::List(values.iter().map(value_of).collect::<Vec<_>>().into()),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| ((&**key).into(), value_of(value)));
            Value::Map(std::sync::Arc::new(fields.collect()))
        }
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(5) {
        let mut group = [0; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let digits = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let digit = (bits >> (35 - at * 5)) & 31;
            text.push(if at < digits { char::from(BASE32[digit as usize]) } else { '=' });
        }
    }
    text
}

fn un_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u64, 0);
    for digit in text.trim_end_matches('=').bytes() {
        bits = bits << 5 | BASE32.iter().position(|known| *known == digit)? as u64;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}
