//! Lines as they are, with a priority in front if they have one.

use bytes::Bytes;

/// A priority is read up to here; more is no facility.
const MAX_PRIORITY: u32 = 255;

/// The priority and what is behind it. `counted`: the message came with its length, so blanks around it are its own.
/// `None`: nothing but blanks.
pub fn parse(message: &Bytes, counted: bool) -> Option<(Option<u8>, Bytes)> {
    let line = if counted { &message[..] } else { trim(message) };
    if line.is_empty() {
        return None;
    }
    let (priority, rest) = priority(line);
    Some((priority, message.slice_ref(trim(rest))))
}

/// Without blanks of any script around it.
fn trim(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

fn priority(line: &[u8]) -> (Option<u8>, &[u8]) {
    let none = (None, line);
    let Some(inside) = line.strip_prefix(b"<") else { return none };
    let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || inside.get(digits) != Some(&b'>') {
        return none;
    }
    let value = inside[..digits].iter().try_fold(0u32, |value, digit| {
        Some(value * 10 + u32::from(digit - b'0')).filter(|value| *value <= MAX_PRIORITY)
    });
    match value.and_then(|value| u8::try_from(value).ok()) {
        Some(value) => (Some(value), &inside[digits + 1..]),
        None => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_taken_off_and_anything_else_left() {
        for (line, expected) in [
            ("<34>text\n", Some((Some(34), "text"))),
            ("  <34> text ", Some((Some(34), "text"))),
            ("<256>x", Some((None, "<256>x"))),
            ("<>x", Some((None, "<>x"))),
            ("<3x", Some((None, "<3x"))),
            ("CEF:0|a|b", Some((None, "CEF:0|a|b"))),
            ("<34>", Some((Some(34), ""))),
            (" \n", None),
        ] {
            let read = parse(&Bytes::from(line), false);
            let read = read.as_ref().map(|(priority, text)| (*priority, std::str::from_utf8(text).unwrap()));
            assert_eq!(read, expected, "{line:?}");
        }
    }
}
