//! Numbers as Go prints them: shortest digits that read back the same, and an exponent of at least two digits.

/// As Go's `%v` and `%g`: plain from 1e-4 up to 1e6, else with an exponent (`100000`, `1e+06`).
pub fn general(value: f64) -> String {
    format(value, 'g', None)
}

/// Never with an exponent: `100000000`, `1.5`. What a number becomes when it is assigned to a string.
pub fn plain(value: f64) -> String {
    format(value, 'f', None)
}

/// As Go's JSON encoder: plain from 1e-6 up to 1e21, else an exponent without padding (`1e-7`, `1e+21`).
/// `None` for what JSON has no word for: infinities and NaN.
pub fn json(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return Some(plain(value));
    }
    let text = format(value, 'e', None);
    Some(match text.split_once("e-0") {
        Some((digits, exponent)) => format!("{digits}e-{exponent}"),
        None => text,
    })
}

/// As `strconv.FormatFloat(value, verb, precision, 64)` for the verbs `e`, `E`, `f`, `F`, `g`, `G`;
/// no precision means as many digits as are needed to read the same value back.
pub fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Inf" } else { "+Inf" }.to_owned();
    }
    let text = match verb.to_ascii_lowercase() {
        'e' => exponential(value, precision),
        'g' => shorter_of_both(value, precision),
        _ => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => format!("{value}"),
        },
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

fn exponential(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').expect("the e form has an exponent");
    let exponent: i32 = exponent.parse().expect("written by the formatter");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn shorter_of_both(value: f64, precision: Option<usize>) -> String {
    // Rounded to the precision first: the exponent that decides is that of the rounded number.
    let text = match precision {
        Some(digits) => format!("{value:.*e}", digits.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').expect("the e form has an exponent");
    let exponent: i32 = exponent.parse().expect("written by the formatter");
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let digit_count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    let limit = match precision {
        None => 6,
        Some(0) => 1,
        // A long integer whose digits are all significant stays plain.
        Some(limit) if limit as i32 > digit_count && digit_count > exponent => digit_count,
        Some(limit) => limit as i32,
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let places = (digit_count - 1 - exponent).max(0) as usize;
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        for (value, expected_general, expected_plain, expected_json) in [
            (0.0, "0", "0", "0"),
            (-0.0, "-0", "-0", "-0"),
            (1.0, "1", "1", "1"),
            (1.5, "1.5", "1.5", "1.5"),
            (100_000.0, "100000", "100000", "100000"),
            (1_234_567.0, "1.234567e+06", "1234567", "1234567"),
            (100_000_000.0, "1e+08", "100000000", "100000000"),
            (123_456_789.123_456_79, "1.2345678912345679e+08", "123456789.12345679", "123456789.12345679"),
            (0.0001, "0.0001", "0.0001", "0.0001"),
            (0.00001, "1e-05", "0.00001", "0.00001"),
            (1e-7, "1e-07", "0.0000001", "1e-7"),
            (1e21, "1e+21", "1000000000000000000000", "1e+21"),
            (1.5e300, "1.5e+300", "", "1.5e+300"),
            (-2.5e-10, "-2.5e-10", "-0.00000000025", "-2.5e-10"),
        ] {
            assert_eq!(general(value), expected_general);
            if !expected_plain.is_empty() {
                assert_eq!(plain(value), expected_plain);
            }
            assert_eq!(json(value).as_deref(), Some(expected_json));
        }
        assert_eq!(general(f64::INFINITY), "+Inf");
        assert_eq!(general(f64::NEG_INFINITY), "-Inf");
        assert_eq!(general(f64::NAN), "NaN");
        assert_eq!(json(f64::NAN), None);
    }

    #[test]
    fn precision_counts_as_in_go() {
        for (value, verb, precision, expected) in [
            (1234.5, 'e', Some(6), "1.234500e+03"),
            (1234.5, 'E', Some(1), "1.2E+03"),
            (1234.5, 'f', Some(0), "1234"),
            (1234.5678, 'g', Some(6), "1234.57"),
            (1234567.0, 'g', Some(3), "1.23e+06"),
            (100.0, 'g', Some(2), "1e+02"),
            (100.0, 'g', Some(5), "100"),
            (0.00012345, 'g', Some(2), "0.00012"),
            (999.9, 'g', Some(3), "1e+03"),
            (1e6, 'G', None, "1E+06"),
        ] {
            assert_eq!(format(value, verb, precision), expected, "{value} {verb} {precision:?}");
        }
    }
}
