//! `stage.timestamp`: an extracted value becomes the time of the line.

use base_gotime::{Layout, Parsed, rfc3339};
use jiff::tz::TimeZone;
use language_eval::Block;
use sdk_component::Problem;
use sdk_labels::Labels;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::Work;
use crate::recent::Recent;

/// For how many streams the last time is remembered.
const MAX_STREAMS: usize = 10_000;

/// Sets the time of the line from an extracted value.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct TimestampStage {
    /// Name of the extracted value.
    #[attr]
    source: String,
    /// `RFC3339`, `Unix`, `UnixMs` and other names, or a Go layout such as `2006-01-02 15:04:05`.
    #[attr]
    format: String,
    /// Formats to try when the first does not fit.
    #[attr(optional)]
    fallback_formats: Vec<String>,
    /// Time zone of values that do not name one, such as `Europe/Berlin`; UTC when left out.
    #[attr]
    location: Option<String>,
    /// `fudge` (also when empty): one nanosecond after the last time of the stream. `skip`: the time stays.
    #[attr(optional)]
    action_on_failure: String,
    /// `fudge` (also when empty): equal times of a stream are set one nanosecond apart. `keep`: they stay.
    #[attr(optional)]
    action_on_duplicate_timestamp: String,
}

enum Format {
    Rfc3339,
    Unix,
    /// A whole number of so many nanoseconds.
    Units(i64),
    Layout {
        layout: Layout,
        location: Option<TimeZone>,
        has_year: bool,
    },
}

#[derive(Clone, Copy)]
struct Last {
    parsed: i64,
    adjusted: i64,
}

struct Timestamp {
    source: Slot,
    formats: Vec<Format>,
    fudge_failures: bool,
    fudge_duplicates: bool,
    last: Recent<Labels, Last>,
}

impl StageConfig for TimestampStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.source.is_empty() {
            return Err(Problem::at("source", "timestamp source value is required if timestamp is specified"));
        }
        if self.format.is_empty() {
            return Err(Problem::at("format", "timestamp format is required"));
        }
        let location = match &self.location {
            None => None,
            // As in Go, no name is UTC.
            Some(name) if name.is_empty() || name == "UTC" => Some(TimeZone::UTC),
            Some(name) if name == "Local" => Some(TimeZone::system()),
            Some(name) => Some(TimeZone::get(name).map_err(|_| {
                Problem::at("location", format!("invalid location specified: unknown time zone {name}"))
            })?),
        };
        let fudge = |action: &str, other: &str, field: &'static str, of: &str| match action {
            "" | "fudge" => Ok(true),
            action if action == other => Ok(false),
            _ if other == "keep" => {
                Err(Problem::at(field, format!("invalid action on {of} (supported values are [keep fudge])")))
            }
            _ => Err(Problem::at(field, format!("invalid action on {of} (supported values are [skip fudge])"))),
        };
        let formats = std::iter::once(&self.format).chain(&self.fallback_formats);
        Ok(Box::new(Timestamp {
            source: site.plan.slot_of(&self.source),
            formats: formats.map(|format| Format::new(format, location.as_ref())).collect(),
            fudge_failures: fudge(&self.action_on_failure, "skip", "action_on_failure", "failure")?,
            fudge_duplicates: fudge(
                &self.action_on_duplicate_timestamp,
                "keep",
                "action_on_duplicate_timestamp",
                "duplicate timestamp",
            )?,
            last: Recent::new(MAX_STREAMS),
        }))
    }
}

// === impl Format ===

impl Format {
    fn new(format: &str, location: Option<&TimeZone>) -> Format {
        // Formats with a name are in UTC whatever the location is.
        let named = |layout: &str| Format::Layout { layout: Layout::new(layout), location: None, has_year: true };
        match format {
            "ANSIC" => named("Mon Jan _2 15:04:05 2006"),
            "UnixDate" => named("Mon Jan _2 15:04:05 MST 2006"),
            "RubyDate" => named("Mon Jan 02 15:04:05 -0700 2006"),
            "RFC822" => named("02 Jan 06 15:04 MST"),
            "RFC822Z" => named("02 Jan 06 15:04 -0700"),
            "RFC850" => named("Monday, 02-Jan-06 15:04:05 MST"),
            "RFC1123" => named("Mon, 02 Jan 2006 15:04:05 MST"),
            "RFC1123Z" => named("Mon, 02 Jan 2006 15:04:05 -0700"),
            "RFC3339" | "RFC3339Nano" => Format::Rfc3339,
            "Unix" => Format::Unix,
            "UnixMs" => Format::Units(1_000_000),
            "UnixUs" => Format::Units(1_000),
            "UnixNs" => Format::Units(1),
            layout => Format::Layout {
                layout: Layout::new(layout),
                location: location.cloned(),
                has_year: layout.contains("06"),
            },
        }
    }

