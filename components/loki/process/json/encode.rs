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
    match std::str::from_utf8(text) {
        Ok(text) => encode_text(text.as_bytes(), to),
        Err(_) => {
            for chunk in text.utf8_chunks() {
                encode_text(chunk.valid().as_bytes(), to);
                if !chunk.invalid().is_empty() {
                    to.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        }
    }
    to.push(b'"');
}

/// Bytes that begin a character which may not stand in a string as it is: U+2028 and U+2029 begin with e2.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    let mut others: &[u8] = b"\"\\<>&\xe2";
    while let [byte, rest @ ..] = others {
        special[*byte as usize] = true;
        others = rest;
    }
    special
};

/// Appends UTF-8, runs of plain characters at once.
fn encode_text(text: &[u8], to: &mut Vec<u8>) {
    let mut copied = 0;
    for (at, byte) in text.iter().enumerate() {
        if !IS_SPECIAL[usize::from(*byte)] {
            continue;
        }
        let escaped: &[u8] = match (*byte, text.get(at + 1..at + 3)) {
            (b'"', _) => b"\\\"",
            (b'\\', _) => b"\\\\",
            (b'\n', _) => b"\\n",
            (b'\r', _) => b"\\r",
            (b'\t', _) => b"\\t",
            (0xe2, Some([0x80, 0xa8])) => b"\\u2028",
            (0xe2, Some([0x80, 0xa9])) => b"\\u2029",
            (0xe2, _) => continue,
            (byte, _) => {
                to.extend_from_slice(&text[copied..at]);
                to.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                copied = at + 1;
                continue;
            }
        };
        to.extend_from_slice(&text[copied..at]);
        to.extend_from_slice(escaped);
        copied = at + if *byte == 0xe2 { 3 } else { 1 };
    }
    to.extend_from_slice(&text[copied..]);
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
        let mut to = Vec::new();
        encode_string("a\u{20ac}\u{2029}\u{e2}\\".as_bytes(), &mut to);
        encode_string(b"x\xe2\x80<\xff", &mut to);
        assert_eq!(String::from_utf8(to).unwrap(), "\"a\u{20ac}\\u2029\u{e2}\\\\\"\"x\u{fffd}\\u003c\u{fffd}\"");
    }
}
