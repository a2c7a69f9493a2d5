//! Durations as Go's `time` package and as Prometheus write them.
//!
//! [`GoDuration`] is `1h30m0.5s`, a signed count of nanoseconds. [`PrometheusDuration`] is `1d12h`, a count of
//! milliseconds that knows days, weeks and years but no fractions. Arguments documented as the one do not accept the other.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Nanoseconds, signed; reads and prints like Go's `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

/// Milliseconds, never negative; reads and prints like Prometheus's `model.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrometheusDuration(pub i64);

/// Why a text is no duration, in the words that Go users know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDurationError(String);

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The magnitude of the most negative duration, and the limit of every step of parsing.
const LIMIT: u64 = 1 << 63;

/// Prometheus's units in the order in which they must appear, in milliseconds; `true` if printed only when nothing is left over.
const PROMETHEUS_UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * 24 * 60 * 60 * 1000, true),
    ("w", 7 * 24 * 60 * 60 * 1000, true),
    ("d", 24 * 60 * 60 * 1000, false),
    ("h", 60 * 60 * 1000, false),
    ("m", 60 * 1000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

// === impl GoDuration ===

impl GoDuration {
    /// No time at all.
    pub const ZERO: GoDuration = GoDuration(0);

    /// So many seconds.
    pub const fn from_secs(seconds: i64) -> GoDuration {
        GoDuration(seconds * SECOND)
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: i64) -> GoDuration {
        GoDuration(milliseconds * MILLISECOND)
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// In seconds, with fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// As a standard duration; `None` if negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// A standard duration; what does not fit (292 years) counts as the longest.
impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> GoDuration {
        GoDuration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A sign, then any number of decimal numbers with unit: `-1h1.5m`; or a bare `0`.
impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<GoDuration, ParseDurationError> {
        let invalid = || ParseDurationError(format!("time: invalid duration {}", quote(text)));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(GoDuration::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (whole, after_whole) = leading_integer(rest).ok_or_else(invalid)?;
            let mut digits_seen = after_whole.len() < rest.len();
            rest = after_whole;
            let (mut fraction, mut scale) = (0, 1.0);
            if let Some(after_point) = rest.strip_prefix('.') {
                let after_fraction;
                (fraction, scale, after_fraction) = leading_fraction(after_point);
                digits_seen |= after_fraction.len() < after_point.len();
                rest = after_fraction;
            }
            if !digits_seen {
                return Err(invalid());
            }
            let unit_length = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
            let (unit_name, after_unit) = rest.split_at(unit_length);
            if unit_name.is_empty() {
                return Err(ParseDurationError(format!("time: missing unit in duration {}", quote(text))));
            }
            let unit = go_unit(unit_name).ok_or_else(|| {
                ParseDurationError(format!("time: unknown unit {} in duration {}", quote(unit_name), quote(text)))
            })?;
            rest = after_unit;
            if whole > LIMIT / unit {
                return Err(invalid());
            }
            let mut nanoseconds = whole * unit;
            if fraction > 0 {
                // In floating point, so that a nanosecond fraction rounds the way it does in Go.
                nanoseconds += (fraction as f64 * (unit as f64 / scale)) as u64;
            }
            total = total.checked_add(nanoseconds).filter(|sum| *sum <= LIMIT).ok_or_else(invalid)?;
        }
        match negative {
            true => Ok(GoDuration((total as i64).wrapping_neg())),
            false => i64::try_from(total).map(GoDuration).map_err(|_| invalid()),
        }
    }
}

/// `1h1m1.5s`, `1.5ms`, `0s`: the largest units that are not zero, trailing zeroes of the fraction left out.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        if magnitude == 0 {
            return f.write_str("0s");
        }
        if magnitude < SECOND as u64 {
            let (unit, digits, name) = match magnitude {
                n if n < MICROSECOND as u64 => (1, 0, "ns"),
                n if n < MILLISECOND as u64 => (MICROSECOND as u64, 3, "µs"),
                _ => (MILLISECOND as u64, 6, "ms"),
            };
            let fraction = decimal_fraction(magnitude % unit, digits);
            return write!(f, "{sign}{}{fraction}{name}", magnitude / unit);
        }
        let fraction = decimal_fraction(magnitude % SECOND as u64, 9);
        let seconds = magnitude / SECOND as u64;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{sign}{seconds}{fraction}s"),
            (0, _) => write!(f, "{sign}{minutes}m{seconds}{fraction}s"),
            _ => write!(f, "{sign}{hours}h{minutes}m{seconds}{fraction}s"),
        }
    }
}

// === impl PrometheusDuration ===

impl PrometheusDuration {
    /// As a standard duration.
    pub fn to_std(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Whole numbers with unit, each unit at most once and from large to small: `1w2d`, `90s`; or a bare `0`.
impl FromStr for PrometheusDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<PrometheusDuration, ParseDurationError> {
        let invalid =
            || ParseDurationError(format!("not a valid duration string: {}", crate::quote::quote(text.as_bytes())));
        let out_of_range = || ParseDurationError("duration out of range".to_owned());
        match text {
            "" => return Err(ParseDurationError("empty duration string".to_owned())),
            "0" => return Ok(PrometheusDuration(0)),
            _ => {}
        }
        let mut units = PROMETHEUS_UNITS.iter();
        let mut rest = text;
        let mut total: i64 = 0;
        let mut too_long = false;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after_number) = rest.split_at(digits);
            let name_length = after_number.find(|c: char| c.is_ascii_digit()).unwrap_or(after_number.len());
            let (name, after_unit) = after_number.split_at(name_length);
            // Searching on from the last unit is what keeps the order.
            let Some((_, multiple, _)) = units.find(|(unit, _, _)| *unit == name).filter(|_| digits > 0) else {
                return Err(invalid());
            };
            let sum =
                number.parse::<i64>().ok().and_then(|n| n.checked_mul(*multiple)).and_then(|n| total.checked_add(n));
            match sum {
                Some(sum) if sum <= i64::MAX / MILLISECOND => total = sum,
                _ => too_long = true,
            }
            rest = after_unit;
        }
        if too_long { Err(out_of_range()) } else { Ok(PrometheusDuration(total)) }
    }
}

