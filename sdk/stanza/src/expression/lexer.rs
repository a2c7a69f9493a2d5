//! From text to words, each with its place.

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: [&str; 32] = [
    "**", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "+", "-", "*", "/", "%", "^", "<", ">", "!", "(", ")",
    "[", "]", "{", "}", ",", ":", "?", ".", "|", "#", ";",
];

/// The words with the byte at which each begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, (usize, String)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        if next.is_whitespace() {
            at += next.len_utf8();
        } else if rest.starts_with("//") {
            at = rest.find('\n').map_or(text.len(), |end| at + end);
        } else if rest.starts_with("/*") {
            at += rest.find("*/").ok_or((at, "the remark has no end".to_owned()))? + 2;
        } else if matches!(next, '"' | '\'' | '`') {
            let (word, length) = quoted(rest, next).map_err(|(offset, what)| (at + offset, what))?;
            tokens.push((Token::Text(word), at));
            at += length;
        } else if next.is_ascii_digit() || (next == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let (token, length) = number(rest).ok_or((at, "this is no number".to_owned()))?;
            tokens.push((token, at));
            at += length;
        } else if is_name(next) {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            tokens.push((Token::Name(rest[..length].to_owned()), at));
            at += length;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push((Token::Sign(sign), at));
            at += sign.len();
        } else {
            return Err((at, format!("{next:?} means nothing here")));
        }
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn is_name(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

/// The text between quotes, and how long it is with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), (usize, String)> {
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Ok((out, at + 1));
        }
        if character != '\\' || quote == '`' {
            out.push(character);
            continue;
        }
        let wrong = (at, "this is no escape".to_owned());
        let Some((_, escape)) = characters.next() else { break };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => {
                out.push(match escape {
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    '\\' | '\'' | '"' | '`' | '?' => escape,
                    _ => return Err(wrong),
                });
                continue;
            }
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = characters.next().and_then(|(_, digit)| digit.to_digit(16)).ok_or(wrong.clone())?;
            code = code << 4 | digit;
        }
        out.push(char::from_u32(code).ok_or(wrong)?);
    }
    Err((0, "the text has no end".to_owned()))
}

fn number(text: &str) -> Option<(Token, usize)> {
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let value = i64::from_str_radix(&rest[..length].replace('_', ""), radix).ok()?;
            return Some((Token::Int(value), prefix.len() + length));
        }
    }
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'_') {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    let whole = end;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign);
    }
    if text[end..].starts_with(is_name) {
        return None;
    }
    let plain = text[..end].replace('_', "");
    let token = if end == whole { Token::Int(plain.parse().ok()?) } else { Token::Float(plain.parse().ok()?) };
    Some((token, end))
}
