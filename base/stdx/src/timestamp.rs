//! Points in time as text: RFC 3339 in UTC, as Go's `RFC3339Nano` prints it.

use std::fmt::{self, Write};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds since 1970, printed as `2026-11-21T15:04:05.123456789Z`, without trailing zeroes of the fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub i64);

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// May be negative.
    pub year: i64,
    /// From 1.
    pub month: u32,
    /// From 1.
    pub day: u32,
}

// === impl Date ===

impl Date {
    /// Of so many days after 1 January 1970.
    pub fn from_days(days: i64) -> Date {
        // Counted from 1 March of year 0, a year ends with its leap day, and 400 years are the same number of days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u32;
        Date { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }
}

/// Days from 1 January 1970 to a day of the Gregorian calendar; month and day from 1. The inverse of [`Date::from_days`].
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day at the end.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Times of which many in a row are of one second, as those of log lines are: the second is read once.
#[derive(Clone, Debug, Default)]
pub struct Seconds {
    /// `2025-11-21T15:04:05.` and what it is.
    last: Option<([u8; 20], i64)>,
}

impl Seconds {
    /// What `parse` makes of a time: nanoseconds since 1970. It must read RFC 3339.
    pub fn read(&mut self, text: &[u8], parse: impl Fn(&[u8]) -> Option<i64>) -> Option<i64> {
        // With nanoseconds and in UTC, as container runtimes write it.
        let Some((second, &[ref digits @ .., b'Z'])) = text.split_first_chunk::<20>() else { return parse(text) };
        if digits.len() != 9 || second[19] != b'.' || !digits.iter().all(u8::is_ascii_digit) {
            return parse(text);
        }
        let nanos = digits.iter().fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
        if let Some((last, at)) = &self.last
            && last == second
        {
            return at.checked_add(nanos);
        }
        let time = parse(text)?;
        self.last = time.checked_sub(nanos).map(|at| (*second, at));
        Some(time)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND));
        let Date { year, month, day } = Date::from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_char('Z')
    }
}

/// Nanoseconds since 1970 of a time as container engines write it before each line,
/// `2025-11-21T15:04:05.123456789Z`: in UTC or with an offset.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        text.get(range)?
            .iter()
            .try_fold(0i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(at, byte)| text.get(*at) == Some(byte)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let padded = fraction[..digits].iter().copied().chain(std::iter::repeat(b'0'));
        for digit in padded.take(9) {
            nanos = nanos * 10 + i64::from(digit - b'0');
        }
        rest = &fraction[digits..];
    }
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
            let minutes = (digit(h1)? * 10 + digit(h2)?) * 60 + digit(m1)? * 10 + digit(m2)?;
            if *sign == b'-' { -minutes * 60 } else { minutes * 60 }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_read_once_and_any_other_time_as_it_is() {
        let mut seconds = Seconds::default();
        let parsed = std::cell::Cell::new(0);
        let parse = |text: &[u8]| {
            parsed.set(parsed.get() + 1);
            parse_rfc3339(text)
        };
        for (text, parses) in [
            ("2025-10-09T08:53:20.000000001Z", 1),
            ("2025-10-09T08:53:20.999999999Z", 1),
            ("2025-10-09T08:53:20.00000001Z", 2),
            ("2025-10-09T08:53:20.0000000aZ", 3),
            ("2025-10-09T08:53:20.000000001+02:00", 4),
            ("2025-10-09T08:53:20.5Z", 5),
            ("2025-10-09T08:53:21.000000001Z", 6),
            ("2025-10-09T08:53:21.000000002Z", 6),
            ("2025-13-09T08:53:21.000000002Z", 7),
            ("", 8),
        ] {
            assert_eq!(seconds.read(text.as_bytes(), parse), parse_rfc3339(text.as_bytes()), "{text}");
            assert_eq!(parsed.get(), parses, "{text}");
        }
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(97) {
            let Date { year, month, day } = Date::from_days(days);
            assert_eq!(days_since_1970(year, i64::from(month), i64::from(day)), days);
        }
    }

    #[test]
    fn prints_as_go_does() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * NANOS_PER_SECOND, "2000-02-29T00:00:00Z"),
            (1_709_164_800 * NANOS_PER_SECOND + 120_000_000, "2024-02-29T00:00:00.12Z"),
            (1_735_689_599 * NANOS_PER_SECOND, "2024-12-31T23:59:59Z"),
            (4_107_542_400 * NANOS_PER_SECOND, "2100-03-01T00:00:00Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(Rfc3339(nanoseconds).to_string(), text);
        }
    }
}
