//! `string.format`: Go's `Sprintf`, mistakes included (`%!d(string=x)`), under a bound.

use base_stdx::{float, quote};

use super::arguments::{bounded, get, holds_secret, tainted};
use crate::value::{FunctionError, Number, Text, Value};

/// The largest width or precision; beyond it Go takes the number for no number.
const MAX_NUMBER: usize = 1_000_000;

/// More digits than any float has.
const ALL_DIGITS: usize = 1100;

/// A format and its values to a text; a secret text if there is a secret among the values.
pub fn format(arguments: &[Value]) -> Result<Value, FunctionError> {
    if arguments.is_empty() {
        return Err(FunctionError::new("expected at least 1 args, got 0"));
    }
    let format: Text = get(arguments, 0)?;
    let mut printer = Printer {
        out: Vec::new(),
        format: format.as_bytes(),
        at: 0,
        values: &arguments[1..],
        next: 0,
        reordered: false,
    };
    printer.run()?;
    let secret = arguments[1..].iter().any(holds_secret);
    Ok(tainted(Text::from(printer.out), secret))
}

struct Printer<'a> {
    out: Vec<u8>,
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    /// The value that the next verb prints.
    next: usize,
    /// `%[2]d` was used, so left-over values are no mistake.
    reordered: bool,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`: as Go would write it.
    source: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Printer<'_> {
    fn run(&mut self) -> Result<(), FunctionError> {
        while self.at < self.format.len() {
            bounded(self.out.len())?;
            let rest = &self.format[self.at..];
            let plain = memchr::memchr(b'%', rest).unwrap_or(rest.len());
            self.out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if self.at < self.format.len() {
                self.at += 1;
                self.verb()?;
            }
        }
        if !self.reordered && self.next < self.values.len() {
            self.out.extend(b"%!(EXTRA ");
            let extra = &self.values[self.next..];
            for (at, value) in extra.iter().enumerate() {
                if at > 0 {
                    self.out.extend(b", ");
                }
                self.print_typed(value, Flags::default())?;
            }
            self.out.push(b')');
        }
        Ok(())
    }

    fn verb(&mut self) -> Result<(), FunctionError> {
        let mut flags = Flags::default();
        while let Some(flag) = self.peek() {
            match flag {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut good_index = true;
        self.index(&mut good_index);
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = Some(width.unsigned_abs());
                }
                None => self.out.extend(b"%!(BADWIDTH)"),
            }
        } else {
            flags.width = self.number();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.index(&mut good_index);
            if self.peek() == Some(b'*') {
                self.at += 1;
                match self.star() {
                    Some(precision) if precision >= 0 => flags.precision = Some(precision.unsigned_abs()),
                    Some(_) => {}
                    None => self.out.extend(b"%!(BADPREC)"),
                }
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        self.index(&mut good_index);
        let Some(verb) = self.character() else {
            self.out.extend(b"%!(NOVERB)");
            return Ok(());
        };
        if verb == '%' {
            self.out.push(b'%');
        } else if !good_index {
            self.out.extend(format!("%!{verb}(BADINDEX)").bytes());
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            if matches!(verb, 'v' | 'w') {
                flags.source = flags.sharp;
                flags.sharp = false;
                flags.plus = false;
            }
            self.print(value, verb, flags)?;
        } else {
            self.out.extend(format!("%!{verb}(MISSING)").bytes());
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn character(&mut self) -> Option<char> {
        let rest = self.format.get(self.at..).filter(|rest| !rest.is_empty())?;
        let chunk = rest.utf8_chunks().next()?;
        let character = chunk.valid().chars().next();
        self.at += character.map_or(1, char::len_utf8);
        Some(character.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// A width or precision written out. One that is too large swallows the rest of the format, as it does in Go.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let value = number.unwrap_or(0) * 10 + usize::from(digit - b'0');
            if value > MAX_NUMBER {
                self.at = self.format.len();
                return None;
            }
            number = Some(value);
            self.at += 1;
        }
        number
    }

    /// The next value as a width or precision.
    fn star(&mut self) -> Option<isize> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Number(Number::Int(number)) => isize::try_from(*number).ok()?,
            _ => return None,
        };
        (number.unsigned_abs() <= MAX_NUMBER).then_some(number)
    }

    /// `[2]`: which value comes next.
    fn index(&mut self, good: &mut bool) {
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at + 1..];
        let Some(end) = memchr::memchr(b']', rest) else {
            *good = false;
            self.at += 1;
            return;
        };
        self.at += end + 2;
        let index = std::str::from_utf8(&rest[..end]).ok().and_then(|digits| digits.parse::<usize>().ok());
        match index {
            Some(index) if (1..=self.values.len()).contains(&index) => self.next = index - 1,
            _ => *good = false,
        }
    }

    fn print(&mut self, value: &Value, verb: char, flags: Flags) -> Result<(), FunctionError> {
        bounded(self.out.len() + flags.width.unwrap_or(0))?;
        if verb == 'T' {
            let name = go_type(value);
            self.pad(first_characters(name.as_bytes(), flags.precision.unwrap_or(usize::MAX)), flags);
            return Ok(());
        }
        match value {
            Value::Array(_) | Value::Object(_) if verb == 'w' => self.bad_verb(value, verb, flags)?,
            Value::Array(items) => {
                self.out.extend(if flags.source { &b"[]interface {}{"[..] } else { b"[" });
                for (at, item) in items.iter().enumerate() {
                    self.separate(at, flags);
                    self.print_inner(item, verb, flags)?;
                }
                self.out.push(if flags.source { b'}' } else { b']' });
            }
            Value::Object(object) => {
                self.out.extend(if flags.source { &b"map[string]interface {}{"[..] } else { b"map[" });
                for (at, (name, field)) in object.iter().enumerate() {
                    self.separate(at, flags);
                    self.print_text(name.as_bytes(), verb, flags)?;
                    self.out.push(b':');
                    self.print_inner(field, verb, flags)?;
                }
                self.out.push(if flags.source { b'}' } else { b']' });
            }
            Value::Null if verb == 'v' => self.pad(b"<nil>", flags),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(truth.to_string().as_bytes(), flags),
            Value::Number(Number::Int(number)) => self.print_whole(i128::from(*number), verb, flags, value)?,
            Value::Number(Number::Uint(number)) => self.print_whole(i128::from(*number), verb, flags, value)?,
            Value::Number(Number::Float(number)) => self.print_float(*number, verb, flags, value)?,
            Value::String(text) => self.print_text(text.as_bytes(), verb, flags)?,
            Value::Secret(secret) => self.print_text(secret.value.as_bytes(), verb, flags)?,
            Value::Target(_) | Value::Capsule(_) | Value::Function(_) if matches!(verb, 'v' | 's') => {
                self.pad(shown(value).as_bytes(), flags);
            }
            _ => self.bad_verb(value, verb, flags)?,
        }
        Ok(())
    }

    /// What stands inside a list or an object: there, nothing is no mistake for any verb.
    fn print_inner(&mut self, value: &Value, verb: char, flags: Flags) -> Result<(), FunctionError> {
        match value {
            Value::Null => self.out.extend(if flags.source { &b"interface {}(nil)"[..] } else { b"<nil>" }),
            value => self.print(value, verb, flags)?,
        }
        Ok(())
    }

    fn separate(&mut self, at: usize, flags: Flags) {
        if at > 0 {
            self.out.extend(if flags.source { &b", "[..] } else { b" " });
        }
    }

    /// `%!d(string=x)`, with the width and the rest of what was asked for the number.
    fn bad_verb(&mut self, value: &Value, verb: char, flags: Flags) -> Result<(), FunctionError> {
        self.out.extend(format!("%!{verb}(").bytes());
        self.print_typed(value, flags)?;
        self.out.push(b')');
        Ok(())
    }

    /// `int=5`
    fn print_typed(&mut self, value: &Value, flags: Flags) -> Result<(), FunctionError> {
        if value.is_null() {
            self.out.extend(b"<nil>");
            return Ok(());
        }
        self.out.extend(go_type(value).bytes());
        self.out.push(b'=');
        self.print(value, 'v', flags)
    }

    fn print_text(&mut self, text: &[u8], verb: char, flags: Flags) -> Result<(), FunctionError> {
        // Bytes are counted where bytes are written, and characters where those are.
        let cut = match flags.precision {
            Some(precision) if matches!(verb, 'x' | 'X') => &text[..precision.min(text.len())],
            Some(precision) => first_characters(text, precision),
            None => text,
        };
        match verb {
            'v' if flags.source => self.pad(quote::quote(cut).as_bytes(), flags),
            'v' | 's' => self.pad(cut, flags),
            'q' if flags.sharp && !cut.contains(&b'`') && !cut.iter().any(u8::is_ascii_control) => {
                self.pad(&[b"`", cut, b"`"].concat(), flags);
            }
            'q' if flags.plus => self.pad(in_ascii(&quote::quote(cut)).as_bytes(), flags),
            'q' => self.pad(quote::quote(cut).as_bytes(), flags),
            'x' | 'X' => {
                bounded(cut.len() * 5)?;
                let separator = if flags.space { " " } else { "" };
                let prefix = if flags.sharp { if verb == 'x' { "0x" } else { "0X" } } else { "" };
                let mut hex = String::new();
                for (at, byte) in cut.iter().enumerate() {
                    if at > 0 {
                        hex.push_str(separator);
                    }
                    if at == 0 || flags.space {
                        hex.push_str(prefix);
                    }
                    hex.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(hex.as_bytes(), flags);
            }
            _ => self.bad_verb(&Value::String(Text::from_bytes(text)), verb, flags)?,
        }
        Ok(())
    }

    fn print_whole(&mut self, number: i128, verb: char, flags: Flags, value: &Value) -> Result<(), FunctionError> {
        let magnitude = number.unsigned_abs();
        let (mut digits, prefix) = match verb {
            'v' if flags.source && matches!(value, Value::Number(Number::Uint(_))) => (format!("{magnitude:x}"), "0x"),
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if flags.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), ""),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if flags.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if flags.sharp { "0X" } else { "" }),
            'c' => {
                let character = character_of(number);
                self.pad(character.to_string().as_bytes(), flags);
                return Ok(());
            }
            'q' => {
                let quoted = quote::quote(character_of(number).to_string().as_bytes());
                let quoted = if flags.plus { in_ascii(&quoted) } else { quoted };
                let inner = quoted.trim_matches('"').replace("\\\"", "\"").replace('\'', "\\'");
                self.pad(format!("'{inner}'").as_bytes(), flags);
                return Ok(());
            }
            'U' => {
                let digits = flags.precision.unwrap_or(4).max(4);
                // The bits of a negative number, as Go shows them.
                let bits = number as u64;
                let mut text = format!("U+{}", zero_filled(&format!("{bits:X}"), digits));
                if flags.sharp && u32::try_from(bits).ok().and_then(char::from_u32).is_some() {
                    text.push_str(&format!(" '{}'", character_of(number)));
                }
                self.pad(text.as_bytes(), Flags { zero: false, ..flags });
                return Ok(());
            }
            _ => return self.bad_verb(value, verb, flags),
        };
        let sign = match (number < 0, flags.plus, flags.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        match (flags.precision, flags.width) {
            (Some(0), _) if number == 0 => {
                self.pad(b"", Flags { zero: false, ..flags });
                return Ok(());
            }
            (Some(precision), _) => digits = zero_filled(&digits, precision),
            // The width counts digits and sign, but not what `#` and `O` put between them.
            (None, Some(width)) if flags.zero && !flags.minus => {
                digits = zero_filled(&digits, width.saturating_sub(sign.len()));
            }
            _ => {}
        }
        if flags.sharp && matches!(verb, 'o' | 'O') && !digits.starts_with('0') {
            digits.insert(0, '0');
        }
        self.pad(format!("{sign}{prefix}{digits}").as_bytes(), Flags { zero: false, ..flags });
        Ok(())
    }

    fn print_float(&mut self, number: f64, verb: char, flags: Flags, value: &Value) -> Result<(), FunctionError> {
        let precision = flags.precision.map(|digits| digits.min(ALL_DIGITS));
        let mut text = match verb {
            'v' | 'g' => float::format(number, 'g', precision),
            'G' => float::format(number, verb, precision),
            'e' | 'E' | 'f' | 'F' => with_digits(number, verb, flags.precision.unwrap_or(6)),
            'b' if number.is_finite() => binary(number),
            'x' | 'X' if number.is_finite() => hexadecimal(number, verb == 'X', precision),
            'b' | 'x' | 'X' => float::format(number, 'g', None),
            _ => return self.bad_verb(value, verb, flags),
        };
        if flags.sharp && verb != 'b' && number.is_finite() {
            let shown = matches!(verb, 'v' | 'g' | 'G').then(|| flags.precision.unwrap_or(6));
            text = with_point(&text, shown);
        }
        bounded(text.len())?;
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None if flags.plus => ("+", text.trim_start_matches('+')),
            None if flags.space => (" ", text.trim_start_matches('+')),
            None if number.is_infinite() => ("", text.as_str()),
            None => ("", text.trim_start_matches('+')),
        };
        self.pad_number(sign, digits, Flags { zero: flags.zero && number.is_finite(), ..flags });
        Ok(())
    }

    /// Zeros go between the sign and the digits, blanks before or after both.
    fn pad_number(&mut self, sign: &str, digits: &str, flags: Flags) {
        let length = sign.len() + digits.len();
        let missing = flags.width.unwrap_or(0).saturating_sub(length);
        if flags.zero && !flags.minus {
            self.out.extend(sign.bytes());
            self.out.extend(std::iter::repeat_n(b'0', missing));
            self.out.extend(digits.bytes());
        } else {
            self.pad(format!("{sign}{digits}").as_bytes(), Flags { zero: false, ..flags });
        }
    }

    fn pad(&mut self, text: &[u8], flags: Flags) {
        let width: usize = text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
        let missing = flags.width.unwrap_or(0).saturating_sub(width);
        if flags.minus {
            self.out.extend_from_slice(text);
            self.out.extend(std::iter::repeat_n(b' ', missing));
        } else {
            self.out.extend(std::iter::repeat_n(if flags.zero { b'0' } else { b' ' }, missing));
            self.out.extend_from_slice(text);
        }
    }
}

