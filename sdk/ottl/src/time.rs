//! Moments as Go's `time.Time`: a count of nanoseconds, and the zone in which it is read.

use std::cmp::Ordering;

use base_gotime::Layout;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A moment.
#[derive(Clone, Debug)]
pub struct Time {
    /// Since 1970.
    seconds: i64,
    /// Of the second.
    nanoseconds: u32,
    zone: TimeZone,
}

const SECOND: i128 = 1_000_000_000;
/// Seconds from the year 1, where Go's zero time is, to 1970.
const YEAR_ONE: i128 = 62_135_596_800;

// === impl Time ===

impl Time {
    /// A moment by nanoseconds since 1970, in UTC.
    pub fn utc(nanoseconds: i64) -> Time {
        Time::of(i128::from(nanoseconds), TimeZone::UTC)
    }

    /// A moment by nanoseconds since 1970, in the zone of this machine.
    pub fn local(nanoseconds: i128) -> Time {
        Time::of(nanoseconds, TimeZone::system())
    }

    /// A moment by nanoseconds since 1970.
    pub fn of(nanoseconds: i128, zone: TimeZone) -> Time {
        let seconds =
            i64::try_from(nanoseconds.div_euclid(SECOND)).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX });
        Time { seconds, nanoseconds: nanoseconds.rem_euclid(SECOND) as u32, zone }
    }

    /// Nanoseconds since 1970, however many.
    pub fn exact(&self) -> i128 {
        i128::from(self.seconds) * SECOND + i128::from(self.nanoseconds)
    }

    /// Nanoseconds since 1970; far away from it the number wraps around, as in Go.
    pub fn unix_nano(&self) -> i64 {
        self.exact() as i64
    }

    /// Whole units of so many nanoseconds since 1970, rounded down.
    pub fn unix(&self, unit: i64) -> i64 {
        self.exact().div_euclid(i128::from(unit)) as i64
    }

    /// Which is the earlier.
    pub fn cmp_moment(&self, other: &Time) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }

    /// Nanoseconds from another moment to this one, at most as many as fit.
    pub fn since(&self, other: &Time) -> i64 {
        (self.exact() - other.exact()).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Later by so many nanoseconds.
    pub fn plus(&self, nanoseconds: i64) -> Time {
        Time::of(self.exact() + i128::from(nanoseconds), self.zone.clone())
    }

    /// Rounded down to a multiple of a duration since the year 1.
    pub fn truncate(&self, duration: i64) -> Time {
        if duration <= 0 {
            return self.clone();
        }
        let since_year_one = self.exact() + YEAR_ONE * SECOND;
        let over = since_year_one.rem_euclid(i128::from(duration));
        Time::of(self.exact() - over, self.zone.clone())
    }

    /// As a clock and a calendar in its zone show it.
    pub fn civil(&self) -> DateTime {
        self.zone.to_datetime(self.moment())
    }

    /// Written by a layout of Go.
    pub fn format(&self, layout: &Layout) -> String {
        layout.format_moment(self.moment(), &self.zone)
    }

    /// The nearest moment of the years that a calendar here has: -9999 to 9999.
    fn moment(&self) -> Timestamp {
        let nanoseconds = i32::try_from(self.nanoseconds).unwrap_or_default();
        let nearest = if self.seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::new(self.seconds, nanoseconds).unwrap_or(nearest)
    }

    /// As Go's JSON encoder writes it, without quotes.
    pub fn rfc3339(&self) -> String {
        self.format(&Layout::new("2006-01-02T15:04:05.999999999Z07:00"))
    }

    /// As Go prints it.
    pub fn printed(&self) -> String {
        self.format(&Layout::new("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_before_and_after_1970() {
        let time = Time::utc(-1);
        assert_eq!((time.unix(1_000_000_000), time.unix_nano()), (-1, -1));
        assert_eq!(time.rfc3339(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Time::utc(1_772_600_767_123_456_789).truncate(3_600_000_000_000).rfc3339(), "2026-03-04T05:00:00Z");
        assert_eq!(Time::utc(5).since(&Time::of(i128::from(i64::MAX) * 4, TimeZone::UTC)), i64::MIN);
        assert_eq!(Time::utc(0).printed(), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(Time::of(i128::MAX, TimeZone::UTC).civil().year(), 9999);
    }
}
