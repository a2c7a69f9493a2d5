//! Numbers as Go prints them (`strconv.FormatFloat(v, 'g', -1, 64)`): the shortest digits that read back the same,
//! with an exponent below 1e-04 and from 1e+06 on. Comparing a page with what the Go client wrote relies on the exact
//! form.

use std::fmt::Write;

/// [`write_go_float`] into a new string.
pub fn go_float(value: f64) -> String {
    let mut out = String::new();
    write_go_float(&mut out, value);
    out
}

/// Appends `value` as the Go client prints sample values: `1`, `0.25`, `1e+06`, `1.5e-07`, `+Inf`, `-Inf`, `NaN`.
pub fn write_go_float(out: &mut String, value: f64) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    // Small whole numbers are most of every page.
    if value.trunc() == value && value.abs() < 1e6 && !(value == 0.0 && value.is_sign_negative()) {
        return write_integer(out, value as i64);
    }
    let mut scientific = Scientific::default();
    // Rust's `{:e}` gives the shortest digits; only the layout differs.
    write!(scientific, "{value:e}").expect("24 significant characters fit the buffer");
    let text = scientific.text();
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.push_str(sign);
    let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !(-4..6).contains(&exponent) {
        out.push_str(mantissa);
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        if exponent.abs() < 10 {
            out.push('0');
        }
        return write_integer(out, i64::from(exponent.abs()));
    }
    if exponent < 0 {
        out.push_str("0.");
        for _ in 1..-exponent {
            out.push('0');
        }
        out.push_str(head);
        return out.push_str(tail);
    }
    let whole = exponent as usize;
    out.push_str(head);
    if tail.len() <= whole {
        out.push_str(tail);
        for _ in tail.len()..whole {
            out.push('0');
        }
    } else {
        out.push_str(&tail[..whole]);
        out.push('.');
        out.push_str(&tail[whole..]);
    }
}

fn write_integer(out: &mut String, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

/// Room for one number in scientific form, on the stack.
#[derive(Default)]
struct Scientific {
    bytes: [u8; 32],
    used: usize,
}

impl Scientific {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.used]).expect("written as text")
    }
}

impl Write for Scientific {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.used..self.used + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::go_float;

    #[test]
    fn numbers_look_as_go_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.25, "0.25"),
            (123456.0, "123456"),
            (-999999.0, "-999999"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (123456.75, "123456.75"),
            (1234567.75, "1.23456775e+06"),
            (1.7e18, "1.7e+18"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1.8446744073709552e19, "1.8446744073709552e+19"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (100.5, "100.5"),
            (5e-324, "5e-324"),
            (-1.7976931348623157e308, "-1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(go_float(value), expected);
        }
    }

    #[test]
    fn every_number_reads_back_the_same() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(go_float(value).parse::<f64>().unwrap(), value);
            }
        }
    }
}
