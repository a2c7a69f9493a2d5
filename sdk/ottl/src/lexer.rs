//! A statement taken apart into tokens.

use std::ops::Range;

use base_stdx::quote::unquote;

use crate::fault::Blame;

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `0x1f`
    Bytes(Vec<u8>),
    Float(f64),
    Int(i64),
    /// A quoted text, unquoted.
    Text(Vec<u8>),
    /// A name that begins with a small letter; keywords apart.
    Lower(String),
    /// A name that begins with a capital.
    Upper(String),
    Underscore,
    Nil,
    True,
    False,
    Not,
    And,
    Or,
    Where,
    Compare(Comparison),
    /// `=>`
    Arrow,
    /// `=`
    Equal,
    /// One of `+-*/(){}[]:,.`
    Sign(u8),
    End,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The tokens of a text; the last is [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Blame> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (kind, length) = token(text, at)?;
        tokens.push(Token { kind, at: at..at + length });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at: text.len()..text.len() });
    Ok(tokens)
}

fn token(text: &str, at: usize) -> Result<(Kind, usize), Blame> {
    let rest = &text.as_bytes()[at..];
    let two = |kind| Ok((kind, 2));
    match rest {
        [b'0', b'x', digit, ..] if digit.is_ascii_hexdigit() => hexadecimal(rest, at),
        [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => number(text, at),
        [b'"', ..] => quoted(rest, at),
        [b'=', b'=', ..] => two(Kind::Compare(Comparison::Equal)),
        [b'!', b'=', ..] => two(Kind::Compare(Comparison::NotEqual)),
        [b'>', b'=', ..] => two(Kind::Compare(Comparison::GreaterOrEqual)),
        [b'<', b'=', ..] => two(Kind::Compare(Comparison::LessOrEqual)),
        [b'=', b'>', ..] => two(Kind::Arrow),
        [b'>', ..] => Ok((Kind::Compare(Comparison::Greater), 1)),
        [b'<', ..] => Ok((Kind::Compare(Comparison::Less), 1)),
        [b'=', ..] => Ok((Kind::Equal, 1)),
        [b'+' | b'-' | b'*' | b'/' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b':' | b',' | b'.', ..] => {
            Ok((Kind::Sign(rest[0]), 1))
        }
        [b'_', ..] if !rest.get(1).is_some_and(|byte| is_word(*byte)) => Ok((Kind::Underscore, 1)),
        [first, ..] if first.is_ascii_alphabetic() => Ok(word(text, at)),
        _ => {
            let character = text[at..].chars().next().unwrap_or_default();
            Err(Blame::new(at..at + character.len_utf8(), format!("unexpected character {character:?}")))
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word(text: &str, at: usize) -> (Kind, usize) {
    let length = text.as_bytes()[at..].iter().take_while(|byte| is_word(**byte)).count();
    let word = &text[at..at + length];
    let kind = match word {
        "nil" => Kind::Nil,
        "true" => Kind::True,
        "false" => Kind::False,
        "not" => Kind::Not,
        "and" => Kind::And,
        "or" => Kind::Or,
        "where" => Kind::Where,
        _ if word.as_bytes()[0].is_ascii_uppercase() => Kind::Upper(word.to_owned()),
        _ => Kind::Lower(word.to_owned()),
    };
    (kind, length)
}

fn hexadecimal(rest: &[u8], at: usize) -> Result<(Kind, usize), Blame> {
    let digits = &rest[2..2 + rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count()];
    let length = 2 + digits.len();
    if digits.len() % 2 == 1 {
        return Err(Blame::new(at..at + length, "bytes need an even number of hexadecimal digits"));
    }
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
    let bytes = digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    Ok((Kind::Bytes(bytes), length))
}

/// `12`, `1.5`, `.5`, `1.`, `1.5e-3`. A sign is a token of its own; an exponent needs a point.
fn number(text: &str, at: usize) -> Result<(Kind, usize), Blame> {
    let bytes = &text.as_bytes()[at..];
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    if bytes.get(length) != Some(&b'.') {
        let blame = |_| Blame::new(at..at + length, "the number does not fit into 64 bits");
        return Ok((Kind::Int(text[at..at + length].parse().map_err(blame)?), length));
    }
    length += 1;
    length += digits(length);
    if let Some(b'e' | b'E') = bytes.get(length) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(length + 1 + sign..).map_or(0, |_| digits(length + 1 + sign));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    let value: f64 = text[at..at + length].parse().map_err(|_| Blame::new(at..at + length, "this is no number"))?;
    if value.is_infinite() {
        return Err(Blame::new(at..at + length, "the number is too large"));
    }
    Ok((Kind::Float(value), length))
}

fn quoted(rest: &[u8], at: usize) -> Result<(Kind, usize), Blame> {
    let mut length = 1;
    loop {
        match rest.get(length) {
            None => return Err(Blame::new(at..at + 1, "the text has no closing quote")),
            Some(b'"') => break,
            Some(b'\\') => length += 2,
            Some(_) => length += 1,
        }
    }
    let literal = &rest[..=length];
    match unquote(literal) {
        Some(text) => Ok((Kind::Text(text), length + 1)),
        None => {
            let message =
                "the text holds an escape sequence that does not exist (a backslash is written \\\\) or a line break";
            Err(Blame::new(at..at + length + 1, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn every_kind_of_token() {
        assert_eq!(
            kinds(r#"a.b["x\n"]==0x0aff>=-.5 1.e 1.5e-3 IsMatch nilly nil _"#),
            [
                Kind::Lower("a".into()),
                Kind::Sign(b'.'),
                Kind::Lower("b".into()),
                Kind::Sign(b'['),
                Kind::Text(b"x\n".to_vec()),
                Kind::Sign(b']'),
                Kind::Compare(Comparison::Equal),
                Kind::Bytes(vec![0x0a, 0xff]),
                Kind::Compare(Comparison::GreaterOrEqual),
                Kind::Sign(b'-'),
                Kind::Float(0.5),
                Kind::Float(1.0),
                Kind::Lower("e".into()),
                Kind::Float(0.0015),
                Kind::Upper("IsMatch".into()),
                Kind::Lower("nilly".into()),
                Kind::Nil,
                Kind::Underscore,
                Kind::End,
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_blamed_where_it_is() {
        for (text, at, message) in [
            ("a ~ b", 2..3, "unexpected character '~'"),
            ("\"abc", 0..1, "the text has no closing quote"),
            ("x 0xabc", 2..7, "bytes need an even number of hexadecimal digits"),
            ("99999999999999999999", 0..20, "the number does not fit into 64 bits"),
        ] {
            assert_eq!(tokens(text), Err(Blame::new(at, message)), "{text}");
        }
        assert!(tokens(r#""\d""#).is_err());
    }
}
