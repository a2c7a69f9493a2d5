//! `fmt.Sprintf` of Go, for the values that statements know.

use std::fmt::Write as _;

use base_stdx::{float, quote};

/// What can be formatted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Operand>),
    /// Something that prints itself: a time, a duration; and its Go type.
    Printed(String, &'static str),
}

/// The widest field and the most digits that Go allows.
const MAX_WIDTH: usize = 1_000_000;

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    blank: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats; as in Go, what does not fit is told in the result itself.
pub(crate) fn sprintf(format: &[u8], operands: &[Operand]) -> Vec<u8> {
    let mut out = Vec::with_capacity(format.len() + 16);
    let (mut at, mut next, mut reordered) = (0, 0, false);
    while at < format.len() {
        if format[at] != b'%' {
            out.push(format[at]);
            at += 1;
            continue;
        }
        at += 1;
        let mut flags = Flags::default();
        while let Some(flag) = format.get(at) {
            match flag {
                b'-' => flags.minus = true,
                b'+' => flags.plus = true,
                b'#' => flags.sharp = true,
                b' ' => flags.blank = true,
                b'0' => flags.zero = true,
                _ => break,
            }
            at += 1;
        }
        let mut index = |at: &mut usize, next: &mut usize| -> Option<bool> {
            if format.get(*at) != Some(&b'[') {
                return Some(false);
            }
            let close = format[*at..].iter().position(|byte| *byte == b']').map(|close| *at + close)?;
            let number: usize = std::str::from_utf8(&format[*at + 1..close]).ok()?.parse().ok()?;
            *at = close + 1;
            reordered = true;
            if number == 0 || number > operands.len() {
                return None;
            }
            *next = number - 1;
            Some(true)
        };
        let mut bad_index = index(&mut at, &mut next).is_none();
        if format.get(at) == Some(&b'*') {
            at += 1;
            match operands.get(next) {
                Some(Operand::Int(width)) if width.unsigned_abs() as usize <= MAX_WIDTH => {
                    flags.minus |= *width < 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                _ => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            next += 1;
        } else {
            flags.width = digits(format, &mut at);
        }
        if format.get(at) == Some(&b'.') {
            at += 1;
            bad_index |= index(&mut at, &mut next).is_none();
            if format.get(at) == Some(&b'*') {
                at += 1;
                match operands.get(next) {
                    Some(Operand::Int(precision)) if (0..=MAX_WIDTH as i64).contains(precision) => {
                        flags.precision = Some(*precision as usize);
                    }
                    _ => out.extend_from_slice(b"%!(BADPREC)"),
                }
                next += 1;
            } else {
                flags.precision = Some(digits(format, &mut at).unwrap_or(0));
            }
        }
        bad_index |= index(&mut at, &mut next).is_none();
        let Some(verb) = character(&format[at.min(format.len())..]) else {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        at += verb.len_utf8();
        if verb == '%' {
            out.push(b'%');
        } else if bad_index {
            out.extend_from_slice(format!("%!{verb}(BADINDEX)").as_bytes());
        } else if let Some(operand) = operands.get(next) {
            next += 1;
            one(&mut out, operand, verb, &flags);
        } else {
            out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes());
        }
    }
    if !reordered && next < operands.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (at, operand) in operands[next..].iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            if *operand == Operand::Nil {
                out.extend_from_slice(b"<nil>");
                continue;
            }
            out.extend_from_slice(type_name(operand).as_bytes());
            out.push(b'=');
            one(&mut out, operand, 'v', &Flags::default());
        }
        out.push(b')');
    }
    out
}

