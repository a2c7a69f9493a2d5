//! A value as text, as the Collector writes it when it needs a text: conversions, comparisons, the debug exporter.

use base_stdx::float;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::walk::{Any, AnyValue, Attribute, array, map};

/// Lists and maps nested deeper than this are shown as `null`.
const DEPTH: usize = 64;

/// The value as text: a text as it is, numbers in their shortest form, lists and maps as JSON with sorted keys, bytes as
/// base64, nothing as "".
#[must_use]
pub fn of(value: AnyValue<'_>) -> String {
    match value.get() {
        Any::Empty => String::new(),
        Any::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Any::Bool(value) => value.to_string(),
        Any::Int(value) => value.to_string(),
        Any::Double(value) => double(value),
        Any::Bytes(bytes) => STANDARD.encode(bytes),
        Any::Array(_) | Any::Map(_) => {
            let mut out = Vec::new();
            push_json(&mut out, value);
            String::from_utf8_lossy(&out).into_owned()
        }
    }
}

/// A double as Go's JSON writes it: shortest digits, an exponent below 1e-6 and from 1e21 on.
#[must_use]
pub fn double(value: f64) -> String {
    float::json(value).unwrap_or_else(|| float::general(value))
}

/// Appends the value as JSON: keys sorted, bytes as base64; nothing, and numbers that JSON lacks, as `null`.
pub fn push_json(out: &mut Vec<u8>, value: AnyValue<'_>) {
    json(out, value, DEPTH);
}

/// Appends attributes as a JSON object, keys sorted; of equal keys the last one counts, as in a Go map.
pub fn push_json_object(out: &mut Vec<u8>, pairs: Vec<Attribute<'_>>) {
    object(out, pairs, DEPTH);
}

/// Appends a text as a JSON string.
pub fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    quoted(out, text);
}

fn json(out: &mut Vec<u8>, value: AnyValue<'_>, depth: usize) {
    if depth == 0 {
        return out.extend_from_slice(b"null");
    }
    match value.get() {
        Any::Empty => out.extend_from_slice(b"null"),
        Any::Text(text) => quoted(out, text),
        Any::Bytes(bytes) => quoted(out, STANDARD.encode(bytes).as_bytes()),
        Any::Double(value) if !value.is_finite() => out.extend_from_slice(b"null"),
        Any::Bool(_) | Any::Int(_) | Any::Double(_) => out.extend_from_slice(of(value).as_bytes()),
        Any::Array(list) => {
            out.push(b'[');
            for (i, value) in array(list).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(out, value, depth - 1);
            }
            out.push(b']');
        }
        Any::Map(list) => object(out, map(list).collect(), depth),
    }
}

fn object(out: &mut Vec<u8>, mut pairs: Vec<Attribute<'_>>, depth: usize) {
    pairs.sort_by(|a, b| a.key.cmp(b.key));
    pairs.reverse();
    pairs.dedup_by(|a, b| a.key == b.key);
    pairs.reverse();
    out.push(b'{');
    for (i, pair) in pairs.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        quoted(out, pair.key);
        out.push(b':');
        json(out, pair.value, depth - 1);
    }
    out.push(b'}');
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::any;

    #[test]
    fn values_read_as_the_collector_writes_them() {
        let check = |value: Vec<u8>, text: &str| assert_eq!(of(AnyValue(&value)), text);
        check(vec![], "");
        check(any::text(b"a<b"), "a<b");
        check(any::bool(true), "true");
        check(any::int(-7), "-7");
        let list = any::array([&any::text(b"c\"<")[..], &any::double(2.0), &[]]);
        check(list.clone(), r#"["c\"<",2,null]"#);
        check(
            any::map([(&b"k"[..], &list[..]), (b"e", &any::int(1)), (b"e", &any::int(2))]),
            r#"{"e":2,"k":["c\"<",2,null]}"#,
        );
    }

    #[test]
    fn doubles_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (2.0, "2"),
            (2.5, "2.5"),
            (-0.1, "-0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (0.000_001, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(double(value), text);
        }
    }
}
