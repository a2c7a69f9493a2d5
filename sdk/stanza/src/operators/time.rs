//! `time_parser`: the time of a record, in a layout of C, of Go, or counted since 1970.

use language_eval::{Value, ValueError};
use sdk_ottl::text::strptime::Reader;
use sdk_protocols_otlp::model::AnyValue;

use super::Act;
use crate::entry::{Entry, type_of};
use crate::field::{Field, Found};
use crate::options::{Options, field, text};

/// Reads the time.
pub(super) struct TimeParser {
    pub(super) from: Field,
    layout: Layout,
}

enum Layout {
    /// A time that is one already.
    Native,
    /// With readers for the zones that have a name of the user's.
    Text(Reader, Vec<(String, Reader)>),
    /// `s`, `ms`, …: nanoseconds of the unit.
    Whole(i64),
    /// `s.ms`, …: nanoseconds of what is behind the point, and how many digits it has.
    Parts(i64, usize),
}

impl TimeParser {
    /// Takes what another operator read as a time.
    pub(super) fn native(from: Field) -> TimeParser {
        TimeParser { from, layout: Layout::Native }
    }

    pub(super) fn is_native(&self) -> bool {
        matches!(self.layout, Layout::Native)
    }

    pub(super) fn read(options: &Options<'_>) -> Result<TimeParser, ValueError> {
        let from = options.required("parse_from", field)?;
        let kind = options.text("layout_type")?.unwrap_or_else(|| "strptime".to_owned());
        let layout = match kind.as_str() {
            "native" => options.text("layout")?.unwrap_or_default(),
            _ => options.required("layout", text)?,
        };
        let location = options.text("location")?.filter(|name| !name.is_empty());
        let zones = match options.value("time_zone_locations") {
            Some(Value::Object(zones)) => zones.iter().map(|(name, zone)| Ok((name, text(zone)?))).collect(),
            Some(other) => Err(ValueError::mismatch("object", other)),
            None => Ok(Vec::new()),
        };
        let zones: Vec<(&str, String)> = zones.map_err(|error: ValueError| error.at_field("time_zone_locations"))?;
        let reader = |location: Option<&str>| {
            let read = if kind == "gotime" { Reader::of_go(&layout, location) } else { Reader::new(&layout, location) };
            read.map_err(|error| ValueError::new(error).at_field("layout"))
        };
        let layout = match (kind.as_str(), layout.as_str()) {
            ("gotime" | "strptime", _) => {
                let directive = if kind == "gotime" { "MST" } else { "%Z" };
                if !zones.is_empty() && !layout.contains(directive) {
                    let what = format!("needs a layout with {directive}");
                    return Err(ValueError::new(what).at_field("time_zone_locations"));
                }
                let named = zones.iter().map(|(name, zone)| Ok(((*name).to_owned(), reader(Some(zone))?)));
                let named: Result<Vec<_>, ValueError> = named.collect();
                Layout::Text(reader(location.as_deref())?, named?)
            }
            ("native", _) => Layout::Native,
            ("epoch", "s") => Layout::Whole(1_000_000_000),
            ("epoch", "ms") => Layout::Whole(1_000_000),
            ("epoch", "us") => Layout::Whole(1_000),
            ("epoch", "ns") => Layout::Whole(1),
            ("epoch", "s.ms") => Layout::Parts(1_000_000, 3),
            ("epoch", "s.us") => Layout::Parts(1_000, 6),
            ("epoch", "s.ns") => Layout::Parts(1, 9),
            ("epoch", _) => {
                let what = "with layout_type \"epoch\" it is one of s, ms, us, ns, s.ms, s.us and s.ns";
                return Err(ValueError::new(what).at_field("layout"));
            }
            (other, _) => {
                let what = format!("{other:?} is none of \"strptime\", \"gotime\", \"epoch\" and \"native\"");
                return Err(ValueError::new(what).at_field("layout_type"));
            }
        };
        Ok(TimeParser { from, layout })
    }

    fn read_time(&self, value: &AnyValue) -> Result<i64, String> {
        let wrong = || format!("type {} cannot be parsed as a time", type_of(value));
        let written = match value {
            AnyValue::Text(text) => Some(text.as_str().into_owned()),
            AnyValue::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        match &self.layout {
            Layout::Text(reader, zones) => {
                let text = written.ok_or_else(wrong)?;
                let words = || text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let own = words().find_map(|word| zones.iter().find(|(name, _)| name == word));
                own.map_or(reader, |(_, reader)| reader).nanoseconds(&text)
            }
            Layout::Native => Err("native time.Time field required".to_owned()),
            Layout::Whole(unit) => {
                let stamp = match value {
                    AnyValue::Int(stamp) => *stamp,
                    AnyValue::Double(stamp) => *stamp as i64,
                    _ => whole(&written.ok_or_else(wrong)?)?,
                };
                stamp.checked_mul(*unit).ok_or_else(|| format!("the time {stamp} is out of range"))
            }
            Layout::Parts(unit, digits) => {
                let text = match value {
                    AnyValue::Int(stamp) => format!("{stamp}.0"),
                    AnyValue::Double(stamp) => format!("{stamp:.digits$}"),
                    _ => written.ok_or_else(wrong)?,
                };
                let invalid = || format!("invalid value '{text}'");
                let (seconds, part) = text.split_once('.').ok_or_else(invalid)?;
                // As in the Collector, ".5" of milliseconds are 5 of them.
                let (seconds, part) = (whole(seconds)?, whole(part)?);
                let total = seconds.checked_mul(1_000_000_000).zip(part.checked_mul(*unit));
                total.and_then(|(seconds, part)| seconds.checked_add(part)).ok_or_else(invalid)
            }
        }
    }
}

fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("invalid value '{text}'"))
}

impl Act for TimeParser {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let at = match self.from.get(entry) {
            None => return Err(format!("log entry does not have the expected parse_from field {}", self.from)),
            Some(Found::Value(value)) => self.read_time(value)?,
            Some(Found::Map(_)) => return Err("type map[string]interface {} cannot be parsed as a time".to_owned()),
        };
        entry.timestamp = Some(at);
        Ok(())
    }
}