fn digits(format: &[u8], at: &mut usize) -> Option<usize> {
    let length = format.get(*at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = std::str::from_utf8(&format[*at..*at + length]).ok()?;
    *at += length;
    text.parse().ok().filter(|number| *number <= MAX_WIDTH)
}

fn character(bytes: &[u8]) -> Option<char> {
    let chunk = bytes.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn type_name(operand: &Operand) -> &'static str {
    match operand {
        Operand::Nil => "<nil>",
        Operand::Bool(_) => "bool",
        Operand::Int(_) => "int64",
        Operand::Float(_) => "float64",
        Operand::Text(_) => "string",
        Operand::Bytes(_) => "[]uint8",
        Operand::List(_) => "[]interface {}",
        Operand::Printed(_, name) => name,
    }
}

fn one(out: &mut Vec<u8>, operand: &Operand, verb: char, flags: &Flags) {
    if verb == 'T' {
        return pad(out, type_name(operand).as_bytes(), flags);
    }
    match (operand, verb) {
        (Operand::Nil, 'v') => pad(out, b"<nil>", flags),
        (Operand::Bool(value), 't' | 'v') => pad(out, if *value { b"true" } else { b"false" }, flags),
        (Operand::Int(value), 'd' | 'v') => integer(out, *value, 10, false, flags),
        (Operand::Int(value), 'b') => integer(out, *value, 2, false, flags),
        (Operand::Int(value), 'o' | 'O') => integer(out, *value, 8, verb == 'O', flags),
        (Operand::Int(value), 'x' | 'X') => {
            let mut digits = Vec::new();
            integer(&mut digits, *value, 16, false, flags);
            if verb == 'X' {
                digits.make_ascii_uppercase();
            }
            out.extend_from_slice(&digits);
        }
        (Operand::Int(value), 'c') => {
            let character = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            pad(out, character.to_string().as_bytes(), flags);
        }
        (Operand::Int(value), 'q') => {
            let character = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            let escaped = if character == '\'' { "\\'".to_owned() } else { character.to_string() };
            pad(out, format!("'{escaped}'").as_bytes(), flags);
        }
        (Operand::Int(value), 'U') => pad(out, format!("U+{value:04X}").as_bytes(), flags),
        (Operand::Float(value), 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'v') => floating(out, *value, verb, flags),
        (Operand::Text(text), 's' | 'v') if !(flags.sharp && verb == 'v') => pad(out, cut(text, flags), flags),
        (Operand::Text(text), 'q' | 'v') => pad(out, quote::quote(cut(text, flags)).as_bytes(), flags),
        (Operand::Bytes(text), 's') => pad(out, cut(text, flags), flags),
        (Operand::Bytes(text), 'q') => pad(out, quote::quote(cut(text, flags)).as_bytes(), flags),
        (Operand::Text(text) | Operand::Bytes(text), 'x' | 'X') => {
            let mut hex = String::new();
            let limit = flags.precision.unwrap_or(text.len()).min(text.len());
            for (at, byte) in text[..limit].iter().enumerate() {
                if flags.blank && at > 0 {
                    hex.push(' ');
                }
                if flags.sharp && (flags.blank || at == 0) {
                    hex.push_str("0x");
                }
                let _ = write!(hex, "{byte:02x}");
            }
            pad(out, if verb == 'X' { hex.to_uppercase() } else { hex }.as_bytes(), flags);
        }
        (Operand::Bytes(bytes), _) => {
            let bytes: Vec<Operand> = bytes.iter().map(|byte| Operand::Int(i64::from(*byte))).collect();
            each(out, &bytes, verb, flags);
        }
        (Operand::List(list), _) => each(out, list, verb, flags),
        (Operand::Printed(text, _), 's' | 'v') => pad(out, cut(text.as_bytes(), flags), flags),
        (Operand::Printed(text, _), 'q') => pad(out, quote::quote(text.as_bytes()).as_bytes(), flags),
        (Operand::Nil, _) => out.extend_from_slice(format!("%!{verb}(<nil>)").as_bytes()),
        _ => {
            out.extend_from_slice(format!("%!{verb}({}=", type_name(operand)).as_bytes());
            one(out, operand, 'v', &Flags::default());
            out.push(b')');
        }
    }
}

fn each(out: &mut Vec<u8>, list: &[Operand], verb: char, flags: &Flags) {
    out.push(b'[');
    for (at, operand) in list.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        one(out, operand, verb, flags);
    }
    out.push(b']');
}

/// The text up to as many characters as the precision says.
fn cut<'a>(text: &'a [u8], flags: &Flags) -> &'a [u8] {
    let Some(limit) = flags.precision else { return text };
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
    starts.nth(limit).map_or(text, |(at, _)| &text[..at])
}

fn integer(out: &mut Vec<u8>, value: i64, base: u32, prefix: bool, flags: &Flags) {
    let magnitude = value.unsigned_abs();
    let mut digits = match base {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        16 => format!("{magnitude:x}"),
        _ => magnitude.to_string(),
    };
    let sign = match (value < 0, flags.plus, flags.blank) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    if flags.precision == Some(0) && value == 0 {
        return pad(out, b"", &Flags { zero: false, precision: None, ..*flags });
    }
    let zeros = match flags.precision {
        Some(precision) => precision,
        None if flags.zero && !flags.minus => flags.width.map_or(0, |width| width.saturating_sub(sign.len())),
        None => 0,
    };
    while digits.len() < zeros {
        digits.insert(0, '0');
    }
    let lead = match base {
        2 if flags.sharp => "0b",
        16 if flags.sharp => "0x",
        8 if prefix => "0o",
        8 if flags.sharp && !digits.starts_with('0') => "0",
        _ => "",
    };
    pad(out, format!("{sign}{lead}{digits}").as_bytes(), &Flags { zero: false, ..*flags });
}

