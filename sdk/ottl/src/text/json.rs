//! JSON as Go's encoder writes it, and values read from JSON.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sdk_protocols_otlp::model::{AnyValue, KeyValue, Map, Text};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value as JSON: keys sorted, bytes in base64, `<`, `>` and `&` escaped. JSON has no NaN and no infinities.
pub fn write(value: &AnyValue, out: &mut String) -> Result<(), String> {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Text(text) => quote(&text.as_str(), out),
        AnyValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        AnyValue::Int(value) => out.push_str(&value.to_string()),
        AnyValue::Double(value) => number(*value, out)?,
        AnyValue::Bytes(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        AnyValue::Array(values) => list(values, out)?,
        AnyValue::Map(pairs) => map(pairs, out)?,
    }
    Ok(())
}

/// A list as JSON.
pub fn list(values: &[AnyValue], out: &mut String) -> Result<(), String> {
    out.push('[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(value, out)?;
    }
    out.push(']');
    Ok(())
}

/// Pairs as a JSON object. Of a key that comes twice, the last value is written.
pub fn map(pairs: &Map, out: &mut String) -> Result<(), String> {
    let mut sorted: Vec<&KeyValue> = pairs.0.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    out.push('{');
    let mut first = true;
    for (at, pair) in sorted.iter().enumerate() {
        if sorted.get(at + 1).is_some_and(|next| next.key == pair.key) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        quote(&pair.key.as_str(), out);
        out.push(':');
        write(pair.value(), out)?;
    }
    out.push('}');
    Ok(())
}

/// A number as JSON.
pub fn number(value: f64, out: &mut String) -> Result<(), String> {
    match base_stdx::float::json(value) {
        Some(text) => out.push_str(&text),
        None => return Err(format!("json: unsupported value: {}", base_stdx::float::general(value))),
    }
    Ok(())
}

/// A text in JSON's quotes.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", character as u32)),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Reads an object or a list; every number becomes a float.
pub fn parse(text: &[u8]) -> Result<AnyValue, String> {
    match read::<false>(text)? {
        value @ (AnyValue::Map(_) | AnyValue::Array(_)) => Ok(value),
        _ => Err("json: the text is neither an object nor a list".to_owned()),
    }
}

/// Reads any value. With `INTS`, a number that is written as a whole one stays whole; otherwise all become floats.
pub fn read<const INTS: bool>(text: &[u8]) -> Result<AnyValue, String> {
    let Json::<INTS>(value) = serde_json::from_slice(text).map_err(|error| format!("json: {error}"))?;
    Ok(value)
}

struct Json<const INTS: bool>(AnyValue);

impl<'de, const INTS: bool> Deserialize<'de> for Json<INTS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<INTS>, D::Error> {
        deserializer.deserialize_any(Reader::<INTS>).map(Json)
    }
}

struct Reader<const INTS: bool>;

impl<'de, const INTS: bool> Visitor<'de> for Reader<INTS> {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<AnyValue, E> {
        Ok(AnyValue::Empty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<AnyValue, E> {
        Ok(AnyValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<AnyValue, E> {
        Ok(if INTS { AnyValue::Int(value) } else { AnyValue::Double(value as f64) })
    }

    fn visit_u64<E>(self, value: u64) -> Result<AnyValue, E> {
        Ok(match i64::try_from(value) {
            Ok(value) if INTS => AnyValue::Int(value),
            _ => AnyValue::Double(value as f64),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<AnyValue, E> {
        Ok(AnyValue::Double(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<AnyValue, E> {
        Ok(AnyValue::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<AnyValue, E> {
        Ok(AnyValue::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<AnyValue, A::Error> {
        let mut values = Vec::new();
        while let Some(Json::<INTS>(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(AnyValue::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<AnyValue, A::Error> {
        let mut pairs: Vec<(Text, AnyValue)> = Vec::new();
        while let Some((key, Json::<INTS>(value))) = access.next_entry::<String, Json<INTS>>()? {
            pairs.push((key.into(), value));
        }
        Ok(AnyValue::Map(unique(pairs)))
    }
}

/// Pairs as a map; of a key that comes twice, the last value stays, in the first one's place.
pub fn unique(pairs: Vec<(Text, AnyValue)>) -> Map {
    let mut sorted: Vec<usize> = (0..pairs.len()).collect();
    sorted.sort_by(|a, b| pairs[*a].0.cmp(&pairs[*b].0).then(a.cmp(b)));
    // Which pair's value each pair gets; none for those that go.
    let mut from: Vec<Option<usize>> = (0..pairs.len()).map(Some).collect();
    for run in sorted.chunk_by(|a, b| pairs[*a].0 == pairs[*b].0).filter(|run| run.len() > 1) {
        run.iter().for_each(|at| from[*at] = None);
        from[run[0]] = run.last().copied();
    }
    let mut values: Vec<Option<AnyValue>> = Vec::with_capacity(pairs.len());
    let mut keys = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        keys.push(key);
        values.push(Some(value));
    }
    let kept = keys.into_iter().zip(from).filter_map(|(key, from)| Some((key, values.get_mut(from?)?.take()?)));
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(text: &str) -> String {
        let mut out = String::new();
        write(&parse(text.as_bytes()).unwrap(), &mut out).unwrap();
        out
    }

    #[test]
    fn json_as_go_writes_it() {
        assert_eq!(back(r#"{"b":[true,null,"x\ty<"],"a":1,"c":{"d":2.50},"b":[]}"#), r#"{"a":1,"b":[],"c":{"d":2.5}}"#);
        assert_eq!(back("[1e21,1e-7,\"\\u2028&\"]"), "[1e+21,1e-7,\"\\u2028\\u0026\"]");
        for bad in ["nope", "1", "\"x\"", "null", "{", "{\"a\":1} x"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
