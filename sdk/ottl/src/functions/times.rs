//! Times and durations.

use base_stdx::GoDuration;

use super::{Arguments, Built, Function, Kind, Parameter, converter, everywhere, optional, required};
use crate::coerce;
use crate::error::Error;
use crate::text::strptime;
use crate::time::Time;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("Now", &[], |_| converter(|_| Ok(Value::Time(Time::local(i128::from(base_sys::clock::now_ns())))))),
    everywhere(
        "Time",
        &[
            required("Time", Kind::Text),
            required("Format", Kind::LiteralText),
            optional("Location", Kind::LiteralText),
            optional("Locale", Kind::LiteralText),
        ],
        time,
    ),
    everywhere("FormatTime", &[required("Time", Kind::Time), required("Format", Kind::LiteralText)], |a| {
        let (target, format) = (a.expression(0)?, a.text(1)?);
        let layout = strptime::writer(&format)?;
        converter(move |on| Ok(Value::text(coerce::time(&target, on)?.format(&layout))))
    }),
    everywhere("Duration", &[required("Duration", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| {
            let text = coerce::text(&target, on)?;
            let parsed = text.as_str().parse::<GoDuration>();
            parsed.map(|duration| Value::Duration(duration.as_nanos())).map_err(|error| Error::new(error.to_string()))
        })
    }),
    everywhere("TruncateTime", &[required("Time", Kind::Time), required("Duration", Kind::Duration)], |a| {
        let (target, duration) = (a.expression(0)?, a.expression(1)?);
        converter(move |on| {
            let time = coerce::time(&target, on)?;
            Ok(Value::Time(time.truncate(coerce::duration(&duration, on)?)))
        })
    }),
    everywhere("Unix", &[required("Seconds", Kind::Int), optional("Nanoseconds", Kind::Int)], |a| {
        let (seconds, nanoseconds) = (a.expression(0)?, a.given_expression(1));
        converter(move |on| {
            let seconds = coerce::int(&seconds, on)?;
            let nanoseconds = nanoseconds.as_ref().map_or(Ok(0), |nanoseconds| coerce::int(nanoseconds, on))?;
            Ok(Value::Time(Time::local(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))))
        })
    }),
    everywhere("UnixSeconds", TIME, |a| of_time(a, |time| time.unix(1_000_000_000))),
    everywhere("UnixMilli", TIME, |a| of_time(a, |time| time.unix(1_000_000))),
    everywhere("UnixMicro", TIME, |a| of_time(a, |time| time.unix(1_000))),
    everywhere("UnixNano", TIME, |a| of_time(a, Time::unix_nano)),
    everywhere("Year", TIME, |a| of_time(a, |time| time.civil().year().into())),
    everywhere("Month", TIME, |a| of_time(a, |time| time.civil().month().into())),
    everywhere("Day", TIME, |a| of_time(a, |time| time.civil().day().into())),
    everywhere("Weekday", TIME, |a| of_time(a, |time| time.civil().weekday().to_sunday_zero_offset().into())),
    everywhere("Hour", TIME, |a| of_time(a, |time| time.civil().hour().into())),
    everywhere("Minute", TIME, |a| of_time(a, |time| time.civil().minute().into())),
    everywhere("Second", TIME, |a| of_time(a, |time| time.civil().second().into())),
    everywhere("Nanosecond", TIME, |a| of_time(a, |time| time.civil().subsec_nanosecond().into())),
    everywhere("Hours", DURATION, |a| of_duration(a, |ns| fraction(ns, 3_600_000_000_000))),
    everywhere("Minutes", DURATION, |a| of_duration(a, |ns| fraction(ns, 60_000_000_000))),
    everywhere("Seconds", DURATION, |a| of_duration(a, |ns| fraction(ns, 1_000_000_000))),
    everywhere("Milliseconds", DURATION, |a| of_duration(a, |ns| Value::Int(ns / 1_000_000))),
    everywhere("Microseconds", DURATION, |a| of_duration(a, |ns| Value::Int(ns / 1_000))),
    everywhere("Nanoseconds", DURATION, |a| of_duration(a, Value::Int)),
];

const TIME: &[Parameter] = &[required("Time", Kind::Time)];
const DURATION: &[Parameter] = &[required("Duration", Kind::Duration)];

fn of_time(a: &mut Arguments, part: fn(&Time) -> i64) -> Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| Ok(Value::Int(part(&coerce::time(&target, on)?))))
}

fn of_duration(a: &mut Arguments, part: fn(i64) -> Value<'static>) -> Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| Ok(part(coerce::duration(&target, on)?)))
}

/// Whole units and the rest apart, as Go does, so that the last digits are the same.
fn fraction(nanoseconds: i64, unit: i64) -> Value<'static> {
    Value::Double((nanoseconds / unit) as f64 + (nanoseconds % unit) as f64 / unit as f64)
}

fn time(a: &mut Arguments) -> Result<Built, String> {
    let (target, format, location) = (a.expression(0)?, a.text(1)?, a.given_text(2));
    if let Some(locale) = a.given_text(3)
        && !(locale == "en" || locale.starts_with("en-") || locale.starts_with("en_"))
    {
        return Err(format!("names of months and days are read in English only, not in the locale {locale:?}"));
    }
    let reader = strptime::Reader::new(&format, location.as_deref())?;
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        if text.is_empty() {
            return Err("time cannot be nil".into());
        }
        reader.read(&text.as_str()).map(Value::Time)
    })
}
