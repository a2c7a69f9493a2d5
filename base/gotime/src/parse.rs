//! A value read by a layout.

use jiff::tz::TimeZone;

use crate::civil::{self, nanoseconds};
use crate::elements::{Element, OffsetForm, Pad, next_element};

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A layout, ready to read values.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What stands before each element, and the element.
    pub(crate) parts: Vec<(Box<[u8]>, Element)>,
    pub(crate) tail: Box<[u8]>,
    pub(crate) lenient: bool,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// 0 when the layout has none.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// Seconds of the day.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub fraction: i64,
    /// What was said of the zone.
    pub zone: Zone,
}

/// What a value says of its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Nothing.
    None,
    /// So many seconds east of Greenwich.
    Offset(i64),
    /// A name such as `CET`.
    Name(String),
}

/// The time is too far from 1970 to be counted in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

// === impl Layout ===

impl Layout {
    /// Takes a layout apart. Every text is a layout; one without elements matches itself.
    pub fn new(layout: &str) -> Layout {
        let mut parts = Vec::new();
        let mut rest = layout;
        loop {
            match next_element(rest) {
                (before, Some((element, after))) => {
                    parts.push((before.as_bytes().into(), element));
                    rest = after;
                }
                (before, None) => return Layout { parts, tail: before.as_bytes().into(), lenient: false },
            }
        }
    }

    /// Takes blanks before numbers and before `Z`, as `strptime` does.
    #[must_use]
    pub fn lenient(self) -> Layout {
        Layout { lenient: true, ..self }
    }

    /// Reads a value; `None` when it does not fit.
    pub fn parse(&self, text: &[u8]) -> Option<Parsed> {
        let mut reader = Reader { rest: text, ..Reader::default() };
        for (at, (before, element)) in self.parts.iter().enumerate() {
            reader.skip(before)?;
            if self.lenient && element.may_follow_blanks() {
                reader.rest = reader.rest.trim_ascii_start();
            }
            reader.element(*element)?;
            let fraction_follows = matches!(
                self.parts.get(at + 1),
                Some((_, Element::Fraction { .. } | Element::OptionalFraction { .. }))
            );
            // A fraction behind the seconds is read even where the layout has none.
            if matches!(element, Element::Second { .. }) && !fraction_follows {
                reader.optional_fraction();
            }
        }
        reader.skip(&self.tail)?;
        if reader.rest.is_empty() { reader.finish() } else { None }
    }
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: i64,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone: Option<String>,
}

// === impl Reader ===

