//! A layout taken apart.

/// What a part of a layout stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `2006`
    Year,
    /// `06`
    ShortYear,
    /// `January`
    MonthName,
    /// `Jan`
    ShortMonthName,
    /// `01`, or `1`
    Month { padded: bool },
    /// `Monday`
    WeekdayName,
    /// `Mon`
    ShortWeekdayName,
    /// `02`, `2`, or `_2`
    Day { pad: Pad },
    /// `002`, or `__2`
    DayOfYear { pad: Pad },
    /// `15`
    Hour,
    /// `03`, or `3`
    Hour12 { padded: bool },
    /// `04`, or `4`
    Minute { padded: bool },
    /// `05`, or `5`
    Second { padded: bool },
    /// `PM`, or `pm`
    HalfDay { upper: bool },
    /// `MST`
    ZoneName,
    /// `-0700` and its like; with `z`, `Z` stands for UTC
    Offset { form: OffsetForm, z: bool },
    /// `.000` or `,000`: exactly as many digits
    Fraction { digits: usize, comma: bool },
    /// `.999` or `,999`: any digits, or none at all when read; up to as many, without zeros at the end, when written
    OptionalFraction { digits: usize, comma: bool },
}

/// How a number is filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Pad {
    None,
    Zero,
    Blank,
}

/// How an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetForm {
    /// `07`
    Hours,
    /// `0700`
    Minutes,
    /// `07:00`
    ColonMinutes,
    /// `070000`
    Seconds,
    /// `07:00:00`
    ColonSeconds,
}

impl Element {
    /// Whether it is written with a digit or a `Z` in front, so that `strptime` takes blanks before it.
    pub fn may_follow_blanks(self) -> bool {
        use Element::*;
        !matches!(
            self,
            MonthName
                | ShortMonthName
                | WeekdayName
                | ShortWeekdayName
                | HalfDay { .. }
                | ZoneName
                | Offset { z: false, .. }
                | Fraction { .. }
                | OptionalFraction { .. }
        )
    }
}

/// The first element of a layout: what stands before it, the element, what follows it.
pub fn next_element(layout: &str) -> (&str, Option<(Element, &str)>) {
    for (at, _) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some((element, length)) = element_at(rest) {
            // An underscore before a long year is text.
            let lead = usize::from(element == Element::Year && rest.starts_with('_'));
            return (&layout[..at + lead], Some((element, &rest[length..])));
        }
    }
    (layout, None)
}

fn element_at(rest: &str) -> Option<(Element, usize)> {
    use Element::*;
    let bytes = rest.as_bytes();
    let lower_follows = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_lowercase);
    const OFFSETS: [(&str, OffsetForm); 5] = [
        ("070000", OffsetForm::Seconds),
        ("07:00:00", OffsetForm::ColonSeconds),
        ("0700", OffsetForm::Minutes),
        ("07:00", OffsetForm::ColonMinutes),
        ("07", OffsetForm::Hours),
    ];
    let offset = |z: bool| {
        let form = OFFSETS.iter().find(|(text, _)| rest[1..].starts_with(text))?;
        Some((Offset { form: form.1, z }, 1 + form.0.len()))
    };
    match bytes.first()? {
        b'J' if rest.starts_with("January") => Some((MonthName, 7)),
        b'J' if rest.starts_with("Jan") && !lower_follows(3) => Some((ShortMonthName, 3)),
        b'M' if rest.starts_with("Monday") => Some((WeekdayName, 6)),
        b'M' if rest.starts_with("Mon") && !lower_follows(3) => Some((ShortWeekdayName, 3)),
        b'M' if rest.starts_with("MST") => Some((ZoneName, 3)),
        b'0' => match bytes.get(1)? {
            b'1' => Some((Month { padded: true }, 2)),
            b'2' => Some((Day { pad: Pad::Zero }, 2)),
            b'3' => Some((Hour12 { padded: true }, 2)),
            b'4' => Some((Minute { padded: true }, 2)),
            b'5' => Some((Second { padded: true }, 2)),
            b'6' => Some((ShortYear, 2)),
            b'0' if bytes.get(2) == Some(&b'2') => Some((DayOfYear { pad: Pad::Zero }, 3)),
            _ => None,
        },
        b'1' if bytes.get(1) == Some(&b'5') => Some((Hour, 2)),
        b'1' => Some((Month { padded: false }, 1)),
        b'2' if rest.starts_with("2006") => Some((Year, 4)),
        b'2' => Some((Day { pad: Pad::None }, 1)),
        b'_' if rest.starts_with("_2006") => Some((Year, 5)),
        b'_' if rest.starts_with("_2") => Some((Day { pad: Pad::Blank }, 2)),
        b'_' if rest.starts_with("__2") => Some((DayOfYear { pad: Pad::Blank }, 3)),
        b'3' => Some((Hour12 { padded: false }, 1)),
        b'4' => Some((Minute { padded: false }, 1)),
        b'5' => Some((Second { padded: false }, 1)),
        b'P' if rest.starts_with("PM") => Some((HalfDay { upper: true }, 2)),
        b'p' if rest.starts_with("pm") => Some((HalfDay { upper: false }, 2)),
        b'-' => offset(false),
        b'Z' => offset(true),
        b'.' | b',' => {
            let digit = *bytes.get(1).filter(|byte| matches!(byte, b'0' | b'9'))?;
            let digits = bytes[1..].iter().take_while(|byte| **byte == digit).count();
            if bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
                return None;
            }
            let comma = bytes[0] == b',';
            let element = if digit == b'0' { Fraction { digits, comma } } else { OptionalFraction { digits, comma } };
            Some((element, 1 + digits))
        }
        _ => None,
    }
}
