//! Layouts of times in C's manner, with the Collector's additions. Each is made a layout of Go.

use base_gotime::{Layout, Parsed, Zone};
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::time::Time;

/// The Go layout of a directive: to write, and, where it differs, to read.
fn directive(letter: char) -> Option<(&'static str, &'static [&'static str])> {
    Some(match letter {
        'Y' => ("2006", &[]),
        'y' => ("06", &[]),
        'm' => ("01", &["1"]),
        'o' => ("_1", &["1"]),
        'q' => ("1", &["1"]),
        'b' | 'h' => ("Jan", &[]),
        'B' => ("January", &[]),
        'd' => ("02", &["2"]),
        'e' => ("_2", &["2"]),
        'g' => ("2", &["2"]),
        'a' => ("Mon", &[]),
        'A' => ("Monday", &[]),
        'H' => ("15", &[]),
        'l' => ("3", &[]),
        'I' => ("03", &["3"]),
        'p' => ("PM", &[]),
        'P' => ("pm", &[]),
        'M' => ("04", &["4"]),
        'S' => ("05", &["5"]),
        'L' => ("999", &[]),
        'f' => ("999999", &[]),
        's' => ("999999999", &[]),
        'Z' => ("MST", &[]),
        'z' => ("Z0700", &["Z0700", "Z07:00", "Z07"]),
        'w' => ("-070000", &[]),
        'i' => ("-07", &[]),
        'j' => ("-07:00", &[]),
        'k' => ("-07:00:00", &[]),
        'D' | 'x' => ("01/02/2006", &["1/2/2006", "1/2/06"]),
        'F' => ("2006-01-02", &["2006-1-2"]),
        'T' | 'X' => ("15:04:05", &["15:4:5"]),
        'r' => ("03:04:05 pm", &["3:4:5 pm"]),
        'R' => ("15:04", &["15:4"]),
        'n' => ("\n", &[]),
        't' => ("\t", &[]),
        '%' => ("%", &[]),
        'c' => ("Mon Jan 02 15:04:05 2006", &["Mon Jan 2 15:4:5 2006"]),
        _ => return None,
    })
}

/// More alternatives than this are not tried.
const MAX_LAYOUTS: usize = 36;

/// Checks a layout and gives its pieces: text, or a directive's letter.
fn pieces(format: &str) -> std::result::Result<Vec<std::result::Result<char, char>>, String> {
    if format.is_empty() {
        return Err("format cannot be nil".to_owned());
    }
    if format.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err("format string should not contain decimals".to_owned());
    }
    let mut pieces = Vec::new();
    let mut characters = format.chars();
    let mut before = None;
    while let Some(character) = characters.next() {
        if character != '%' {
            pieces.push(Ok(character));
            before = Some(character);
            continue;
        }
        let Some(letter) = characters.next() else {
            pieces.push(Ok('%'));
            break;
        };
        if directive(letter).is_none() {
            return Err(format!("invalid strptime format: [unsupported ctimefmt.toNative() directive: %{letter}]"));
        }
        if matches!(letter, 'L' | 'f' | 's') && before.is_some_and(|before| !matches!(before, '.' | ',')) {
            return Err(format!("invalid fractional seconds directive: '%{letter}'. must be preceded with '.' or ','"));
        }
        pieces.push(Err(letter));
        before = Some(letter);
    }
    Ok(pieces)
}

/// The layout for writing.
pub(crate) fn writer(format: &str) -> std::result::Result<Layout, String> {
    let mut go = String::new();
    for piece in pieces(format)? {
        match piece {
            Ok(character) => go.push(character),
            Err(letter) => go.push_str(directive(letter).map_or("", |(write, _)| write)),
        }
    }
    Ok(Layout::new(&go))
}

/// A layout for reading: each of its forms, tried in order.
pub struct Reader {
    layouts: Vec<Layout>,
    location: TimeZone,
}

impl Reader {
    /// Compiles a layout; times without a zone are in `location`, or, where none is given, in this machine's (in UTC if
    /// the layout ends with `Z`).
    pub fn new(format: &str, location: Option<&str>) -> std::result::Result<Reader, String> {
        let location = location_of(format, location)?;
        let mut forms = vec![String::new()];
        for piece in pieces(format)? {
            let alternatives: &[&str] = match piece {
                Ok(character) => {
                    forms.iter_mut().for_each(|form| form.push(character));
                    continue;
                }
                Err(letter) => match directive(letter) {
                    Some((write, [])) => &[write],
                    Some((_, read)) => read,
                    None => &[""],
                },
            };
            forms =
                forms.iter().flat_map(|form| alternatives.iter().map(move |next| format!("{form}{next}"))).collect();
            if forms.len() > MAX_LAYOUTS {
                return Err("the layout has too many forms".to_owned());
            }
        }
        let layouts = forms.iter().map(|form| Layout::new(form).lenient()).collect();
        Ok(Reader { layouts, location })
    }

    /// The same for a layout of Go.
    pub fn of_go(layout: &str, location: Option<&str>) -> std::result::Result<Reader, String> {
        Ok(Reader { layouts: vec![Layout::new(layout)], location: location_of(layout, location)? })
    }

    /// Reads a time as nanoseconds since 1970.
    ///
    /// # Errors
    /// It does not fit the layout.
    pub fn nanoseconds(&self, text: &str) -> std::result::Result<i64, String> {
        self.read(text).map(|time| time.unix_nano()).map_err(|error| error.to_string())
    }