impl Reader<'_> {
    /// Text of the layout; a run of blanks in it matches any run of blanks.
    fn skip(&mut self, mut text: &[u8]) -> Option<()> {
        while let Some(byte) = text.first() {
            if *byte == b' ' {
                if self.rest.first().is_some_and(|first| *first != b' ') {
                    return None;
                }
                text = after_blanks(text);
                self.rest = after_blanks(self.rest);
                continue;
            }
            let (first, rest) = self.rest.split_first()?;
            if first != byte {
                return None;
            }
            self.rest = rest;
            text = &text[1..];
        }
        Some(())
    }

    fn element(&mut self, element: Element) -> Option<()> {
        match element {
            Element::Year => self.year = self.digits(4)?,
            Element::ShortYear => {
                let year = self.digits(2)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Element::MonthName => self.month = Some(self.name(&MONTHS, None)? + 1),
            Element::ShortMonthName => self.month = Some(self.name(&MONTHS, Some(3))? + 1),
            Element::Month { padded } => {
                let month = self.number(padded)?;
                self.month = Some(month).filter(|month| (1..=12).contains(month));
                self.month?;
            }
            Element::WeekdayName => {
                self.name(&WEEKDAYS, None)?;
            }
            Element::ShortWeekdayName => {
                self.name(&WEEKDAYS, Some(3))?;
            }
            Element::Day { pad } => {
                if pad == Pad::Blank && self.rest.first() == Some(&b' ') {
                    self.rest = &self.rest[1..];
                }
                self.day = Some(self.number(pad == Pad::Zero)?);
            }
            Element::DayOfYear { pad } => {
                for _ in 0..2 {
                    if pad == Pad::Blank && self.rest.first() == Some(&b' ') {
                        self.rest = &self.rest[1..];
                    }
                }
                let digits = self.rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || (pad == Pad::Zero && digits != 3) {
                    return None;
                }
                self.day_of_year = Some(self.digits(digits)?);
            }
            Element::Hour => self.hour = Some(self.number(false)?).filter(|hour| *hour < 24)?,
            Element::Hour12 { padded } => self.hour = Some(self.number(padded)?).filter(|hour| *hour <= 12)?,
            Element::Minute { padded } => self.minute = Some(self.number(padded)?).filter(|minute| *minute < 60)?,
            Element::Second { padded } => self.second = Some(self.number(padded)?).filter(|second| *second < 60)?,
            Element::HalfDay { upper } => {
                let (half, rest) = self.rest.split_at_checked(2)?;
                self.afternoon = Some(match (upper, half) {
                    (true, b"PM") | (false, b"pm") => true,
                    (true, b"AM") | (false, b"am") => false,
                    _ => return None,
                });
                self.rest = rest;
            }
            Element::ZoneName => self.zone_name()?,
            Element::Offset { form, z } => self.offset(form, z)?,
            Element::Fraction { digits, .. } => {
                let (fraction, rest) = self.rest.split_at_checked(1 + digits)?;
                self.fraction = fraction_of(fraction)?;
                self.rest = rest;
            }
            Element::OptionalFraction { .. } => self.optional_fraction(),
        }
        Some(())
    }

    fn optional_fraction(&mut self) {
        if !matches!(self.rest, [b'.' | b',', b'0'..=b'9', ..]) {
            return;
        }
        let digits = self.rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.rest.split_at(1 + digits);
        self.fraction = fraction_of(fraction).unwrap_or(0);
        self.rest = rest;
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        let number = decimal(digits)?;
        self.rest = rest;
        Some(number)
    }

    /// One or two digits.
    fn number(&mut self, two: bool) -> Option<i64> {
        let digits = self.rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || (two && digits == 1) {
            return None;
        }
        self.digits(digits)
    }

    /// A name in any case, in full or only so many letters of it.
    fn name(&mut self, names: &[&str], letters: Option<usize>) -> Option<i64> {
        let at = names.iter().position(|name| {
            let name = &name.as_bytes()[..letters.unwrap_or(name.len())];
            self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
        self.rest = &self.rest[letters.unwrap_or(names[at].len())..];
        Some(at as i64)
    }

    fn offset(&mut self, form: OffsetForm, z: bool) -> Option<()> {
        if z && self.rest.first() == Some(&b'Z') {
            self.rest = &self.rest[1..];
            self.utc = true;
            return Some(());
        }
        let (length, colons, minutes, seconds) = match form {
            OffsetForm::Hours => (3, &[][..], None, None),
            OffsetForm::Minutes => (5, &[][..], Some(3), None),
            OffsetForm::ColonMinutes => (6, &[3][..], Some(4), None),
            OffsetForm::Seconds => (7, &[][..], Some(3), Some(5)),
            OffsetForm::ColonSeconds => (9, &[3, 6][..], Some(4), Some(7)),
        };
        let (offset, rest) = self.rest.split_at_checked(length)?;
        if colons.iter().any(|at| offset[*at] != b':') {
            return None;
        }
        let part = |at: Option<usize>| at.map_or(Some(0), |at| decimal(&offset[at..at + 2]));
        let (hours, minutes, seconds) = (part(Some(1))?, part(minutes)?, part(seconds)?);
        if hours > 24 || minutes > 60 || seconds > 60 {
            return None;
        }
        let east = (hours * 60 + minutes) * 60 + seconds;
        self.offset = Some(match offset[0] {
            b'+' => east,
            b'-' => -east,
            _ => return None,
        });
        self.rest = rest;
        Some(())
    }

    fn zone_name(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix(b"UTC") {
            self.rest = rest;
            self.utc = true;
            return Some(());
        }
        let length = zone_name_length(self.rest)?;
        let (name, rest) = self.rest.split_at(length);
        self.zone = Some(String::from_utf8_lossy(name).into_owned());
        self.rest = rest;
        Some(())
    }

    fn finish(mut self) -> Option<Parsed> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if let Some(day_of_year) = self.day_of_year {
            let (month, day) = civil::ordinal(self.year, day_of_year)?;
            if self.month.is_some_and(|given| given != month) || self.day.is_some_and(|given| given != day) {
                return None;
            }
            (self.month, self.day) = (Some(month), Some(day));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if day < 1 || day > civil::days_in(month, self.year) {
            return None;
        }
        let zone = match (self.utc, self.offset, self.zone) {
            (true, _, _) => Zone::Offset(0),
            (_, Some(offset), _) => Zone::Offset(offset),
            (_, _, Some(name)) => Zone::Name(name),
            _ => Zone::None,
        };
        let seconds = (self.hour * 60 + self.minute) * 60 + self.second;
        Some(Parsed { year: self.year, month, day, seconds, fraction: self.fraction, zone })
    }
}

fn after_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    &text[blanks..]
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// Nanoseconds of a point or comma and digits; digits beyond the ninth are cut off.
fn fraction_of(text: &[u8]) -> Option<i64> {
    let ([b'.' | b','], digits) = text.split_at_checked(1)? else { return None };
    let digits = &digits[..digits.len().min(9)];
    Some(decimal(digits)? * 10i64.pow(9 - digits.len() as u32))
}

/// How much of the text is a zone's name, by Go's rules.
fn zone_name_length(text: &[u8]) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix(b"GMT") {
        return Some(3 + signed_offset_length(rest));
    }
    if matches!(text[0], b'+' | b'-') {
        return Some(signed_offset_length(text)).filter(|length| *length > 0);
    }
    let capitals = text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    match capitals {
        5 if text[4] == b'T' => Some(5),
        4 if text[3] == b'T' || text.starts_with(b"WITA") => Some(4),
        3 => Some(3),
        _ => None,
    }
}

/// `+3`, `-11`: up to 23 hours.
fn signed_offset_length(text: &[u8]) -> usize {
    let Some((b'+' | b'-', rest)) = text.split_first() else { return 0 };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match decimal(&rest[..digits.min(10)]) {
        Some(hours) if digits > 0 && hours <= 23 => 1 + digits,
        _ => 0,
    }
}

// === impl Parsed ===

impl Parsed {
    /// Nanoseconds since 1970. A value without a zone is in `location`, or in UTC.
    pub fn timestamp(&self, location: Option<&TimeZone>) -> Result<i64, OutOfRange> {
        let local = civil::seconds(self.year, self.month, self.day) + self.seconds;
        let offset = match &self.zone {
            Zone::Offset(offset) => *offset,
            Zone::None => location.map_or(0, |location| offset_of(location, local)),
            Zone::Name(name) => {
                let system;
                let location = match location {
                    Some(location) => location,
                    None => {
                        system = TimeZone::system();
                        &system
                    }
                };
                // A name that the location does not know has an unknown offset, for which Go takes none.
                offset_of_name(location, name, local).unwrap_or(0)
            }
        };
        nanoseconds(local - offset, self.fraction).ok_or(OutOfRange)
    }
}

/// The offset of a local time. Where clocks are set, Go first takes the offset that holds at the same digits in UTC, and
/// then the one that holds at the moment this gives.
fn offset_of(location: &TimeZone, local: i64) -> i64 {
    let at = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or(0, |moment| i64::from(location.to_offset(moment).seconds()))
    };
    at(local - at(local))
}

/// The offset of a zone by its name, if the location ever uses it around that time.
fn offset_of_name(location: &TimeZone, name: &str, local: i64) -> Option<i64> {
    const HALF_A_YEAR: i64 = 183 * 86_400;
    [0, HALF_A_YEAR, -HALF_A_YEAR].into_iter().find_map(|away| {
        let moment = jiff::Timestamp::from_second(local + away).ok()?;
        let info = location.to_offset_info(moment);
        (info.abbreviation() == name).then(|| i64::from(info.offset().seconds()))
    })
}
