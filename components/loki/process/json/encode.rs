//! Values as JSON text, escaped as Go's encoder escapes: `<`, `>`, `&` and the line separators too.

use super::tree::Json;

/// Appends a value as JSON. Object keys stay in the order of the text.
pub fn encode(value: &Json<'_>, to: &mut Vec<u8>) {
    match value {
        Json::Null => to.extend_from_slice(b"null"),
        Json::Bool(true) => to.extend_from_slice(b"true"),
        Json::Bool(false) => to.extend_from_slice(b"false"),
        // JSON has no infinity; what was too large for a float is written as the largest.
        Json::Number(number) => {
            let number = base_stdx::float::json(number.clamp(f64::MIN, f64::MAX));
            to.extend_from_slice(number.as_deref().unwrap_or("null").as_bytes());
        }
        Json::String(text) => encode_string(text.as_bytes(), to),
        Json::Array(elements) => {
            to.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                encode(element, to);
            }
            to.push(b']');
        }
        Json::Object(fields) => {
            to.push(b'{');
            for (at, (key, value)) in fields.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                encode_string(key.as_bytes(), to);
                to.push(b':');
                encode(value, to);
            }
            to.push(b'}');
        }
    }
}

/// Appends a text as a JSON string. Bytes that are no UTF-8 become the replacement character.
pub fn encode_string(text: &[u8], to: &mut Vec<u8>) {
    to.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => to.extend_from_slice(b"\\\""),
                '\\' => to.extend_from_slice(b"\\\\"),
                '\n' => to.extend_from_slice(b"\\n"),
                '\r' => to.extend_from_slice(b"\\r"),
                '\t' => to.extend_from_slice(b"\\t"),
                '\0'..'\x20' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    to.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes());
                }
                _ => to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            to.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re_encoded_as_go_encodes() {
        let text = r#"{"z": 1.50, "a":"<b>&\u2028\u0001\"\n", "l":[ 1e21, true, null], "z":2}"#;
        let mut to = Vec::new();
        encode(&Json::parse(text.as_bytes()).unwrap(), &mut to);
        let expected = r#"{"z":2,"a":"\u003cb\u003e\u0026\u2028\u0001\"\n","l":[1e+21,true,null]}"#;
        assert_eq!(String::from_utf8(to).unwrap(), expected);
    }
}
