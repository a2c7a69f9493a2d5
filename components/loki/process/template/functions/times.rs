//! Times. A time is a dictionary with one secret key, as templates have no type for it.

use std::sync::Arc;

use base_gotime::Layout;
use base_stdx::GoDuration;
use gotmpl::Value;
use jiff::tz::TimeZone;

use super::{Functions, fail, shown, string, text_of};

/// The key of the dictionary that stands for a time; its value is nanoseconds since 1970.
pub const TIME: &str = "\u{0}time";

pub fn add(functions: &mut Functions) {
    functions.add(&["now"], 0..=0, |_| Ok(time(base_sys::clock::now_ns())));
    functions.add(&["toDate", "mustToDate"], 2..=2, |a| {
        let parsed = Layout::new(text_of(a, 0)?).parse(text_of(a, 1)?.as_bytes());
        match parsed.and_then(|parsed| parsed.timestamp(Some(&TimeZone::system())).ok()) {
            Some(timestamp) => Ok(time(timestamp)),
            None => fail("the time does not fit the layout"),
        }
    });
    functions.add(&["date"], 2..=2, |a| string(Layout::new(text_of(a, 0)?).format(moment(&a[1]), &TimeZone::system())));
    functions.add(&["dateInZone", "date_in_zone"], 3..=3, |a| {
        string(Layout::new(text_of(a, 0)?).format(moment(&a[1]), &zone(text_of(a, 2)?)))
    });
    functions
        .add(&["htmlDate"], 1..=1, |a| string(Layout::new("2006-01-02").format(moment(&a[0]), &TimeZone::system())));
    functions.add(&["htmlDateInZone"], 2..=2, |a| {
        string(Layout::new("2006-01-02").format(moment(&a[0]), &zone(text_of(a, 1)?)))
    });
    functions.add(&["unixEpoch"], 1..=1, |a| string(moment(&a[0]).div_euclid(1_000_000_000).to_string()));
    functions.add(&["dateModify", "mustDateModify", "date_modify", "must_date_modify"], 2..=2, |a| {
        match text_of(a, 0)?.parse::<GoDuration>() {
            Ok(by) => Ok(time(moment(&a[1]).saturating_add(by.0))),
            Err(error) => fail(error.to_string()),
        }
    });
    functions.add(&["ago"], 1..=1, |a| {
        let age = base_sys::clock::now_ns().saturating_sub(moment(&a[0]));
        string(GoDuration::from_secs((age as f64 / 1e9).round() as i64).to_string())
    });
    functions.add(&["duration"], 1..=1, |a| {
        let seconds = match &a[0] {
            Value::String(text) => text.parse().unwrap_or(0),
            Value::Int(seconds) => *seconds,
            _ => 0i64,
        };
        string(GoDuration(seconds.saturating_mul(1_000_000_000)).to_string())
    });
    functions.add(&["durationRound"], 1..=1, |a| {
        let nanoseconds = match &a[0] {
            Value::Int(nanoseconds) => *nanoseconds,
            Value::Map(_) => base_sys::clock::now_ns().saturating_sub(moment(&a[0])),
            other => shown(other).parse::<GoDuration>().map_or(0, |duration| duration.0),
        };
        string(rounded(nanoseconds))
    });
}

/// A time as a value.
fn time(timestamp: i64) -> Value {
    Value::Map(Arc::new([(Arc::from(TIME), Value::Int(timestamp))].into()))
}

/// A time, seconds since 1970, or now.
fn moment(value: &Value) -> i64 {
    match value {
        Value::Map(map) => map.get(TIME).and_then(Value::as_int).unwrap_or_else(base_sys::clock::now_ns),
        Value::Int(seconds) => seconds.saturating_mul(1_000_000_000),
        _ => base_sys::clock::now_ns(),
    }
}

/// As in sprig, an unknown zone is UTC.
fn zone(name: &str) -> TimeZone {
    match name {
        "" | "UTC" => TimeZone::UTC,
        "Local" => TimeZone::system(),
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    }
}

/// The largest unit only.
fn rounded(nanoseconds: i64) -> String {
    const UNITS: [(u64, &str); 6] =
        [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = nanoseconds.unsigned_abs() / 1_000_000_000;
    let unit = UNITS.iter().find(|(length, _)| seconds > *length || (*length == 1 && seconds > 0));
    unit.map_or_else(|| "0s".to_owned(), |(length, unit)| format!("{}{unit}", seconds / length))
}
