//! Sizes in bytes as configurations write them: `512B`, `1MiB`, `1.5GB`, `1MiB512KiB`.
//!
//! Every unit is a power of 1024, `MB` just as `MiB`; that is what Alloy's files have always meant by them.

use std::fmt;
use std::str::FromStr;

/// A signed number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub i64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseByteSizeError(String);

const OVERFLOW: &str = "units: overflow parsing unit";

const PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

// === impl ByteSize ===

impl ByteSize {
    /// So many KiB.
    pub const fn kib(count: i64) -> ByteSize {
        ByteSize(count << 10)
    }

    /// So many MiB.
    pub const fn mib(count: i64) -> ByteSize {
        ByteSize(count << 20)
    }

    /// So many GiB.
    pub const fn gib(count: i64) -> ByteSize {
        ByteSize(count << 30)
    }

    /// As a length in memory; `None` if negative (or beyond what this machine can address).
    pub fn to_usize(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// Decimal numbers with unit, all of them `KiB` style or all of them `KB` style; or a bare `0`.
impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<ByteSize, ParseByteSizeError> {
        parse_with_suffix(text, "iB")
            .or_else(|error| if error.is_overflow() { Err(error) } else { parse_with_suffix(text, "B") })
            .map(ByteSize)
    }
}

/// From the largest unit to the smallest: `1MiB512KiB`, `0B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let mut parts = Vec::new();
        let mut left = self.0;
        for (power, prefix) in PREFIXES.iter().enumerate() {
            if left % 1024 != 0 {
                let suffix = if power == 0 { "B" } else { "iB" };
                parts.push(format!("{}{prefix}{suffix}", left % 1024));
            }
            left /= 1024;
        }
        parts.iter().rev().try_for_each(|part| f.write_str(part))
    }
}

// === impl ParseByteSizeError ===

impl ParseByteSizeError {
    fn is_overflow(&self) -> bool {
        self.0 == OVERFLOW
    }
}

impl fmt::Display for ParseByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseByteSizeError {}

fn parse_with_suffix(text: &str, suffix: &str) -> Result<i64, ParseByteSizeError> {
    let invalid = || ParseByteSizeError(format!("units: invalid {text}"));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c == '.' || c.is_ascii_digit();
        let whole_length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, mut after) = rest.split_at(whole_length);
        let mut fraction = "";
        if let Some(after_point) = after.strip_prefix('.') {
            let length = after_point.find(|c: char| !c.is_ascii_digit()).unwrap_or(after_point.len());
            (fraction, after) = after_point.split_at(length);
        }
        // No number holds more digits than an int64 does, on either side of the point.
        let digits = |part: &str| if part.is_empty() { Some(0.0) } else { part.parse::<i64>().ok().map(|n| n as f64) };
        let (Some(whole_value), Some(fraction_value), false) =
            (digits(whole), digits(fraction), whole.is_empty() && fraction.is_empty())
        else {
            return Err(invalid());
        };
        let value = whole_value + fraction_value / 10f64.powi(fraction.len() as i32);
        let unit_length = after.find(is_number).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_length);
        let multiple = multiple(unit, suffix)
            .ok_or_else(|| ParseByteSizeError(format!("units: unknown unit {unit} in {text}")))?;
        total += value * multiple;
        rest = next;
    }
    if negative {
        total = -total;
    }
    // 2^63 itself is a float and no int64.
    if !(-(i64::MAX as f64)..i64::MAX as f64).contains(&total) {
        return Err(ParseByteSizeError(OVERFLOW.to_owned()));
    }
    Ok(total as i64)
}

fn multiple(unit: &str, suffix: &str) -> Option<f64> {
    if unit == "B" {
        return Some(1.0);
    }
    let prefix = unit.strip_suffix(suffix)?;
    let power = PREFIXES.iter().skip(1).position(|known| *known == prefix)? + 1;
    Some(1024f64.powi(power as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("0B", 0, "0B"),
            ("1KiB", 1024, "1KiB"),
            ("1KB", 1024, "1KiB"),
            ("1.5MiB", 3 << 19, "1MiB512KiB"),
            ("1MiB512KiB", 3 << 19, "1MiB512KiB"),
            ("-1KiB", -1024, "-1KiB"),
            (".5GB", 1 << 29, "512MiB"),
            ("1TiB", 1 << 40, "1TiB"),
            ("7EiB", 7 << 60, "7EiB"),
            ("1025B", 1025, "1KiB1B"),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_said() {
        for (text, error) in [
            ("", "units: invalid "),
            ("1024", "units: unknown unit  in 1024"),
            ("1kB", "units: unknown unit kB in 1kB"),
            ("1K", "units: unknown unit K in 1K"),
            ("MiB", "units: invalid MiB"),
            ("1KiB1KB", "units: unknown unit KiB in 1KiB1KB"),
            ("8EiB", "units: overflow parsing unit"),
            ("99999999999999999999B", "units: invalid 99999999999999999999B"),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap_err().to_string(), error, "{text}");
        }
    }
}
