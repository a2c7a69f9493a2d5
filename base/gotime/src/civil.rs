//! Days and seconds of the calendar.

use base_stdx::timestamp::days_since_1970;

/// Seconds from 1970 to the start of a day.
pub fn seconds(year: i64, month: i64, day: i64) -> i64 {
    days_since_1970(year, month, day) * 86_400
}

pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Month and day of the n-th day of a year.
pub fn ordinal(year: i64, mut day: i64) -> Option<(i64, i64)> {
    for month in 1..=12 {
        let days = days_in(month, year);
        if (1..=days).contains(&day) {
            return Some((month, day));
        }
        day -= days;
    }
    None
}

/// Nanoseconds since 1970; `None` outside of what 64 bits hold, some 292 years around it.
pub fn nanoseconds(seconds: i64, fraction: i64) -> Option<i64> {
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}