/// The number with so many digits behind the point; those that no float has are zeros.
fn with_digits(number: f64, verb: char, digits: usize) -> String {
    let mut text = float::format(number, verb, Some(digits.min(ALL_DIGITS)));
    if digits > ALL_DIGITS && number.is_finite() {
        let end = text.find(['e', 'E']).unwrap_or(text.len());
        text.insert_str(end, &"0".repeat(digits - ALL_DIGITS));
    }
    text
}

/// With a point, and as many digits as were asked for, zeros at the end included.
fn with_point(text: &str, digits: Option<usize>) -> String {
    let end = text.find(['e', 'E', 'p', 'P']).unwrap_or(text.len());
    let (number, exponent) = text.split_at(end);
    let bare = number.trim_start_matches(['-', '+']);
    let significant = bare.replace('.', "");
    // A lone zero is a digit, zeros before other digits are not.
    let known = significant.trim_start_matches('0').len().max(usize::from(bare == "0"));
    let point = if number.contains('.') { "" } else { "." };
    format!("{number}{point}{}{exponent}", "0".repeat(digits.unwrap_or(0).min(MAX_NUMBER).saturating_sub(known)))
}

/// The digits of the mantissa and the power of two: `6755399441055744p-52` is 1.5.
fn binary(number: f64) -> String {
    let (mantissa, exponent) = parts(number);
    format!("{}{mantissa}p{exponent:+}", if number.is_sign_negative() { "-" } else { "" })
}

