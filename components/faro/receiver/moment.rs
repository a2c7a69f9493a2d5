//! Times of a payload: RFC 3339 in, and out as Go prints a time, `2026-03-04 05:06:07.25 +0200 +0200`.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// What Go prints for a time that was not given.
pub(super) const NEVER: &str = "0001-01-01 00:00:00 +0000 UTC";

/// The time in the offset that it was written in; `None` for what Go does not take for a time of RFC 3339. It is less strict
/// than the standard: hours of one digit, a comma before the fraction, offsets of 24 hours and of 60 minutes.
pub(super) fn shown(text: &str, local: &TimeZone) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let (year, _, month, _, day) =
        (reader.number(4)?, reader.byte(b"-")?, reader.number(2)?, reader.byte(b"-")?, reader.number(2)?);
    reader.byte(b"T")?;
    let hour = reader.number(2).or_else(|| reader.number(1))?;
    let (_, minute, _, second) = (reader.byte(b":")?, reader.number(2)?, reader.byte(b":")?, reader.number(2)?);
    let fraction = reader.fraction();
    let offset = match reader.byte(b"Z+-")? {
        b'Z' => None,
        sign => {
            let (hours, _, minutes) = (reader.number(2)?, reader.byte(b":")?, reader.number(2)?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            let minutes = i32::from(hours * 60 + minutes);
            Some(if sign == b'-' { -minutes } else { minutes })
        }
    };
    if !reader.0.is_empty() {
        return None;
    }
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|number| number as i8);
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let mut out = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&fraction);
    }
    let Some(offset) = offset else { return Some(out + " +0000 UTC") };
    let sign = if offset < 0 { '-' } else { '+' };
    let numeric = format!("{sign}{:02}{:02}", offset.abs() / 60, offset.abs() % 60);
    let name = Offset::from_seconds(offset * 60).ok().and_then(|offset| {
        let moment = offset.to_timestamp(civil).ok()?;
        let info = local.to_offset_info(moment);
        (info.offset() == offset).then(|| info.abbreviation().to_owned())
    });
    // An offset that is not the machine's has no name: the number stands there twice.
    Some(format!("{out} {numeric} {}", name.as_deref().unwrap_or(&numeric)))
}

/// What is left to read.
struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    /// So many digits, at most four.
    fn number(&mut self, digits: usize) -> Option<i16> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let number = number
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    /// One of these.
    fn byte(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| wanted.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    /// Digits behind a point or a comma, as far as they count.
    fn fraction(&mut self) -> String {
        let [b'.' | b',', rest @ ..] = self.0 else { return String::new() };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, behind) = rest.split_at(digits);
        if digits > 0 {
            self.0 = behind;
        }
        let fraction: String = fraction.iter().take(9).copied().map(char::from).collect();
        fraction.trim_end_matches('0').to_owned()
    }
}

/// The time zone of this machine; UTC where it has none.
pub(super) fn local() -> TimeZone {
    let zone = TimeZone::system();
    if zone.is_unknown() { TimeZone::UTC } else { zone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_go_prints_them() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, utc, there) in [
            ("2021-09-30T10:46:17.680Z", "2021-09-30 10:46:17.68 +0000 UTC", "2021-09-30 10:46:17.68 +0000 UTC"),
            ("2026-03-04T05:06:07+01:00", "2026-03-04 05:06:07 +0100 +0100", "2026-03-04 05:06:07 +0100 CET"),
            ("2026-07-04T05:06:07-00:00", "2026-07-04 05:06:07 +0000 UTC", "2026-07-04 05:06:07 +0000 +0000"),
            ("2026-03-04T5:06:07,50Z", "2026-03-04 05:06:07.5 +0000 UTC", "2026-03-04 05:06:07.5 +0000 UTC"),
            ("2026-03-04T05:06:07+24:60", "2026-03-04 05:06:07 +2500 +2500", "2026-03-04 05:06:07 +2500 +2500"),
            ("0001-01-01T00:00:00Z", NEVER, NEVER),
        ] {
            assert_eq!(shown(text, &TimeZone::UTC).as_deref(), Some(utc));
            assert_eq!(shown(text, &berlin).as_deref(), Some(there));
        }
        let precise = shown("2026-03-04T05:06:07.1234567891-05:30", &berlin);
        assert_eq!(precise.as_deref(), Some("2026-03-04 05:06:07.123456789 -0530 -0530"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-03-04",
            "2026-03-04 05:06:07Z",
            "2026-03-04t05:06:07z",
            "2026-02-30T05:06:07Z",
            "2026-03-04T24:06:07Z",
            "2026-03-04T05:06:60Z",
            "2026-03-04T05:06:07",
            "2026-03-04T05:06:07.Z",
            "2026-03-04T05:06:07+25:00",
            "2026-03-04T05:06:07+00:61",
            "2026-03-04T5:06:7Z",
            "2026-3-04T05:06:07Z",
            "2026-03-04T05:06:07+0100",
            "2026-03-04T05:06:07Zx",
            "2026-03-04T05:06:0\u{e9}Z",
            "2026-03-04T05:06:07+0é:1",
        ] {
            assert_eq!(shown(text, &TimeZone::UTC), None, "{text}");
        }
    }
}
