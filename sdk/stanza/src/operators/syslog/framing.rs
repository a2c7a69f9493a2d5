//! Messages in one text, as streams of syslog frame them (RFC 6587). Of several the last one counts, as in the Collector.

use sdk_protocols_syslog::{Message, Unreadable};

/// `12 <34>1 …`: each behind its length, with line ends between them at most. What cannot be read is passed over when something follows.
pub(super) fn counted<'a>(
    mut rest: &'a [u8],
    longest: usize,
    parse: impl Fn(&'a [u8]) -> Result<Message<'a>, Unreadable>,
) -> Result<Message<'a>, String> {
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || rest[0] == b'0' {
            return Err("a message has no length in front".to_owned());
        }
        let length = rest[..digits]
            .iter()
            .try_fold(0usize, |length, digit| length.checked_mul(10)?.checked_add(usize::from(digit - b'0')));
        let length = length.filter(|length| *length <= longest);
        let length = length.ok_or_else(|| format!("the length of a message exceeds the maximum of {longest}"))?;
        rest = rest[digits..].strip_prefix(b" ").ok_or("there is no blank behind the length of a message")?;
        if rest.first() != Some(&b'<') || rest.len() < length {
            return Err(format!("there is no message of {length} bytes behind its length"));
        }
        let message;
        (message, rest) = rest.split_at(length);
        let read = parse(message);
        // NUL is the end.
        if matches!(rest.first(), None | Some(0)) {
            return read.map_err(|error| error.to_string());
        }
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
}

/// `<34>1 …⏎` each before a byte. A piece that does not begin with `<` belongs to the message before it; what has no end is a message
/// of its own.
pub(super) fn ended(bytes: &[u8], trailer: u8) -> Option<&[u8]> {
    let end = bytes.iter().rposition(|byte| *byte == trailer);
    let (whole, last) = bytes.split_at(end.map_or(0, |end| end + 1));
    if !last.is_empty() {
        return Some(last);
    }
    let whole = whole.strip_suffix(&[trailer])?;
    if whole.first() != Some(&b'<') {
        return None;
    }
    let begin = whole.windows(2).rposition(|pair| pair == [trailer, b'<']).map_or(0, |end| end + 1);
    Some(&whole[begin..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_counts() {
        for (text, expected) in [
            ("<1>a", Some("<1>a")),
            ("<1>a;", Some("<1>a")),
            ("<1>a;<2>b;", Some("<2>b")),
            ("<1>a;<2>b", Some("<2>b")),
            ("<1>a;b;", Some("<1>a;b")),
            ("<1>a;b;<2>c;d;", Some("<2>c;d")),
            ("a;<1>b;", None),
            ("a;<1>b", Some("<1>b")),
            (";", None),
            ("", None),
        ] {
            assert_eq!(
                ended(text.as_bytes(), b';').map(|bytes| std::str::from_utf8(bytes).unwrap()),
                expected,
                "{text}"
            );
        }
    }
}