/// A mantissa of 53 bits and the power of two that it is multiplied with.
fn parts(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), ((bits >> 52) & 0x7ff) as i32);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// `0x1.8p+00`
fn hexadecimal(number: f64, upper: bool, precision: Option<usize>) -> String {
    let (mantissa, exponent) = parts(number);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    // One bit before the point and 60 behind it, which are 15 digits.
    let (mut bits, mut exponent) = match mantissa.leading_zeros() {
        64 => (0, 0),
        zeros => (u128::from(mantissa) << (zeros - 3), exponent + 63 - zeros as i32),
    };
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let (unit, rest) = (1_u128 << (60 - 4 * precision), bits & ((1 << (60 - 4 * precision)) - 1));
        bits -= rest;
        if rest * 2 > unit || rest * 2 == unit && bits & unit != 0 {
            bits += unit;
        }
        if bits >> 61 != 0 {
            bits >>= 1;
            exponent += 1;
        }
    }
    let mut digits = format!("{:015x}", bits & ((1 << 60) - 1));
    match precision {
        Some(precision) => {
            digits.truncate(precision);
            digits.push_str(&"0".repeat(precision - digits.len()));
        }
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    let point = if digits.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("{sign}0x{}{point}{digits}p{exponent_sign}{:02}", bits >> 60, exponent.abs());
    if upper { text.to_uppercase() } else { text }
}

