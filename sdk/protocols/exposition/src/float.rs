//! Numbers of a page.

/// Powers of ten that a double holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The bits of Prometheus' ordinary NaN: a page cannot spell the staleness marker.
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Reads a number as Go does, but for its hexadecimal and underscored forms: `1`, `-1.5e3`, `.5`, `+Inf`, `nan`. None for
/// anything else, and for what a double cannot hold.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    exact(text).or_else(|| general(text))
}

#[inline]
fn exact(text: &[u8]) -> Option<f64> {
    exact_prefix(text).filter(|(_, length)| *length == text.len()).map(|(value, _)| value)
}

/// The number at the start of a text and its length, in the usual case: up to 19 digits. When they and the power of ten fit a
/// double, one multiplication or division rounds correctly; a longer fraction is divided as an integer.
#[inline]
pub(crate) fn exact_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut mantissa: u64 = 0;
    let mut exponent: i32 = 0;
    let mut seen = 0;
    let mut at = 0;
    while let Some(digit) = digits.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
        seen += 1;
    }
    if digits.get(at) == Some(&b'.') {
        at += 1;
        let fraction = at;
        while let Some(digit) = digits.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
            seen += 1;
        }
        exponent = -((at - fraction) as i32);
    }
    if seen == 0 || seen > 19 {
        return None;
    }
    if let Some(b'e' | b'E') = digits.get(at) {
        at += 1;
        let minus = digits.get(at) == Some(&b'-');
        if minus || digits.get(at) == Some(&b'+') {
            at += 1;
        }
        let mut power: i32 = 0;
        let first = at;
        while let Some(digit) = digits.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            power = power.saturating_mul(10).saturating_add(i32::from(digit));
            at += 1;
        }
        if at == first {
            return None;
        }
        exponent = exponent.saturating_add(if minus { -power } else { power });
    }
    let value = match exponent {
        0..=22 if mantissa <= 1 << 53 => mantissa as f64 * EXACT[exponent as usize],
        -22..=-1 if mantissa <= 1 << 53 => mantissa as f64 / EXACT[-exponent as usize],
        -19..=-1 => quotient(mantissa, 10_u64.pow(-exponent as u32)),
        _ => return None,
    };
    Some((if negative { -value } else { value }, at + usize::from(negative)))
}

/// The double that is nearest to a quotient, neither of whose parts is zero.
fn quotient(dividend: u64, divisor: u64) -> f64 {
    // With the highest bit of both set, it has 63 or 64 bits: more than ten are beyond those that a double has, and the lowest
    // of these may stand for whatever remains.
    let (dividend_zeros, divisor_zeros) = (dividend.leading_zeros(), divisor.leading_zeros());
    let (dividend, divisor) = (u128::from(dividend << dividend_zeros) << 63, u128::from(divisor << divisor_zeros));
    let bits = (dividend / divisor) as u64 | u64::from(dividend % divisor != 0);
    // What is left is a power of two between 2^-127 and 1, by which a double is multiplied exactly.
    let power = divisor_zeros as i32 - dividend_zeros as i32 - 63;
    bits as f64 * f64::from_bits(((1023 + power) as u64) << 52)
}

fn general(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        let signed = text.starts_with(['+', '-']);
        return (!signed).then(|| f64::from_bits(NORMAL_NAN));
    }
    let names_infinity = text.bytes().any(|b| b.eq_ignore_ascii_case(&b'i'));
    (value.is_finite() || names_infinity).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_pages() {
        for (text, expect) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("1e5", Some(1e5)),
            ("1E+5", Some(1e5)),
            ("1.5e-3", Some(1.5e-3)),
            ("5.", Some(5.0)),
            (".5", Some(0.5)),
            ("+7", Some(7.0)),
            ("1e22", Some(1e22)),
            ("1e23", Some(1e23)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("1.7976931348623157e308", Some(f64::MAX)),
            ("4.9e-324", Some(4.9e-324)),
            ("+Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("1e309", None),
            ("0x10", None),
            ("0x1p3", None),
            ("1_0", None),
            ("1e", None),
            ("1e+", None),
            (".", None),
            ("-", None),
            ("", None),
            ("+NaN", None),
            ("1 ", None),
            ("--1", None),
        ] {
            let ours = parse_float(text.as_bytes());
            assert_eq!(ours.map(f64::to_bits), expect.map(f64::to_bits), "{text}");
        }
        assert_eq!(parse_float(b"nan").map(f64::to_bits), Some(NORMAL_NAN));
    }

    /// Halfway between two doubles, and next to it.
    #[test]
    fn long_fractions_are_rounded_to_the_even_one() {
        for halves in [9_007_199_254_740_993_u64, 9_007_199_254_740_995, 18_014_398_509_481_983] {
            for digits in 1..=3 {
                let scaled = halves * 10_u64.pow(digits);
                for mantissa in scaled - 1..=scaled + 1 {
                    let text = mantissa.to_string();
                    let (whole, fraction) = text.split_at(text.len() - digits as usize);
                    let text = format!("{whole}.{fraction}");
                    let bits = parse_float(text.as_bytes()).map(f64::to_bits);
                    assert_eq!(bits, general(text.as_bytes()).map(f64::to_bits), "{text}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fractions_of_many_digits_too(mantissa in 1_u64..=9_999_999_999_999_999_999, digits in 1_usize..=19) {
            let text = format!("{mantissa:020}");
            let (whole, fraction) = text.split_at(20 - digits);
            let text = format!("{}.{fraction}", whole.trim_start_matches('0'));
            prop_assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), general(text.as_bytes()).map(f64::to_bits));
        }

        #[test]
        fn the_quick_way_gives_what_the_slow_one_gives(text in "-?[0-9]{0,20}(\\.[0-9]{0,10})?([eE][+-]?[0-9]{1,3})?") {
            prop_assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), general(text.as_bytes()).map(f64::to_bits));
        }

        #[test]
        fn printed_numbers_come_back(bits: u64) {
            let value = f64::from_bits(bits);
            if !value.is_nan() {
                prop_assert_eq!(parse_float(value.to_string().as_bytes()), Some(value));
                prop_assert_eq!(parse_float(format!("{value:e}").as_bytes()), Some(value));
            }
        }
    }
}
