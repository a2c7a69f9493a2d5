//! Converters from one type to another.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdk_protocols_otlp::model::Text;

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::error::{Error, Result};
use crate::expression::Expression;
use crate::text::printf::{Operand, sprintf};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("Bool", &[required("Target", Kind::BoolLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(coerce::bool_like(&target, on)?.map_or(Value::Nil, Value::Bool)))
    }),
    everywhere("Double", &[required("Target", Kind::FloatLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(coerce::float_like(&target, on)?.map_or(Value::Nil, Value::Double)))
    }),
    everywhere("Int", &[required("Target", Kind::IntLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(coerce::int_like(&target, on)?.map_or(Value::Nil, Value::Int)))
    }),
    everywhere("String", &[required("Target", Kind::TextLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(coerce::text_like(&target, on)?.map_or(Value::Nil, Value::Text)))
    }),
    everywhere("ParseInt", &[required("Target", Kind::Text), required("Base", Kind::Int)], parse_int),
    everywhere("Hex", &[required("Target", Kind::BytesLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(Value::text(coerce::hexadecimal(&coerce::bytes_like(&target, on)?))))
    }),
    everywhere("Log", &[required("Target", Kind::FloatLike)], |a| {
        let target = a.expression(0)?;
        converter(move |on| match coerce::float_like(&target, on)? {
            None => Err("invalid input: <nil>".into()),
            Some(value) if value <= 0.0 => {
                let shown = base_stdx::float::general(value);
                Err(Error::new(format!("invalid input: expected number greater than zero but got {shown}")))
            }
            Some(value) => Ok(Value::Double(value.ln())),
        })
    }),
    everywhere("Base64Encode", &[required("Target", Kind::Text), optional("Variant", Kind::Text)], base64_encode),
    everywhere("Base64Decode", &[required("Target", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| decoded(&STANDARD, coerce::text(&target, on)?.as_bytes()))
    }),
    everywhere("Decode", &[required("Target", Kind::Any), required("Encoding", Kind::Text)], decode),
    everywhere("Format", &[required("Format", Kind::LiteralText), required("Vals", Kind::Anys)], format),
];

fn parse_int(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, base) = (a.expression(0)?, a.expression(1)?);
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        if text.is_empty() {
            return Err("invalid target value for ParseInt function, target cannot be empty".into());
        }
        let base = coerce::int(&base, on)?;
        if base < 0 {
            let message = format!("invalid base value: {base} for ParseInt function, base cannot be negative");
            return Err(Error::new(message));
        }
        parse_int_of(&text.as_str(), base).map(Value::Int)
    })
}

/// `strconv.ParseInt`: base 0 looks at the prefix, and allows `_` between digits.
fn parse_int_of(text: &str, base: i64) -> Result<i64> {
    let quoted = || base_stdx::quote::quote(text.as_bytes());
    let fault = |what: &str| Error::new(format!("strconv.ParseInt: parsing {}: {what}", quoted()));
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match base {
        0 => match lower.as_bytes() {
            [b'0', b'x', ..] => (16, &lower[2..]),
            [b'0', b'b', ..] => (2, &lower[2..]),
            [b'0', b'o', ..] => (8, &lower[2..]),
            [b'0', _, ..] => (8, &lower[1..]),
            _ => (10, &lower[..]),
        },
        2..=36 => (base as u32, &lower[..]),
        _ => return Err(fault(&format!("invalid base {base}"))),
    };
    let digits: String = if base == 0 {
        if digits.contains("__") || digits.ends_with('_') {
            return Err(fault("invalid syntax"));
        }
        digits.replace('_', "")
    } else {
        digits.to_owned()
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(fault("invalid syntax"));
    }
    let magnitude = i128::from_str_radix(&digits, radix).map_err(|_| fault("value out of range"))?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| fault("value out of range"))
}

const fn engine(alphabet: &alphabet::Alphabet, padding: bool) -> GeneralPurpose {
    let mode = if padding { DecodePaddingMode::RequireCanonical } else { DecodePaddingMode::RequireNone };
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(padding)
        .with_decode_padding_mode(mode)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD, true);
const RAW: GeneralPurpose = engine(&alphabet::STANDARD, false);
const URL: GeneralPurpose = engine(&alphabet::URL_SAFE, true);
const RAW_URL: GeneralPurpose = engine(&alphabet::URL_SAFE, false);

fn variant(name: &str) -> Option<&'static GeneralPurpose> {
    match name {
        "base64" => Some(&STANDARD),
        "base64-raw" => Some(&RAW),
        "base64-url" => Some(&URL),
        "base64-raw-url" => Some(&RAW_URL),
        _ => None,
    }
}

