//! Times as Go's `time.Parse` reads them: a layout is the reference time, written as the value is written.
//!
//! A layout is taken apart once; parsing walks over its parts. What Go is lenient about (fractions that the layout does
//! not mention, commas in them, one-digit hours, names in any case) is lenient here.

mod civil;
mod elements;
mod format;
mod parse;

pub use civil::nanoseconds;
pub use parse::{Layout, OutOfRange, Parsed, Zone};

/// RFC 3339 with any number of fractional digits, as nanoseconds since 1970. The usual form takes a direct way.
pub fn rfc3339(text: &[u8]) -> Option<i64> {
    if let Some(timestamp) = rfc3339_plain(text) {
        return Some(timestamp);
    }
    static LAYOUT: std::sync::LazyLock<Layout> = std::sync::LazyLock::new(|| Layout::new("2006-01-02T15:04:05Z07:00"));
    LAYOUT.parse(text)?.timestamp(None).ok()
}

fn rfc3339_plain(text: &[u8]) -> Option<i64> {
    let two = |at: usize| -> Option<i64> {
        let tens = text.get(at)?.wrapping_sub(b'0');
        let ones = text.get(at + 1)?.wrapping_sub(b'0');
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if day < 1 || day > civil::days_in(month, year) {
        return None;
    }
    let mut at = 19;
    let mut fraction = 0;
    if is(at, b'.') {
        at += 1;
        let start = at;
        while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            if at - start < 9 {
                fraction = fraction * 10 + i64::from(digit);
            }
            at += 1;
        }
        let digits = at - start;
        if digits == 0 {
            return None;
        }
        fraction *= 10i64.pow(9u32.saturating_sub(digits as u32));
    }
    let offset = match text.get(at)? {
        b'Z' if at + 1 == text.len() => 0,
        sign @ (b'+' | b'-') if at + 6 == text.len() && is(at + 3, b':') => {
            let (hours, minutes) = (two(at + 1)?, two(at + 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = civil::seconds(year, month, day) + (hour * 60 + minute) * 60 + second - offset;
    nanoseconds(seconds, fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(layout: &str, text: &str) -> Option<i64> {
        Layout::new(layout).parse(text.as_bytes())?.timestamp(None).ok()
    }

    #[test]
    fn rfc3339_in_its_forms() {
        assert_eq!(rfc3339(b"2026-03-04T05:06:07Z"), Some(1_772_600_767_000_000_000));
        assert_eq!(rfc3339(b"2026-03-04T05:06:07.987654321+01:00"), Some(1_772_597_167_987_654_321));
        assert_eq!(rfc3339(b"2026-03-04T05:06:07,25Z"), Some(1_772_600_767_250_000_000));
        assert_eq!(rfc3339(b"2026-03-04T5:06:07Z"), Some(1_772_600_767_000_000_000));
        for bad in ["2026-03-04T05:06:07", "2026-03-04t05:06:07z", "2026-02-29T00:00:00Z", "2026-03-04T24:00:00Z", ""] {
            assert_eq!(rfc3339(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn layouts_as_users_write_them() {
        assert_eq!(read("02/Jan/2006:15:04:05 -0700", "04/mar/2026:05:06:07 +0530"), Some(1_772_580_967_000_000_000));
        assert_eq!(read("2006-01-02 15:04:05,000", "2026-03-04 05:06:07.123"), Some(1_772_600_767_123_000_000));
        assert_eq!(read("2006-01-02 15:04:05", "2026-03-04  5:06:07,5"), Some(1_772_600_767_500_000_000));
        assert_eq!(read("20060102T150405Z07", "20260304T050607+02"), Some(1_772_593_567_000_000_000));
        assert_eq!(read("06/1/2 3h4m5s PM", "26/3/4 05h6m7s PM"), Some(1_772_643_967_000_000_000));
        assert_eq!(read("2006-002 15:04:05 MST", "2026-063 05:06:07 CET"), Some(1_772_600_767_000_000_000));
        assert_eq!(read("Monday, 2 January 2006", "wednesday, 4 march 2026"), Some(1_772_582_400_000_000_000));
        assert_eq!(read("2006", "12026"), None);
        assert_eq!(read("2006-002", "2026-366"), None);
        assert_eq!(read("%Y-%m-%d", "2026-03-04"), None);
        assert_eq!(read("2006-01-02", "0000-01-01"), None, "before what nanoseconds can count");
    }

    #[test]
    fn fractions_are_written_as_the_layout_says() {
        let write = |layout: &str| Layout::new(layout).format(1_772_600_767_120_456_789, &jiff::tz::TimeZone::UTC);
        assert_eq!(write("05.999 05.999999 05,999999999 05,000"), "07.12 07.120456 07,120456789 07,120");
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(5));
        assert_eq!(Layout::new("15 MST").format(0, &zone), "05 +0500");
    }

    #[test]
    fn a_lenient_layout_takes_blanks_before_numbers() {
        let layout = Layout::new("2006-1-2 15:4").lenient();
        let read = |text: &str| layout.parse(text.as_bytes())?.timestamp(None).ok();
        assert_eq!(read(" 2026-  3-\t4   5: 6"), Some(1_772_600_760_000_000_000));
        assert_eq!(read("2026-03-04 05:06 "), None);
    }

    #[test]
    fn edges_of_daylight_saving_as_in_go() {
        let new_york = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let read = |text: &str| {
            let parsed = Layout::new("2006-01-02 15:04:05").parse(text.as_bytes()).unwrap();
            parsed.timestamp(Some(&new_york)).unwrap() / 1_000_000_000
        };
        assert_eq!(read("2026-01-15 05:06:07"), 1_768_471_567);
        assert_eq!(read("2026-03-08 02:30:00"), 1_772_951_400);
        assert_eq!(read("2026-11-01 01:30:00"), 1_793_511_000);
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(layout in "[0-9JanMoSTZ:.,_ \\-+Pp]{0,20}", text in "[0-9a-zA-Z:.,_ \\-+]{0,24}") {
            if let Some(parsed) = Layout::new(&layout).parse(text.as_bytes()) {
                let _ = parsed.timestamp(None);
            }
        }

        #[test]
        fn both_ways_to_read_rfc3339_agree(seconds in -4_000_000_000i64..20_000_000_000, nanos in 0i64..1_000_000_000) {
            let Some(timestamp) = nanoseconds(seconds.min(9_000_000_000), nanos) else { return Ok(()) };
            let text = jiff::Timestamp::from_nanosecond(i128::from(timestamp)).unwrap().to_string();
            prop_assert_eq!(rfc3339_plain(text.as_bytes()), Some(timestamp));
            let layout = Layout::new("2006-01-02T15:04:05.999999999Z07:00");
            prop_assert_eq!(layout.parse(text.as_bytes()).unwrap().timestamp(None).ok(), Some(timestamp));
        }

        #[test]
        fn arbitrary_bytes_are_no_time_or_one(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = rfc3339(&text);
        }
    }
}
