//! A time written by a layout.

use jiff::tz::TimeZone;

use crate::elements::{Element, OffsetForm, Pad};
use crate::parse::{Layout, MONTHS, WEEKDAYS};

impl Layout {
    /// Writes nanoseconds since 1970 as they read in a zone.
    pub fn format(&self, timestamp: i64, zone: &TimeZone) -> String {
        self.format_moment(jiff::Timestamp::from_nanosecond(i128::from(timestamp)).unwrap_or_default(), zone)
    }

    /// Writes a moment as it reads in a zone.
    pub fn format_moment(&self, moment: jiff::Timestamp, zone: &TimeZone) -> String {
        let info = zone.to_offset_info(moment);
        let time = info.offset().to_datetime(moment);
        let mut text = String::new();
        for (before, element) in &self.parts {
            text.push_str(&String::from_utf8_lossy(before));
            let number = |padded: bool, number: i64| if padded { format!("{number:02}") } else { number.to_string() };
            let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
            let weekday = WEEKDAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs())];
            let (hour, nanosecond) = (i64::from(time.hour()), i64::from(time.subsec_nanosecond()));
            let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
            let piece = match element {
                Element::Year => format!("{:04}", time.year()),
                Element::ShortYear => format!("{:02}", time.year().rem_euclid(100)),
                Element::MonthName => month.to_owned(),
                Element::ShortMonthName => month[..3].to_owned(),
                Element::Month { padded } => number(*padded, i64::from(time.month())),
                Element::WeekdayName => weekday.to_owned(),
                Element::ShortWeekdayName => weekday[..3].to_owned(),
                Element::Day { pad: Pad::Blank } => format!("{:2}", time.day()),
                Element::Day { pad } => number(*pad == Pad::Zero, i64::from(time.day())),
                Element::DayOfYear { pad: Pad::Blank } => format!("{:3}", time.day_of_year()),
                Element::DayOfYear { .. } => format!("{:03}", time.day_of_year()),
                Element::Hour => number(true, hour),
                Element::Hour12 { padded } => number(*padded, hour12),
                Element::Minute { padded } => number(*padded, i64::from(time.minute())),
                Element::Second { padded } => number(*padded, i64::from(time.second())),
                Element::HalfDay { upper } => match (*upper, hour >= 12) {
                    (true, true) => "PM",
                    (true, false) => "AM",
                    (false, true) => "pm",
                    (false, false) => "am",
                }
                .to_owned(),
                // A zone without a name is told by its offset.
                Element::ZoneName if info.abbreviation().starts_with(['+', '-']) => {
                    offset(i64::from(info.offset().seconds()), OffsetForm::Minutes)
                }
                Element::ZoneName => info.abbreviation().to_owned(),
                Element::Offset { z: true, .. } if info.offset().seconds() == 0 => "Z".to_owned(),
                Element::Offset { form, .. } => offset(i64::from(info.offset().seconds()), *form),
                Element::Fraction { digits, comma } => {
                    let digits = &format!("{nanosecond:09}")[..(*digits).min(9)];
                    format!("{}{digits}", separator(*comma))
                }
                Element::OptionalFraction { digits, comma } => {
                    match format!("{nanosecond:09}")[..(*digits).min(9)].trim_end_matches('0') {
                        "" => String::new(),
                        digits => format!("{}{digits}", separator(*comma)),
                    }
                }
            };
            text.push_str(&piece);
        }
        text.push_str(&String::from_utf8_lossy(&self.tail));
        text
    }
}

fn separator(comma: bool) -> char {
    if comma { ',' } else { '.' }
}

fn offset(seconds: i64, form: OffsetForm) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match form {
        OffsetForm::Hours => format!("{sign}{hours:02}"),
        OffsetForm::Minutes => format!("{sign}{hours:02}{minutes:02}"),
        OffsetForm::ColonMinutes => format!("{sign}{hours:02}:{minutes:02}"),
        OffsetForm::Seconds => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
        OffsetForm::ColonSeconds => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}
