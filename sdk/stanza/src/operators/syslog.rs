//! `syslog_parser`: takes a message of syslog apart, with its time and severity.

mod framing;

use base_stdx::timestamp::Date;
use language_eval::ValueError;
use sdk_ottl::text::strptime::Reader;
use sdk_protocols_otlp::model::{AnyValue, Map};
use sdk_protocols_syslog::{Message, Timestamp, Unreadable, rfc3164, rfc5424};

use super::Act;
use super::parsers::Parser;
use super::time::TimeParser;
use crate::entry::{Entry, type_of};
use crate::field::Field;
use crate::options::{Options, text, whole};

/// Reads messages.
pub(super) struct SyslogParser {
    parser: Parser,
    format: Format,
    /// What stands around a message.
    framing: Framing,
    /// Where times without a zone are.
    in_utc: bool,
    /// The priority may be missing.
    allow_skip_pri_header: bool,
    severity: Field,
    timestamp: Field,
    /// Where the parser puts the time.
    time_at: Field,
}

enum Format {
    /// With a reader of the time, which has no year, in the location of the sender.
    Rfc3164(Reader),
    Rfc5424,
    /// Any text, perhaps with a priority in front.
    None,
}

#[derive(Clone, Copy)]
enum Framing {
    Nothing,
    /// Each message behind its length, which may be this.
    Counted(usize),
    /// Each message before this byte.
    Ended(u8),
}

/// What was read: all but the time, and the time.
struct Read {
    map: Map,
    time: Option<Time>,
}

/// The time of a message.
#[derive(Clone, Copy)]
struct Time {
    /// Since 1970.
    nanos: i64,
    written: Timestamp,
}

/// OTLP's number and syslog's short word, by syslog's number.
const SEVERITIES: [(i32, &str); 8] = [
    (21, "emerg"),
    (19, "alert"),
    (18, "crit"),
    (17, "err"),
    (13, "warning"),
    (10, "notice"),
    (9, "info"),
    (5, "debug"),
];

/// A counted message may have so many bytes (RFC 5425, 4.3.1).
const MAX_OCTETS: usize = 8192;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

// === impl SyslogParser ===

impl SyslogParser {
    pub(super) fn read(options: &Options<'_>) -> Result<SyslogParser, ValueError> {
        let mut parser = Parser::read(options)?;
        let location = options.text("location")?.filter(|name| !name.is_empty()).unwrap_or_else(|| "UTC".to_owned());
        let clock = Reader::of_go("Jan _2 15:04:05", Some(&location))
            .map_err(|error| ValueError::new(error).at_field("location"))?;
        let protocol = options.required("protocol", text)?;
        let format = match protocol.to_lowercase().as_str() {
            "rfc3164" => Format::Rfc3164(clock),
            "rfc5424" => Format::Rfc5424,
            "none" => Format::None,
            _ => {
                let what = format!("{protocol:?} is none of \"rfc3164\", \"rfc5424\" and \"none\"");
                return Err(ValueError::new(what).at_field("protocol"));
            }
        };
        let counted = options.flag("enable_octet_counting")?.unwrap_or(false);
        let longest = options.read("max_octets", whole)?.and_then(|octets| usize::try_from(octets).ok());
        let trailer =
            options.read("non_transparent_framing_trailer", |value| match (text(value)?.as_str(), &format) {
                _ if counted => Err(ValueError::new("goes without enable_octet_counting only")),
                ("LF", Format::Rfc5424) => Ok(b'\n'),
                ("NUL", Format::Rfc5424) => Ok(0),
                (_, Format::Rfc5424) => Err(ValueError::new("must be \"LF\" or \"NUL\"")),
                _ => Err(ValueError::new("goes with the protocol \"rfc5424\" only")),
            })?;
        if !matches!(format, Format::None) {
            parser.time.get_or_insert_with(|| TimeParser::native(Field::attribute("timestamp")));
        }
        Ok(SyslogParser {
            severity: Field::attribute("severity"),
            timestamp: Field::attribute("timestamp"),
            time_at: parser.to.below("timestamp"),
            parser,
            framing: match (counted, trailer) {
                (true, _) => Framing::Counted(longest.filter(|longest| *longest > 0).unwrap_or(MAX_OCTETS)),
                (false, Some(trailer)) => Framing::Ended(trailer),
                (false, None) => Framing::Nothing,
            },
            format,
            in_utc: location == "UTC",
            allow_skip_pri_header: options.flag("allow_skip_pri_header")?.unwrap_or(false),
        })
    }