    fn parse(&self, text: &[u8], now: i64) -> Option<i64> {
        match self {
            Format::Rfc3339 => rfc3339(text),
            Format::Unix => unix(std::str::from_utf8(text).ok()?),
            Format::Units(unit) => std::str::from_utf8(text).ok()?.parse::<i64>().ok()?.checked_mul(*unit),
            Format::Layout { layout, location, has_year } => {
                let mut parsed = layout.parse(text)?;
                if !has_year {
                    set_year(&mut parsed, now)?;
                }
                parsed.timestamp(location.as_ref()).ok()
            }
        }
    }
}

/// Seconds, with a fraction of any length.
fn unix(text: &str) -> Option<i64> {
    let Some((seconds, fraction)) = text.split_once('.') else {
        return text.parse::<i64>().ok()?.checked_mul(1_000_000_000);
    };
    let seconds: i64 = seconds.parse().ok()?;
    let number: i64 = fraction.parse().ok()?;
    // As in Alloy the fraction goes through a float, which rounds digits beyond the ninth.
    let nanoseconds = (number as f64 * 10f64.powi(9 - fraction.len() as i32)) as i64;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// A time without a year is of this one, but for the days around New Year.
fn set_year(parsed: &mut Parsed, now: i64) -> Option<()> {
    if parsed.year != 0 {
        return None;
    }
    let now = jiff::Timestamp::from_nanosecond(i128::from(now)).ok()?.to_zoned(TimeZone::system());
    let (year, month) = (i64::from(now.year()), now.month());
    parsed.year = match (parsed.month, month) {
        (12, 1) => year - 1,
        (1, 12) => year + 1,
        _ => year,
    };
    // The year 0 was a leap year; as Go adds the years, a leap day becomes the first of March.
    let leap = parsed.year % 4 == 0 && (parsed.year % 100 != 0 || parsed.year % 400 == 0);
    if parsed.month == 2 && parsed.day == 29 && !leap {
        (parsed.month, parsed.day) = (3, 1);
    }
    Some(())
}

// === impl Timestamp ===

impl Stage for Timestamp {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, wall, .. } = work;
        let mut number = String::new();
        for line in lines {
            let seen = store.see(line, self.source, streams);
            let parsed = seen
                .text(&mut number)
                .and_then(|text| self.formats.iter().find_map(|format| format.parse(text, *wall)));
            let labels = streams.labels(line.stream);
            match parsed {
                Some(parsed) => {
                    line.timestamp = parsed;
                    if !self.fudge_failures && !self.fudge_duplicates {
                        continue;
                    }
                    match self.last.get(labels) {
                        Some(last) => {
                            if self.fudge_duplicates && last.parsed == parsed {
                                line.timestamp = last.adjusted.saturating_add(1);
                            }
                            *last = Last { parsed, adjusted: line.timestamp };
                        }
                        None => {
                            self.last.insert(labels.clone(), Last { parsed, adjusted: parsed });
                        }
                    }
                }
                None if self.fudge_failures => {
                    // Nothing is known of a stream before its first time.
                    if let Some(last) = self.last.get(labels) {
                        last.adjusted = last.adjusted.saturating_add(1);
                        line.timestamp = last.adjusted;
                    }
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_with_fractions() {
        assert_eq!(unix("1772600767.123456789"), Some(1_772_600_767_123_456_789));
        assert_eq!(unix("1772600767.25"), Some(1_772_600_767_250_000_000));
        assert_eq!(unix("-5"), Some(-5_000_000_000));
        for bad in ["1772600767.", " 1", "1.5e9", "1,5", "1.2.3", ""] {
            assert_eq!(unix(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_the_nearest() {
        let format = Format::new("Jan _2 15:04:05", None);
        let at = |now: &str, text: &str| {
            let now = rfc3339(now.as_bytes()).unwrap();
            jiff::Timestamp::from_nanosecond(i128::from(format.parse(text.as_bytes(), now).unwrap()))
                .unwrap()
                .to_string()
        };
        assert_eq!(at("2026-06-01T00:00:00Z", "Mar  4 05:06:07"), "2026-03-04T05:06:07Z");
        assert_eq!(at("2026-01-02T12:00:00Z", "Dec 31 23:59:59"), "2025-12-31T23:59:59Z");
        assert_eq!(at("2026-12-30T12:00:00Z", "Jan  1 00:00:01"), "2027-01-01T00:00:01Z");
    }
}