    /// Reads a time.
    pub(crate) fn read(&self, text: &str) -> Result<Time> {
        let parsed = self.layouts.iter().find_map(|layout| layout.parse(text.as_bytes()));
        let parsed = parsed.ok_or_else(|| {
            Error::new(format!("parsing time {} does not fit the layout", base_stdx::quote::quote(text.as_bytes())))
        })?;
        self.place(parsed)
    }

    fn place(&self, mut parsed: Parsed) -> Result<Time> {
        let yearless = parsed.year == 0;
        if yearless {
            parsed.year = this_year();
        }
        let out_of_range = |_| Error::new("the time is out of range");
        let at = |parsed: &Parsed, zone: &TimeZone| -> Result<Time> {
            parsed.timestamp(Some(zone)).map(|ns| Time::of(i128::from(ns), zone.clone())).map_err(out_of_range)
        };
        let time = |parsed: &Parsed| -> Result<Time> {
            match &parsed.zone {
                Zone::None => at(parsed, &self.location),
                Zone::Offset(0) => at(parsed, &TimeZone::UTC),
                Zone::Offset(east) => {
                    let local = at(parsed, &self.location)?;
                    let offset = i32::try_from(*east).ok().and_then(|east| jiff::tz::Offset::from_seconds(east).ok());
                    let here = self
                        .location
                        .to_offset(jiff::Timestamp::from_second(local.unix(1_000_000_000)).unwrap_or_default());
                    // The location stays where it has that very offset then.
                    match offset {
                        Some(offset) if offset != here => at(parsed, &TimeZone::fixed(offset)),
                        _ => Ok(local),
                    }
                }
                Zone::Name(name) => {
                    if let Some(hours) = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i8>().ok()) {
                        // Go takes the clock for UTC's, and only shows it in that zone.
                        let utc = at(&Parsed { zone: Zone::Offset(0), ..parsed.clone() }, &TimeZone::UTC)?;
                        return Ok(Time::of(utc.exact(), TimeZone::fixed(jiff::tz::offset(hours))));
                    }
                    let known = at(parsed, &self.location)?;
                    let unzoned = Parsed { zone: Zone::Offset(0), ..parsed.clone() };
                    if known.exact() != at(&unzoned, &TimeZone::UTC)?.exact() {
                        return Ok(known);
                    }
                    // The location does not know the name, or it stands for UTC: the database of zones may know it.
                    match zone(name) {
                        Some(zone) => at(parsed, &zone),
                        None => Err(Error::new(format!("failed to load location {name}: unknown time zone {name}"))),
                    }
                }
            }
        };
        let read = time(&parsed)?;
        // Without a year it is the one that is over, if this year's day is more than a week ahead.
        const WEEK: i64 = 7 * 86_400 * 1_000_000_000;
        if yearless && read.since(&Time::utc(base_sys::clock::now_ns())) > WEEK {
            parsed.year -= 1;
            return time(&parsed);
        }
        Ok(read)
    }
}

fn location_of(layout: &str, location: Option<&str>) -> std::result::Result<TimeZone, String> {
    match location.filter(|name| !name.is_empty()) {
        Some(name) => zone(name).ok_or_else(|| format!("failed to load location {name}: unknown time zone {name}")),
        None if layout.ends_with('Z') => Ok(TimeZone::UTC),
        None => Ok(TimeZone::system()),
    }
}

fn this_year() -> i64 {
    i64::from(Time::local(i128::from(base_sys::clock::now_ns())).civil().year())
}

fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "UTC" => Some(TimeZone::UTC),
        "Local" => Some(TimeZone::system()),
        _ => TimeZone::get(name).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str) -> Option<String> {
        Reader::new(format, Some("UTC")).unwrap().read(text).ok().map(|time| time.rfc3339())
    }

    #[test]
    fn layouts_are_read_leniently() {
        for (format, text, expected) in [
            ("%Y-%m-%dT%H:%M:%SZ", "2026-03-04T05:06:07Z", "2026-03-04T05:06:07Z"),
            ("%F %T", "2026-3-4 05:6:7", "2026-03-04T05:06:07Z"),
            ("%d/%b/%Y:%H:%M:%S %z", "4/Mar/2026:05:06:07 +0530", "2026-03-04T05:06:07+05:30"),
            ("%Y %H:%M:%S.%L %z", "2026 05:06:07.125 +01:00", "2026-01-01T05:06:07.125+01:00"),
            ("%D %I:%M %p", "03/04/26 5:06 PM", "2026-03-04T17:06:00Z"),
            ("%a %b %e %H:%M:%S %Y", "Wed Mar  4 05:06:07 2026", "2026-03-04T05:06:07Z"),
            ("%F %T %Z", "2026-03-04 05:06:07 EST", "2026-03-04T05:06:07-05:00"),
            ("%F %T %Z", "2026-03-04 05:06:07 UTC", "2026-03-04T05:06:07Z"),
        ] {
            assert_eq!(read(format, text).as_deref(), Some(expected), "{format} {text}");
        }
        assert_eq!(read("%F", "04.03.2026"), None);
        for bad in ["", "%Y1", "%Q", "%S%L"] {
            assert!(Reader::new(bad, None).is_err(), "{bad}");
        }
        let new_york = Reader::new("%F %T", Some("America/New_York")).unwrap();
        assert_eq!(new_york.read("2026-07-04 05:06:07").unwrap().rfc3339(), "2026-07-04T05:06:07-04:00");
        assert!(Reader::new("%F", Some("Nowhere/Land")).is_err());
    }
}