fn floating(out: &mut Vec<u8>, value: f64, verb: char, flags: &Flags) {
    let text = match (verb, flags.precision) {
        ('v', None) => float::general(value),
        ('v', precision) => float::format(value, 'g', precision),
        ('g', None) => float::general(value),
        ('G', None) => float::general(value).to_uppercase(),
        ('g' | 'G', precision) => float::format(value, verb, precision),
        (_, precision) => float::format(value, verb, Some(precision.unwrap_or(6))),
    };
    if !value.is_finite() {
        return pad(out, text.as_bytes(), &Flags { zero: false, precision: None, ..*flags });
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None if flags.plus => ("+", text.as_str()),
        None if flags.blank => (" ", text.as_str()),
        None => ("", text.as_str()),
    };
    let width = flags.width.unwrap_or(0);
    if flags.zero && !flags.minus && width > sign.len() + digits.len() {
        let zeros = "0".repeat(width - sign.len() - digits.len());
        out.extend_from_slice(format!("{sign}{zeros}{digits}").as_bytes());
        return;
    }
    pad(out, format!("{sign}{digits}").as_bytes(), flags);
}

fn pad(out: &mut Vec<u8>, text: &[u8], flags: &Flags) {
    let characters = text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let missing = flags.width.unwrap_or(0).saturating_sub(characters);
    let filler = if flags.zero && !flags.minus { b'0' } else { b' ' };
    if flags.minus {
        out.extend_from_slice(text);
        out.resize(out.len() + missing, b' ');
    } else {
        out.resize(out.len() + missing, filler);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operand::*;

    fn print(format: &str, operands: &[Operand]) -> String {
        String::from_utf8(sprintf(format.as_bytes(), operands)).unwrap()
    }

    #[test]
    fn formats_as_go_does() {
        let text = |text: &str| Text(text.as_bytes().to_vec());
        assert_eq!(print("%s-%03d-%.1f", &[text("x"), Int(7), Float(2.55)]), "x-007-2.5");
        assert_eq!(
            print("%5s|%-5s|%05d|%+d|% d", &[text("ü"), text("b"), Int(-42), Int(5), Int(5)]),
            "    ü|b    |-0042|+5| 5"
        );
        assert_eq!(
            print("%x %X %#x %o %b %c %U", &[Int(255), Int(255), Int(255), Int(8), Int(5), Int(65), Int(0x1f600)]),
            "ff FF 0xff 10 101 A U+1F600"
        );
        assert_eq!(print("%v %v %v %v", &[Nil, Bool(true), Float(1e6), Float(1e21)]), "<nil> true 1e+06 1e+21");
        assert_eq!(
            print("%g %e %8.2f|%-8.2f|%08.2f", &[Float(0.00001), Float(1234.5), Float(1.005), Float(2.5), Float(-2.5)]),
            "1e-05 1.234500e+03     1.00|2.50    |-0002.50"
        );
        assert_eq!(print("%q %x %.2s", &[text("a\"b"), text("hi"), text("äöü")]), "\"a\\\"b\" 6869 äö");
        assert_eq!(print("%d %s", &[text("x"), Int(1)]), "%!d(string=x) %!s(int64=1)");
        assert_eq!(print("%d %d", &[Int(1)]), "1 %!d(MISSING)");
        assert_eq!(print("a", &[Int(1), text("x")]), "a%!(EXTRA int64=1, string=x)");
        assert_eq!(print("%[2]s %[1]d %%", &[Int(1), text("x")]), "x 1 %");
        assert_eq!(print("%*d|%", &[Int(4), Int(7)]), "   7|%!(NOVERB)");
        assert_eq!(print("%v %s", &[List(vec![Int(1), text("a")]), Bytes(b"ok".to_vec())]), "[1 a] ok");
        assert_eq!(print("%t %z", &[Int(1), Int(2)]), "%!t(int64=1) %!z(int64=2)");
    }
}
