//! What the literals of a configuration stand for (spec §1.2, §1.3).

use base_stdx::quote;

/// A number as the language keeps it: the first kind that holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Fits 64 bits with sign.
    Int(i64),
    /// Only fits 64 bits without sign.
    Uint(u64),
    /// Larger still.
    Float(f64),
}

/// The value of a literal like `12`: int64, else uint64, else float64. With a leading zero it counts as octal, as in Go:
/// `010` is 8; and `08`, which is not octal, is the float 8.0. `None` if it is beyond a float's range, or no number.
pub fn number(literal: &str) -> Option<Number> {
    let (digits, radix) = match literal.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => (octal, 8),
        _ => (literal, 10),
    };
    if let Ok(number) = i64::from_str_radix(digits, radix) {
        return Some(Number::Int(number));
    }
    if let Ok(number) = u64::from_str_radix(digits, radix) {
        return Some(Number::Uint(number));
    }
    float(literal).map(Number::Float)
}

/// The value of a literal like `1.5e3`; `None` if it is beyond a float's range (`1e400`), or no number.
pub fn float(literal: &str) -> Option<f64> {
    literal.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The bytes that `"…"` or `` `…` `` stands for; `None` if it is no such literal. They need not be UTF-8: `"\xff"`.
pub fn string(literal: &[u8]) -> Option<Vec<u8>> {
    quote::unquote(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_kind_that_fits_wins() {
        for (literal, expected) in [
            ("0", Some(Number::Int(0))),
            ("007", Some(Number::Int(7))),
            ("010", Some(Number::Int(8))),
            ("08", Some(Number::Float(8.0))),
            ("9223372036854775807", Some(Number::Int(i64::MAX))),
            ("9223372036854775808", Some(Number::Uint(1 << 63))),
            ("18446744073709551616", Some(Number::Float(18_446_744_073_709_551_616.0))),
            ("01777777777777777777777", Some(Number::Uint(u64::MAX))),
            ("x", None),
        ] {
            assert_eq!(number(literal), expected, "{literal}");
        }
        assert_eq!(number(&"9".repeat(400)), None);
        assert_eq!(float("1e400"), None);
        assert_eq!(float(".5"), Some(0.5));
        assert_eq!(float("5."), Some(5.0));
    }
}