fn base64_encode(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, name) = (a.expression(0)?, a.given_expression(1));
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        let engine = match &name {
            None => &STANDARD,
            Some(name) => {
                let name = coerce::text(name, on)?;
                let unknown = || Error::new(format!("unsupported base64 variant: {}", name.as_str()));
                variant(&name.as_str()).ok_or_else(unknown)?
            }
        };
        Ok(Value::text(engine.encode(text.as_bytes())))
    })
}

fn decoded(engine: &GeneralPurpose, text: &[u8]) -> Result<Value<'static>> {
    // Line breaks are no part of the text.
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let bytes = engine.decode(text).map_err(|error| Error::new(format!("illegal base64 data: {error}")))?;
    Ok(Value::Text(Text::from(bytes::Bytes::from(bytes))))
}

/// What a text is encoded in.
#[derive(Clone, Copy)]
enum Encoding {
    Base64(&'static GeneralPurpose),
    Text(&'static encoding_rs::Encoding),
    /// ASCII, of which everything else is a replacement character.
    Ascii,
}

fn encoding(name: &str) -> Result<Encoding> {
    if let Some(engine) = variant(name) {
        return Ok(Encoding::Base64(engine));
    }
    match name.to_ascii_lowercase().as_str() {
        "" | "nop" => return Ok(Encoding::Text(encoding_rs::UTF_8)),
        "ascii" | "us-ascii" => return Ok(Encoding::Ascii),
        "utf8" | "utf-8" | "utf8-raw" => return Ok(Encoding::Text(encoding_rs::UTF_8)),
        "utf16" | "utf-16" => return Ok(Encoding::Text(encoding_rs::UTF_16LE)),
        _ => {}
    }
    let found = encoding_rs::Encoding::for_label(name.as_bytes());
    found.map(Encoding::Text).ok_or_else(|| Error::new(format!("unsupported encoding '{name}'")))
}

impl Encoding {
    fn decode(self, bytes: &[u8]) -> Result<Value<'static>> {
        match self {
            Encoding::Base64(engine) => decoded(engine, bytes),
            Encoding::Text(encoding) => Ok(Value::text(encoding.decode_without_bom_handling(bytes).0.into_owned())),
            Encoding::Ascii => {
                let ascii = |byte: &u8| if byte.is_ascii() { *byte as char } else { char::REPLACEMENT_CHARACTER };
                Ok(Value::text(bytes.iter().map(ascii).collect::<String>()))
            }
        }
    }
}

fn decode(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, name) = (a.expression(0)?, a.expression(1)?);
    let fixed = match name.literal() {
        Some(Value::Text(text)) => Some(encoding(&text.as_str()).map_err(|error| error.to_string())?),
        _ => None,
    };
    let name: Option<Expression> = if fixed.is_some() { None } else { Some(name) };
    converter(move |on| {
        let value = target.get(on)?;
        let encoding = match (fixed, &name) {
            (Some(fixed), _) => fixed,
            (None, Some(name)) => encoding(&coerce::text(name, on)?.as_str())?,
            (None, None) => return Err("Decode has no encoding".into()),
        };
        match value {
            Value::Text(text) => encoding.decode(text.as_bytes()),
            Value::Bytes(bytes) => encoding.decode(&bytes),
            other => Err(Error::new(format!("unsupported type provided to Decode function: {}", other.type_name()))),
        }
    })
}

fn format(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (format, values) = (a.text(0)?, a.expressions(1)?);
    converter(move |on| {
        let operands = values.iter().map(|value| Ok(operand(value.get(on)?))).collect::<Result<Vec<_>>>()?;
        Ok(Value::Text(Text::from(bytes::Bytes::from(sprintf(format.as_bytes(), &operands)))))
    })
}

fn operand(value: Value<'_>) -> Operand {
    let name = value.type_name();
    match value {
        Value::Nil => Operand::Nil,
        Value::Bool(value) => Operand::Bool(value),
        Value::Int(value) => Operand::Int(value),
        Value::Double(value) => Operand::Float(value),
        Value::Text(text) => Operand::Text(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Operand::Bytes(bytes.to_vec()),
        Value::List(list) => Operand::List(list.into_iter().map(operand).collect()),
        Value::Floats(list) => Operand::List(list.iter().copied().map(Operand::Float).collect()),
        Value::Counts(list) => Operand::List(list.iter().map(|count| Operand::Int(*count as i64)).collect()),
        Value::Time(time) => Operand::Printed(time.printed(), name),
        Value::Duration(duration) => Operand::Printed(base_stdx::GoDuration(duration).to_string(), name),
        Value::TraceId(id) | Value::ProfileId(id) => Operand::Printed(coerce::hexadecimal(&id), name),
        Value::SpanId(id) => Operand::Printed(coerce::hexadecimal(&id), name),
        // Go prints addresses here; JSON is what people want to see.
        other => {
            let text = coerce::as_text_like(other).ok().flatten().unwrap_or_default();
            Operand::Printed(text.as_str().into_owned(), name)
        }
    }
}
