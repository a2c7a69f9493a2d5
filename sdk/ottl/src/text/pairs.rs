//! `k1=v1 k2="v 2"`: pairs, with quotes minded.

/// Splits at a delimiter outside quotes. Quotes go away; empty parts do too.
pub fn split(input: &[u8], delimiter: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (mut parts, mut current) = (Vec::new(), Vec::new());
    let mut quote = None;
    let mut escaped = false;
    let mut at = 0;
    while at < input.len() {
        if quote.is_none() && input[at..].starts_with(delimiter) {
            if !current.is_empty() {
                parts.push(std::mem::take(&mut current));
            }
            at += delimiter.len();
            continue;
        }
        let byte = input[at];
        at += 1;
        if escaped {
            escaped = false;
        } else {
            match quote {
                None if matches!(byte, b'"' | b'\'') => {
                    quote = Some(byte);
                    continue;
                }
                Some(open) if open == byte => {
                    quote = None;
                    continue;
                }
                _ => escaped = byte == b'\\',
            }
        }
        current.push(byte);
    }
    if quote.is_some() {
        return Err("never reached the end of a quoted value".to_owned());
    }
    if !current.is_empty() {
        parts.push(current);
    }
    Ok(parts)
}

/// A key and its value, both without blanks around them.
pub fn pair<'a>(part: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(part, delimiter)?;
    Some((part[..at].trim_ascii(), part[at + delimiter.len()..].trim_ascii()))
}

/// Where one text stands in another.
pub fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    text.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(input: &str, delimiter: &str) -> Vec<String> {
        let parts = split(input.as_bytes(), delimiter.as_bytes()).unwrap();
        parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn quotes_hold_delimiters_and_go_away() {
        assert_eq!(parts("k1=v1  k2=\"v 2\" 'a b'", " "), ["k1=v1", "k2=v 2", "a b"]);
        assert_eq!(parts("a||b", "|"), ["a", "b"]);
        assert_eq!(parts(r#"a=\"x y"#, " "), [r#"a=\"x"#, "y"]);
        assert!(split(b"a=\"b", b" ").is_err());
        assert_eq!(pair(b" a = b=c", b"="), Some((&b"a"[..], &b"b=c"[..])));
        assert_eq!(pair(b"a", b"="), None);
    }
}