    /// Whether the text has no priority, and need not have one.
    fn goes_without_priority(&self, text: &str) -> bool {
        let counted = matches!(self.framing, Framing::Counted(_));
        self.allow_skip_pri_header && !counted && text.len() > 1 && !text.starts_with('<')
    }

    fn parse(&self, text: &str) -> Result<Read, String> {
        let owned;
        let mut bytes = text.as_bytes();
        if matches!(self.framing, Framing::Nothing) && self.allow_skip_pri_header && !has_priority(bytes) {
            owned = [b"<0>", bytes].concat();
            bytes = &owned;
        }
        let with_priority = !self.goes_without_priority(text);
        match &self.format {
            Format::None => Ok(Read { map: self.plain(text), time: None }),
            Format::Rfc3164(clock) => {
                let extras = rfc3164::Extras { zero_padded_days: true, ..rfc3164::Extras::default() };
                match self.framing {
                    Framing::Counted(longest) => {
                        let counted = rfc3164::Extras { newlines: true, ..extras };
                        let message = framing::counted(bytes, longest, |bytes| {
                            rfc3164::parse(rfc3164::without_line_end(bytes), counted)
                        })?;
                        Read::of(&message, with_priority, Some(clock))
                    }
                    _ => Read::of(&rfc3164::parse(bytes, extras).map_err(fault)?, with_priority, Some(clock)),
                }
            }
            Format::Rfc5424 => {
                let message = match self.framing {
                    Framing::Nothing => rfc5424::parse(bytes).map_err(fault)?,
                    Framing::Counted(longest) => framing::counted(bytes, longest, rfc5424::parse)?,
                    Framing::Ended(trailer) => {
                        let message = framing::ended(bytes, trailer).ok_or("there is no message")?;
                        rfc5424::parse(message).map_err(fault)?
                    }
                };
                Read::of(&message, with_priority, None)
            }
        }
    }

    /// A time as the Collector shows it.
    fn shown(&self, time: Time) -> String {
        match time.written {
            Timestamp::NoYear { month, day, nanos_of_day } => {
                // The zone that the Collector adds is the one of the year 0.
                let zone = if self.in_utc { " +0000 UTC" } else { "" };
                format!("0000-{month:02}-{day:02} {}{zone}", time_of_day(nanos_of_day))
            }
            Timestamp::Moment { nanos, offset } => {
                let local = nanos.saturating_add(i64::from(offset) * 60_000_000_000);
                let date = Date::from_days(local.div_euclid(NANOS_PER_DAY));
                let zone = match offset {
                    0 => "+0000 UTC".to_owned(),
                    _ => {
                        let sign = if offset < 0 { '-' } else { '+' };
                        let zone = format!("{sign}{:02}{:02}", offset.abs() / 60, offset.abs() % 60);
                        format!("{zone} {zone}")
                    }
                };
                let clock = time_of_day(local.rem_euclid(NANOS_PER_DAY));
                format!("{:04}-{:02}-{:02} {clock} {zone}", date.year, date.month, date.day)
            }
        }
    }

    fn plain(&self, text: &str) -> Map {
        let mut rest = text;
        if let (Framing::Counted(_), Some((length, behind))) =
            (self.framing, text.split_once([' ', '\t', '\n', '\r', '\x0c']))
            && !length.starts_with('0')
            && !length.is_empty()
            && length.bytes().all(|digit| digit.is_ascii_digit())
        {
            rest = behind;
        }
        let mut map = Map::default();
        let number =
            priority(rest.as_bytes()).and_then(|digits| rest[1..=digits].parse().ok()).filter(|number| *number <= 191);
        put_priority(&mut map, &Message { priority: number, ..Message::default() });
        map.set("message", rest);
        map
    }

    /// As the Collector does once the rest is done: the severity becomes the record's own, and the time goes.
    fn finish(&self, entry: &mut Entry, with_priority: bool, has_time: bool) -> Result<(), String> {
        let plain = matches!(self.format, Format::None);
        if with_priority || plain {
            let (number, word) = match self.severity.delete(entry) {
                None if plain => return Ok(()),
                None => return Err("severity field does not exist".to_owned()),
                Some(AnyValue::Int(number)) => usize::try_from(number)
                    .ok()
                    .and_then(|number| SEVERITIES.get(number))
                    .ok_or_else(|| format!("invalid severity '{number}'"))?,
                Some(_) => return Err("severity field is not an int".to_owned()),
            };
            entry.severity = *number;
            entry.severity_text = (*word).to_owned();
        }
        let has_time = !plain && self.timestamp.delete(entry).is_some() || has_time;
        if plain || has_time { Ok(()) } else { Err("failed to cleanup timestamp".to_owned()) }
    }
}