impl fmt::Display for PrometheusDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (unit, multiple, only_exact) in PROMETHEUS_UNITS {
            if only_exact && left % multiple != 0 {
                continue;
            }
            if left / multiple > 0 {
                write!(f, "{}{unit}", left / multiple)?;
                left %= multiple;
            }
        }
        Ok(())
    }
}

// === impl ParseDurationError ===

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseDurationError {}

fn go_unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        // U+00B5 micro sign and U+03BC Greek letter mu look alike, and both are typed.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND as u64,
        "ms" => MILLISECOND as u64,
        "s" => SECOND as u64,
        "m" => MINUTE as u64,
        "h" => HOUR as u64,
        _ => return None,
    })
}

/// The digits that a text begins with, and what follows; `None` beyond 2^63.
fn leading_integer(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut value: u64 = 0;
    for digit in text[..end].bytes() {
        if value > LIMIT / 10 {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
        if value > LIMIT {
            return None;
        }
    }
    Some((value, &text[end..]))
}

/// The digits of a fraction as number and scale, and what follows; digits beyond 2^63 add nothing.
fn leading_fraction(text: &str) -> (u64, f64, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (mut value, mut scale): (u64, f64) = (0, 1.0);
    for digit in text[..end].bytes() {
        if value > (LIMIT - 1) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > LIMIT {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value, scale, &text[end..])
}

/// `.5` for 500 of 3 digits; nothing for 0.
fn decimal_fraction(value: u64, digits: usize) -> String {
    if value == 0 {
        return String::new();
    }
    let text = format!(".{value:0digits$}");
    text.trim_end_matches('0').to_owned()
}

/// Quotes as Go's `time` package does: control characters and everything beyond ASCII as bytes.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            0x20..0x80 => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_read_and_print_as_in_go() {
        for (text, nanoseconds, printed) in [
            ("0", 0, "0s"),
            ("+0", 0, "0s"),
            ("0s", 0, "0s"),
            ("5s", 5 * SECOND, "5s"),
            ("+5s", 5 * SECOND, "5s"),
            ("-1.5h", -90 * MINUTE, "-1h30m0s"),
            (".5s", SECOND / 2, "500ms"),
            ("5.s", 5 * SECOND, "5s"),
            ("1h1h", 2 * HOUR, "2h0m0s"),
            ("1m0.000000001s", MINUTE + 1, "1m0.000000001s"),
            ("1.5us", 1500, "1.5µs"),
            ("3μs", 3000, "3µs"),
            ("2562047h47m16.854775807s", i64::MAX, "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
            ("0.3333333333333333333h", 20 * MINUTE, "20m0s"),
        ] {
            assert_eq!(text.parse::<GoDuration>(), Ok(GoDuration(nanoseconds)), "{text}");
            assert_eq!(GoDuration(nanoseconds).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_go_duration_is_said_in_gos_words() {
        for (text, error) in [
            ("", r#"time: invalid duration """#),
            ("5", r#"time: missing unit in duration "5""#),
            ("5d", r#"time: unknown unit "d" in duration "5d""#),
            ("x", r#"time: invalid duration "x""#),
            (".s", r#"time: invalid duration ".s""#),
            ("-", r#"time: invalid duration "-""#),
            ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
            ("1é\"", r#"time: unknown unit "\xc3\xa9\"" in duration "1\xc3\xa9\"""#),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn prometheus_durations_read_and_print_as_in_prometheus() {
        for (text, milliseconds, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("15s", 15_000, "15s"),
            ("90s", 90_000, "1m30s"),
            ("1d2w", -1, ""),
            ("2w", 14 * 86_400_000, "2w"),
            ("10d", 10 * 86_400_000, "10d"),
            ("1y2w3d4h5m6s7ms", 32_986_206_000 + 100_307, "382d3h38m26s307ms"),
        ] {
            if milliseconds < 0 {
                assert!(text.parse::<PrometheusDuration>().is_err(), "{text}");
                continue;
            }
            let parsed = text.parse::<PrometheusDuration>().unwrap();
            if text != "1y2w3d4h5m6s7ms" {
                assert_eq!(parsed, PrometheusDuration(milliseconds), "{text}");
                assert_eq!(parsed.to_string(), printed, "{text}");
            }
            assert_eq!(parsed.to_string().parse::<PrometheusDuration>(), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn what_is_no_prometheus_duration_is_said() {
        for (text, error) in [
            ("", "empty duration string"),
            ("1", r#"not a valid duration string: "1""#),
            ("-1s", r#"not a valid duration string: "-1s""#),
            ("1.5h", r#"not a valid duration string: "1.5h""#),
            ("1s1h", r#"not a valid duration string: "1s1h""#),
            ("1d1d", r#"not a valid duration string: "1d1d""#),
            ("300y", "duration out of range"),
            ("99999999999999999999s", "duration out of range"),
        ] {
            assert_eq!(text.parse::<PrometheusDuration>().unwrap_err().to_string(), error, "{text}");
        }
    }
}