/// A quoted text with escapes for all that is not ASCII.
fn in_ascii(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    for character in quoted.chars() {
        match u32::from(character) {
            0..=0x7f => text.push(character),
            code @ 0x80..=0xffff => text.push_str(&format!("\\u{code:04x}")),
            code => text.push_str(&format!("\\U{code:08x}")),
        }
    }
    text
}

/// Zeros in front of the digits, up to a length. (Rust's own formatting takes no length beyond 65,535.)
fn zero_filled(digits: &str, length: usize) -> String {
    "0".repeat(length.saturating_sub(digits.len())) + digits
}

fn character_of(number: i128) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn first_characters(text: &[u8], count: usize) -> &[u8] {
    let mut end = 0;
    let mut left = count;
    for chunk in text.utf8_chunks() {
        for length in chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1)) {
            if left == 0 {
                return &text[..end];
            }
            left -= 1;
            end += length;
        }
    }
    text
}

/// What `%T` says.
fn go_type(value: &Value) -> String {
    let name = match value {
        Value::Null => "<nil>",
        Value::Number(Number::Int(_)) => "int",
        Value::Number(Number::Uint(_)) => "uint64",
        Value::Number(Number::Float(_)) => "float64",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Function(_) => "function",
        // It prints as the text it is, so it has the type of a text.
        Value::Secret(secret) if !secret.is_secret() => "string",
        Value::Secret(_) => "secret",
        Value::Target(_) => "target",
        Value::Capsule(capsule) => capsule.object().type_name(),
    };
    name.to_owned()
}

/// What has no text of its own.
fn shown(value: &Value) -> String {
    match value {
        Value::Target(target) => {
            let labels = target
                .iter()
                .map(|(name, label)| format!("{}={}", quote::quote(name.as_bytes()), quote::quote(label.as_bytes())));
            format!("{{{}}}", labels.collect::<Vec<_>>().join(", "))
        }
        Value::Function(function) => format!("function({})", function.name),
        other => format!("{other:?}"),
    }
}