impl Act for SyslogParser {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let mut with_priority = true;
        if self.allow_skip_pri_header && !matches!(self.framing, Framing::Counted(_)) {
            // The body tells, wherever the message is, as in the Collector.
            match &entry.body {
                AnyValue::Text(text) => with_priority = !self.goes_without_priority(&text.as_str()),
                other => return Err(format!("unable to convert type '{}' to bytes", type_of(other))),
            }
        }
        // The time is shown where it stays only: most often it becomes the record's own and goes.
        let own_time = self.parser.time.as_ref().filter(|parser| parser.is_native() && parser.from == self.time_at);
        let goes = own_time.is_some() && self.time_at == self.timestamp;
        let mut time = None;
        self.parser.place(entry, |text, _| {
            let Read { mut map, time: read } = self.parse(text)?;
            if let Some(time) = read.filter(|_| !goes) {
                map.set("timestamp", self.shown(time));
            }
            time = read;
            Ok(map)
        })?;
        let read = match (own_time, time, &self.parser.time) {
            (Some(_), Some(time), _) => {
                entry.timestamp = Some(time.nanos);
                Ok(())
            }
            (_, _, Some(parser)) => parser.act(entry),
            (_, _, None) => Ok(()),
        };
        let done = self.parser.read_rest(entry, read);
        let done = done.and_then(|()| self.finish(entry, with_priority, goes && time.is_some()));
        if let (Err(_), true, Some(time)) = (&done, goes, time) {
            self.timestamp.set(entry, self.shown(time).into())?;
        }
        done
    }
}

fn fault(error: Unreadable) -> String {
    error.to_string()
}

/// How many digits the `<34>` has with which these bytes begin.
fn priority(bytes: &[u8]) -> Option<usize> {
    let inside = bytes.strip_prefix(b"<")?;
    let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
    ((1..=3).contains(&digits) && inside.get(digits) == Some(&b'>')).then_some(digits)
}

/// Anywhere, as in the Collector.
fn has_priority(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| priority(&bytes[at..]).is_some())
}

fn put_priority(map: &mut Map, message: &Message<'_>) {
    let Some(priority) = message.priority else { return };
    map.set("priority", i64::from(priority));
    map.set("severity", i64::from(priority % 8));
    map.set("facility", i64::from(priority / 8));
    if let Some(facility) = message.facility() {
        map.set("facility_text", facility);
    }
}

// === impl Read ===

impl Read {
    /// `clock` reads times of RFC 3164.
    fn of(message: &Message<'_>, with_priority: bool, clock: Option<&Reader>) -> Result<Read, String> {
        let mut map = Map::default();
        if with_priority {
            put_priority(&mut map, message);
        }
        let words = [
            ("hostname", message.hostname),
            ("appname", message.app_name),
            ("proc_id", message.proc_id.as_deref()),
            ("msg_id", message.msg_id),
        ];
        for (name, word) in words {
            if let Some(word) = word {
                map.set(name, word);
            }
        }
        if !message.text.is_empty() {
            map.set("message", String::from_utf8_lossy(message.text).into_owned());
        }
        if clock.is_none() {
            map.set("version", i64::from(message.version));
        }
        if !message.data.is_empty() {
            let mut data = Map::default();
            for element in &message.data {
                let mut parameters = Map::default();
                element.parameters.iter().for_each(|(name, value)| parameters.set(*name, &**value));
                data.set(element.id, parameters);
            }
            map.set("structured_data", data);
        }
        let time = message.timestamp.map(|timestamp| Time::of(timestamp, clock)).transpose()?;
        Ok(Read { map, time })
    }
}

// === impl Time ===

impl Time {
    /// `clock` is there for what has no year.
    fn of(written: Timestamp, clock: Option<&Reader>) -> Result<Time, String> {
        let nanos = match (written, clock) {
            (Timestamp::NoYear { month, day, nanos_of_day }, Some(clock)) => {
                let month = rfc3164::month_name(month);
                clock.nanoseconds(&format!("{month} {day:>2} {}", time_of_day(nanos_of_day)))?
            }
            (Timestamp::NoYear { .. }, None) => return Err("the time has no year".to_owned()),
            (Timestamp::Moment { nanos, .. }, _) => nanos,
        };
        Ok(Time { nanos, written })
    }
}

/// `22:14:15.003`, as many digits as it takes.
fn time_of_day(nanos: i64) -> String {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => clock,
        _ => format!("{clock}.{fraction:09}").trim_end_matches('0').to_owned(),
    }
}
